"""What a role's permissions policy grants, part by part, and whether recorded calls need it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.deploy.roles import LATE_ARNS, RoleSpec
from local.gateway.calls import OWN_ID, Call
from local.gateway.iam.policy import Request, Statement, statements_of
from tests.support.aws import client_of

LATE_KEYS = {name: f"arn:aws:kms:::{name}" for name in LATE_ARNS if name.endswith("_key")}
"""What stands for the ARN of a key in roles that are held to recorded calls."""


@dataclass(frozen=True)
class Grant:
    """The smallest part of a policy: one action on one pattern of resources and, for a listing, one pattern of prefixes."""

    role: str
    sid: str
    action: str
    resource: str
    prefix: str | None
    statement: Statement = field(repr=False)

    @property
    def what(self) -> str:
        """What the action may be done to: the resource, and the prefix of a listing."""
        return self.resource if self.prefix is None else f"{self.resource} {self.prefix}"

    def allows(self, call: Call) -> bool:
        """True when the grant covers a call."""
        told: dict[str, tuple[str, ...]] = {"aws:userid": (OWN_ID,)}
        for key, value in call.told:
            told[key] = (*told.get(key, ()), value)
        if call.prefix is not None:
            told["s3:prefix"] = (call.prefix,)
        return self.statement.is_about(Request(frozenset(), call.action, call.resource, told))


def grants(role: RoleSpec) -> Iterator[Grant]:
    """Takes a role's policy apart."""
    statements: Sequence[Mapping[str, Any]] = role.permissions["Statement"]
    for statement in statements:
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                for prefix, condition in _prefixes(statement.get("Condition", {})):
                    part = {**statement, "Action": action, "Resource": resource, "Condition": condition}
                    [read] = statements_of(part)
                    yield Grant(role.name, statement["Sid"], action, resource, prefix, read)


def recorded(endpoint: str) -> list[Call]:
    """Every kind of call that a gateway has seen; keys are named as in LATE_KEYS."""
    with urllib.request.urlopen(f"{endpoint}/_headwater/calls", timeout=30) as answer:
        seen = json.load(answer)["calls"]
    aliases = client_of(endpoint, "kms").get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
    keys = {
        alias["TargetKeyId"]: f"arn:aws:kms:::{alias['AliasName'].rpartition('-')[2]}_key"
        for alias in aliases
        if "TargetKeyId" in alias
    }
    return [
        Call(
            **{
                **call,
                "resource": keys.get(call["resource"].rpartition("/")[2], call["resource"]),
                "told": tuple((key, value) for key, value in call["told"]),
            }
        )
        for call in seen
    ]


def refused(granted: Sequence[Grant], calls: Iterable[Call]) -> set[tuple[str, str, str | None]]:
    """The calls that none of a role's grants allows: action, resource, prefix."""
    return {call[1:4] for call in calls if not any(grant.allows(call) for grant in granted)}


def _prefixes(conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    # One condition for each prefix of a listing.
    operator = next((operator for operator, keys in conditions.items() if "s3:prefix" in keys), None)
    if operator is None:
        yield None, conditions
        return
    for prefix in conditions[operator]["s3:prefix"]:
        yield prefix, {**conditions, operator: {**conditions[operator], "s3:prefix": [prefix]}}
