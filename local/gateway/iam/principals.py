"""Who signs: an access key id leads to a role's session, to a user or to the account's administrator.

Services that act for a role sign with a key id that names the role and the service; whether the role trusts the service is
asked each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.iam.models import IAMBackend, Role, iam_backends
from moto.sts.models import sts_backends

from local.gateway.clock import CLOCK
from local.gateway.iam.policy import Request, Statement, decide, read, statements_of
from local.gateway.settings import GatewaySettings

ADMINISTRATORS = frozenset({"local", "terraform", "test"})
"""Key ids of whoever deploys and operates, with AdministratorAccess, as a person has it on AWS."""

_EVERYTHING = statements_of({"Sid": "AdministratorAccess", "Effect": "Allow", "Action": "*", "Resource": "*"})
_OF_SERVICE = "service"


@dataclass(frozen=True)
class Principal:
    """Who asks: what it is called in records, its ARNs, its unique id and what its policies say."""

    name: str
    arn: str
    """The ARN of a role or a user, without its session."""
    userid: str
    names: frozenset[str]
    identity: tuple[Statement, ...] = field(repr=False)
    boundary: tuple[Statement, ...] | None = field(default=None, repr=False)
    """What its permissions boundary says; None where it has none."""

    @property
    def caller(self) -> str:
        """The ARN by which STS tells it who it is: its session's, or a user's own."""
        return next((name for name in self.names if ":assumed-role/" in name), self.arn)

    @property
    def told(self) -> dict[str, tuple[str, ...]]:
        """What every request of it tells, by condition key."""
        told: dict[str, tuple[str, ...]] = {"aws:PrincipalArn": (self.arn,), "aws:userid": (self.userid,)}
        # The gateway listens on 127.0.0.1 alone and counts as encrypted.
        told["aws:SecureTransport"] = ("true",)
        return told | ({"aws:username": (self.name,)} if ":user/" in self.arn else {})


def key_of(role_arn: str, service: str, session: str) -> str:
    """Makes the key id by which a service signs in a role's name; `session` is the session's name."""
    return ":".join((_OF_SERVICE, role_arn.rpartition("/")[2], service, session))


class Principals:
    """Everybody in the account who may sign."""

    def __init__(self, settings: GatewaySettings, of_worker: Callable[[str], str | None]) -> None:
        """`of_worker` makes a worker's key id that of the role whose job it runs now; None for what is no such key."""
        self._settings = settings
        self._of_worker = of_worker
        self._account = settings.account_id

    @property
    def _iam(self) -> IAMBackend:
        return iam_backends[self._account]["aws"]

    def find(self, access_key: str) -> Principal | None:
        """Finds who signs with a key id; None when nobody does."""
        if access_key in ADMINISTRATORS:
            arn = f"arn:aws:iam::{self._account}:user/{access_key}"
            return Principal(access_key, arn, f"AIDA{access_key}", frozenset({arn, self._root}), _EVERYTHING)
        access_key = self._of_worker(access_key) or access_key
        if access_key.startswith(f"{_OF_SERVICE}:"):
            _, role, service, session = access_key.split(":", 3)
            return self.of_service(f"arn:aws:iam::{self._account}:role/{role}", service, session)
        for assumed in sts_backends[self._account]["aws"].assumed_roles:
            if assumed.access_key_id == access_key:
                return self._session(assumed.role_arn, assumed.session_name, trusted=True)
        return self._user(access_key)

    def has_expired(self, access_key: str) -> bool:
        """True when a key id is that of a session of an assumed role that is over."""
        return any(
            assumed.access_key_id == access_key and assumed.expiration <= CLOCK.moment().replace(tzinfo=None)
            for assumed in sts_backends[self._account]["aws"].assumed_roles
        )

    def of_service(self, role_arn: str, service: str, session: str) -> Principal:
        """The session of a role in whose name a service acts; it may do nothing where there is no such role, or none that trusts it."""
        role_arn = role_arn if role_arn.startswith("arn:") else f"arn:aws:iam::{self._account}:role/{role_arn}"
        return self._session(role_arn, session, trusted=self.trusts(role_arn, service))

    def role(self, arn: str) -> Role | None:
        """Finds a role."""
        return next((role for role in self._iam.roles.values() if role.arn == arn), None)

    @property
    def _root(self) -> str:
        return f"arn:aws:iam::{self._account}:root"

    def trusts(self, role_arn: str, service: str) -> bool:
        """True when there is such a role and a service may assume it."""
        role = self.role(role_arn)
        if role is None:
            return False
        told = {"aws:SourceAccount": (self._account,), "aws:SecureTransport": ("true",)}
        request = Request(frozenset({service}), "sts:AssumeRole", role.arn, told)
        return decide(request, (), read(str(role.assume_role_policy_document))).allowed

    def _session(self, role_arn: str, session: str, *, trusted: bool) -> Principal:
        role, name = self.role(role_arn), role_arn.rpartition("/")[2]
        arn = f"arn:aws:sts::{self._account}:assumed-role/{name}/{session}"
        identity = _statements(role.policies.values(), role.managed_policies.values()) if role and trusted else ()
        userid = f"{role.id if role else name}:{session}"
        boundary = self._boundary(role.permissions_boundary_arn) if role else None
        return Principal(name, role_arn, userid, frozenset({role_arn, arn}), identity, boundary)

    def _boundary(self, arn: str | None) -> tuple[Statement, ...] | None:
        if not arn:
            return None
        policy = self._iam.managed_policies.get(arn)
        return _statements((), [policy] if policy else ())

    def _user(self, access_key: str) -> Principal | None:
        for user in self._iam.users.values():
            if any(key.access_key_id == access_key for key in user.access_keys):
                identity = _statements(user.policies.values(), user.managed_policies.values())
                return Principal(user.name, user.arn, user.id, frozenset({user.arn}), identity)
        return None


def _statements(inline: Any, managed: Any) -> tuple[Statement, ...]:
    current = (version for policy in managed for version in policy.versions if version.is_default)
    documents = [*map(str, inline), *(str(version.document) for version in current)]
    return tuple(statement for document in documents for statement in read(document))
