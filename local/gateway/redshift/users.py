"""Who is who in the warehouse: each identity logs in as a user of its own, which may do what it was granted and nothing else.

Redshift Serverless knows a role of IAM as IAMR:<role> and a user of IAM as IAM:<user>, and makes that user at its first login. Only who
created the namespace is a superuser, besides the administrator, whose name and password are in a secret.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import psycopg
from moto.core.exceptions import JsonRESTError
from moto.redshiftdata.exceptions import ValidationException
from moto.secretsmanager.models import secretsmanager_backends
from psycopg import sql

from local.gateway.iam.principals import Principal
from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.serverless import Namespace, RedshiftServerless
from local.gateway.settings import GatewaySettings


class Users:
    """The users of the warehouse, by who asks."""

    def __init__(self, settings: GatewaySettings, serverless: RedshiftServerless) -> None:
        self._settings = settings
        self._serverless = serverless
        self._lock = threading.Lock()

    def namespace(self, request: dict[str, Any]) -> Namespace:
        """The namespace that a request goes to; ValidationException where there is no such workgroup."""
        name = str(request.get("WorkgroupName"))
        namespace = self._serverless.namespace_of(name)
        if namespace is None:
            raise ValidationException(f"Redshift endpoint doesn't exist in this region: workgroup {name}")
        return namespace

    def login(self, request: dict[str, Any], principal: Principal) -> str:
        """Names the user that a request's statements run as, and makes it if this is its first login.

        RedshiftError where there is no such secret, or its password is wrong.
        """
        namespace = self.namespace(request)
        if secret := request.get("SecretArn"):
            user = self._authenticated(secret, namespace.administrator, namespace.password)
            return self._made(user, is_superuser=True)
        kind = "IAMR" if ":role/" in principal.arn else "IAM"
        return self._made(f"{kind}:{principal.name}", is_superuser=principal.arn == namespace.creator)

    def _authenticated(self, arn: str, administrator: str, password: str) -> str:
        backend: Any = secretsmanager_backends[self._settings.account_id][self._settings.region]
        try:
            found = json.loads(backend.get_secret_value(arn, "", "AWSCURRENT")["SecretString"])
        except JsonRESTError as error:
            raise RedshiftError(f"secret {arn}: {error.message}") from None
        if (found.get("username"), found.get("password")) != (administrator, password):
            raise RedshiftError(f'FATAL: password authentication failed for user "{found.get("username")}"')
        return administrator

    def _made(self, user: str, *, is_superuser: bool) -> str:
        with self._lock, psycopg.connect(self._settings.warehouse_dsn or "", autocommit=True) as server:
            found = server.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [user]).fetchone()
            if found is None or (is_superuser and not found[0]):
                verb = sql.SQL("CREATE" if found is None else "ALTER")
                rank = sql.SQL("SUPERUSER" if is_superuser else "NOSUPERUSER")
                server.execute(sql.SQL("{} ROLE {} LOGIN {}").format(verb, sql.Identifier(user), rank))
        return user
