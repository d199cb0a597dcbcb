"""Redshift Serverless' control plane, which moto lacks: namespaces, workgroups and usage limits that are ready at once.

A namespace's database is made in the PostgreSQL that plays Redshift; capacity, limits and parameters are only stored and returned.
"""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from moto.core.exceptions import JsonRESTError
from moto.secretsmanager.models import secretsmanager_backends
from psycopg import sql

from local.gateway.calls import Asked
from local.gateway.clock import CLOCK
from local.gateway.http_server import Environ, StartResponse
from local.gateway.iam.principals import Principal
from local.gateway.redshift.identities import identity
from local.gateway.settings import GatewaySettings

_TARGET = "RedshiftServerless."
_PORT = 5439
_NAMED = ("namespace", "workgroup", "snapshot")
Fields = dict[str, Any]


# What AWS keeps of a workgroup that says nothing, in the answer to each look at it.
_PARAMETERS = {
    "auto_mv": "true",
    "datestyle": "ISO, MDY",
    "enable_case_sensitive_identifier": "false",
    "enable_user_activity_logging": "true",
    "max_query_execution_time": "14400",
    "query_group": "default",
    "require_ssl": "true",
    "search_path": "$user, public",
    "use_fips_ssl": "false",
}


@dataclass(frozen=True)
class Namespace:
    """Who may do everything in a namespace: whoever created it, and its administrator by name and password."""

    creator: str
    administrator: str
    password: str


class _RefusedError(Exception):
    """A request that AWS would refuse, by the name of AWS's error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class RedshiftServerless:
    """The API in one account and region."""

    def __init__(
        self,
        settings: GatewaySettings,
        caller: Callable[[str], Principal],
        allows: Callable[[Principal, list[Asked]], bool],
    ) -> None:
        """`caller` finds who signed a request by its header, and `allows` decides what he may."""
        self._settings = settings
        self._caller = caller
        self._allows = allows
        self._namespaces: dict[str, Namespace] = {}
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, Fields]] = {"namespace": {}, "workgroup": {}, "usageLimit": {}, "snapshot": {}}
        self._tags: dict[str, list[Fields]] = {}
        self._operations: dict[str, Callable[[Fields], Fields]] = {
            "CreateWorkgroup": self._create_workgroup,
            "CreateUsageLimit": self._create_usage_limit,
            "CreateSnapshot": self._create_snapshot,
            "ListTagsForResource": lambda given: {"tags": self._tags.get(given["resourceArn"], [])},
            "TagResource": self._tag,
        }
        for kind, noun in (
            ("namespace", "Namespace"),
            ("workgroup", "Workgroup"),
            ("usageLimit", "UsageLimit"),
            ("snapshot", "Snapshot"),
        ):
            self._operations |= self._operations_on(kind, noun)

    def _operations_on(self, kind: str, noun: str) -> dict[str, Callable[[Fields], Fields]]:
        return {
            f"Get{noun}": lambda given: {kind: self._find(kind, given)},
            f"List{noun}s": lambda _: {f"{kind}s": list(self._kept[kind].values())},
            f"Update{noun}": lambda given: {kind: self._update(kind, given)},
            f"Delete{noun}": lambda given: {kind: self._delete(kind, given)},
        }

    def takes(self, environ: Environ) -> bool:
        """True when a request is for this API."""
        return str(environ.get("HTTP_X_AMZ_TARGET", "")).startswith(_TARGET)

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        name = environ["HTTP_X_AMZ_TARGET"].removeprefix(_TARGET)
        given = json.loads(environ["wsgi.input"].read() or b"{}")
        status, document = "200 OK", {}
        try:
            if name not in {"CreateNamespace", *self._operations}:
                raise _RefusedError("UnknownOperationException", f"the local stack does not know {name}")
            caller = self._caller(environ.get("HTTP_AUTHORIZATION", ""))
            self._require_allowed(caller, name, given)
            with self._lock:
                is_new = name == "CreateNamespace"
                document = self._create_namespace(given, caller.arn) if is_new else self._operations[name](given)
        except _RefusedError as error:
            status, document = "400 Bad Request", {"__type": error.kind, "message": str(error)}
        except JsonRESTError as error:
            status, document = "400 Bad Request", {"__type": error.error_type, "message": error.message}
        start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(document).encode()]

    def _require_allowed(self, caller: Principal, name: str, given: Fields) -> None:
        named = [self._kept[kind].get(given.get(f"{kind}Name", ""), {}).get(f"{kind}Arn") for kind in _NAMED]
        resource = next(filter(None, named), "*")
        if not self._allows(caller, [Asked(f"redshift-serverless:{name}", resource)]):
            raise _RefusedError(
                "AccessDeniedException",
                f"User: {caller.arn} is not authorized to perform: redshift-serverless:{name} on resource: {resource}",
            )

    def namespace_of(self, workgroup: str) -> Namespace | None:
        """Finds the namespace of a workgroup; None when there is no such workgroup."""
        found = self._kept["workgroup"].get(workgroup)
        return self._namespaces[found["namespaceName"]] if found else None

    def _arn(self, kind: str, identity: str) -> str:
        return f"arn:aws:redshift-serverless:{self._settings.region}:{self._settings.account_id}:{kind}/{identity}"

    def _find(self, kind: str, given: Fields) -> Fields:
        name = given["usageLimitId" if kind == "usageLimit" else f"{kind}Name"]
        if name not in self._kept[kind]:
            raise _RefusedError("ResourceNotFoundException", f"{kind} {name} does not exist")
        return self._kept[kind][name]

    def _update(self, kind: str, given: Fields) -> Fields:
        found = self._find(kind, given)
        if kind == "workgroup" and "configParameters" in given:
            given = {**given, "configParameters": _completed(given["configParameters"], found["configParameters"])}
            if given["configParameters"] == found["configParameters"]:
                raise _RefusedError(
                    "ValidationException", "You didn't specify any changes to the configuration parameters."
                )
        found.update(given)
        return found

    def _delete(self, kind: str, given: Fields) -> Fields:
        found = self._find(kind, given)
        if kind == "namespace" and any(
            group["namespaceName"] == found["namespaceName"] for group in self._kept["workgroup"].values()
        ):
            raise _RefusedError("ConflictException", f"namespace {found['namespaceName']} has a workgroup")
        if kind == "namespace" and (secret := found.get("adminPasswordSecretArn")):
            self._secrets().delete_secret(secret, None, True)
        del self._kept[kind][found["usageLimitId" if kind == "usageLimit" else f"{kind}Name"]]
        return {**found, "status": "DELETING"}

    def _tag(self, given: Fields) -> Fields:
        named = {tag["key"]: tag for tag in [*self._tags.get(given["resourceArn"], []), *given["tags"]]}
        self._tags[given["resourceArn"]] = list(named.values())
        return {}

    def _create_namespace(self, given: Fields, creator: str) -> Fields:
        name = given["namespaceName"]
        if name in self._kept["namespace"]:
            raise _RefusedError("ConflictException", f"namespace {name} exists")
        namespace_id = identity("namespace", name)
        made = {
            "namespaceId": namespace_id,
            "namespaceArn": self._arn("namespace", namespace_id),
            "adminUsername": "admin",
            "dbName": "dev",
            "iamRoles": [],
            "logExports": [],
            "status": "AVAILABLE",
            **{key: value for key, value in given.items() if key not in {"adminUserPassword", "tags"}},
        }
        password = given.get("adminUserPassword") or secrets.token_urlsafe(24)
        if given.get("manageAdminPassword"):
            key = given.get("adminPasswordSecretKmsKeyId")
            made["adminPasswordSecretArn"] = self._keep_secret(name, made["adminUsername"], password, key)
        self._namespaces[name] = Namespace(creator, made["adminUsername"], password)
        self._make_database(made["dbName"])
        self._kept["namespace"][name] = made
        self._tags[made["namespaceArn"]] = given.get("tags", [])
        return {"namespace": made}

    def _secrets(self) -> Any:
        return secretsmanager_backends[self._settings.account_id][self._settings.region]

    def _keep_secret(self, namespace: str, username: str, password: str, key: str | None) -> str:
        value = json.dumps({"username": username, "password": password})
        secret = self._secrets().create_managed_secret(
            service_name="redshift",
            secret_id=f"redshift!{namespace}-{username}",
            secret_string=value,
            tags=[],
            kms_key_id=key,
        )
        return str(secret.arn)

    def _make_database(self, name: str) -> None:
        if self._settings.warehouse_dsn is None:
            return
        with psycopg.connect(self._settings.warehouse_dsn, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _create_workgroup(self, given: Fields) -> Fields:
        name = given["workgroupName"]
        if name in self._kept["workgroup"]:
            raise _RefusedError("ConflictException", f"workgroup {name} exists")
        self._find("namespace", given)
        workgroup_id = identity("workgroup", name)
        host = f"{name}.{self._settings.account_id}.{self._settings.region}.redshift-serverless.amazonaws.com"
        made = {
            "workgroupId": workgroup_id,
            "workgroupArn": self._arn("workgroup", workgroup_id),
            "baseCapacity": 128,
            "enhancedVpcRouting": False,
            "publiclyAccessible": False,
            "securityGroupIds": [],
            "subnetIds": [],
            "endpoint": {"address": host, "port": given.get("port", _PORT), "vpcEndpoints": []},
            "status": "AVAILABLE",
            **{key: value for key, value in given.items() if key != "tags"},
            "configParameters": _completed(given.get("configParameters", []), _default_parameters()),
        }
        self._kept["workgroup"][name] = made
        self._tags[made["workgroupArn"]] = given.get("tags", [])
        return {"workgroup": made}

    def _create_snapshot(self, given: Fields) -> Fields:
        name = given["snapshotName"]
        if name in self._kept["snapshot"]:
            raise _RefusedError("ConflictException", f"snapshot {name} exists")
        namespace = self._find("namespace", given)
        made = {
            "namespaceArn": namespace["namespaceArn"],
            "snapshotArn": self._arn("snapshot", str(uuid.uuid4())),
            "snapshotCreateTime": CLOCK.moment().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "snapshotRetentionPeriod": given.get("retentionPeriod", -1),
            "status": "AVAILABLE",
            **{key: value for key, value in given.items() if key not in {"retentionPeriod", "tags"}},
        }
        self._kept["snapshot"][name] = made
        return {"snapshot": made}

    def _create_usage_limit(self, given: Fields) -> Fields:
        identity = str(uuid.uuid4())
        made = {
            "period": "monthly",
            "breachAction": "log",
            **given,
            "usageLimitId": identity,
            "usageLimitArn": self._arn("usagelimit", identity),
        }
        self._kept["usageLimit"][identity] = made
        return {"usageLimit": made}


def _default_parameters() -> list[Fields]:
    return [{"parameterKey": key, "parameterValue": value} for key, value in _PARAMETERS.items()]


def _completed(given: list[Fields], kept: list[Fields]) -> list[Fields]:
    """All parameters: those given, the others as they were kept."""
    named = {item["parameterKey"]: item["parameterValue"] for item in [*kept, *given]}
    return [{"parameterKey": key, "parameterValue": value} for key, value in sorted(named.items())]
