"""What a permissions policy allows, by IAM's own rules, as far as the project's policies use them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from headwater.deploy.roles import RoleSpec
from local.gateway.calls import Call

# Conditions that no recorded call can break: who owns a statement and which service a key is used through are not told
# by a request.
_TAKEN_ON_TRUST = {
    "aws:TagKeys",
    "cloudwatch:namespace",
    "kms:EncryptionContext:SecretARN",
    "kms:EncryptionContext:aws:lambda:FunctionArn",
    "kms:EncryptionContext:aws:scheduler:schedule:arn",
    "kms:ViaService",
    "redshift-data:statement-owner-iam-userid",
}


@dataclass(frozen=True)
class Grant:
    """The smallest part of a policy: one action on one pattern of resources and, for a listing, one pattern of prefixes."""

    role: str
    sid: str
    action: str
    resource: str
    prefix: str | None
    needs_prefix: bool

    @property
    def what(self) -> str:
        """What the action may be done to: the resource, and the prefix of a listing."""
        return self.resource if self.prefix is None else f"{self.resource} {self.prefix}"

    def allows(self, action: str, resource: str, prefix: str | None = None) -> bool:
        """True when the grant covers a call; only a listing has a prefix, and not every one."""
        if action != self.action or not matches(self.resource, resource):
            return False
        if self.prefix is None:
            return True
        return not self.needs_prefix if prefix is None else matches(self.prefix, prefix)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """True when a text matches the pattern: `*` is any text, slashes included, and `?` any character."""
    return _expression(pattern).fullmatch(text) is not None


def grants(role: RoleSpec) -> Iterator[Grant]:
    """Takes a role's policy apart."""
    statements: Sequence[Mapping[str, Any]] = role.permissions["Statement"]
    for statement in statements:
        prefixes, needed = _prefixes(statement.get("Condition", {}))
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                for prefix in prefixes:
                    yield Grant(role.name, statement["Sid"], action, resource, prefix, needed)


def recorded(endpoint: str) -> list[Call]:
    """Every kind of call that a gateway has seen."""
    with urllib.request.urlopen(f"{endpoint}/_headwater/calls", timeout=30) as answer:
        return [Call(**call) for call in json.load(answer)["calls"]]


def refused(granted: Sequence[Grant], calls: Iterable[Call]) -> set[tuple[str, str, str | None]]:
    """The calls that none of a role's grants allows: action, resource, prefix."""
    return {
        (action, resource, prefix)
        for _, action, resource, prefix in calls
        if not any(grant.allows(action, resource, prefix) for grant in granted)
    }


def _prefixes(conditions: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[Sequence[str | None], bool]:
    found: tuple[Sequence[str | None], bool] = ((None,), False)
    for operator, values in conditions.items():
        for key, patterns in values.items():
            if key == "s3:prefix" and operator in {"StringLike", "StringLikeIfExists"}:
                found = (patterns, operator == "StringLike")
            elif key not in _TAKEN_ON_TRUST:
                raise NotImplementedError(f"condition {operator} on {key}")
    return found
