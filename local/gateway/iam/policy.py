"""Policy documents and what they decide: denied unless a statement allows, and whatever one denies stays denied.

Pure: who asks, what is asked for and which policies there are is handed in. One account, so that either side may allow; a key and a
role's trust are different, since these count what identities are allowed only as far as they say so (`delegated`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from local.gateway.iam.conditions import Condition, Context, PolicyError, filled_in, matches, parse

_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_ACCOUNT = re.compile(r"arn:aws:iam::(\d{12}):root|(\d{12})")


@dataclass(frozen=True)
class Request:
    """One action of one principal on one resource, and what else is told about it, by condition key."""

    principals: frozenset[str]
    """The names of who asks: the ARNs of its role and of its session or user, or a service's name."""
    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement; who it is about is None where it belongs to an identity.

    It is about its actions and resources, or, by NotAction and NotResource, about all but these.
    """

    sid: str
    allows: bool
    principals: frozenset[str] | None
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]
    other_actions: bool = False
    other_resources: bool = False

    def is_about(self, request: Request) -> bool:
        """True when the statement is about the request, whoever asks."""
        return (
            self._has_action(request.action.lower()) is not self.other_actions
            and self._has_resource(request) is not self.other_resources
            and all(condition.holds(request.context) for condition in self.conditions)
        )

    def _has_action(self, asked: str) -> bool:
        return any(matches(action.lower(), asked) for action in self.actions)

    def _has_resource(self, request: Request) -> bool:
        return any(
            filled is not None and matches(filled, request.resource)
            for resource in self.resources
            for filled in [filled_in(resource, request.context)]
        )

    def names(self, request: Request) -> bool:
        """True when the statement names who asks, or everybody."""
        return self.principals is None or "*" in self.principals or bool(self.principals & request.principals)

    @property
    def names_account(self) -> bool:
        """True when the statement leaves it to the account's own policies."""
        return self.principals is not None and any(_ACCOUNT.fullmatch(principal) for principal in self.principals)


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and by which statements; without any, nothing has allowed it, or one of these denies it."""

    allowed: bool
    by: tuple[Statement, ...] = ()


def decide(
    request: Request,
    identity: Sequence[Statement],
    resource: Sequence[Statement] = (),
    *,
    delegated: bool = False,
    boundary: Sequence[Statement] | None = None,
) -> Decision:
    """Decides by IAM's rules within one account.

    Args:
        request: what is asked for.
        identity: the statements of who asks.
        resource: the statements of what is asked for.
        delegated: identities' statements count only where the resource's leave it to the account, as keys and roles have it.
        boundary: the statements of who asks' permissions boundary, without which none of its own allows; None where it has none.
    """
    own = [statement for statement in identity if statement.is_about(request)]
    told = [statement for statement in resource if statement.is_about(request)]
    named = [statement for statement in told if statement.names(request)]
    left = [statement for statement in told if statement.names_account]
    bounds = [statement for statement in boundary or () if statement.is_about(request)]
    if denying := tuple(statement for statement in (*own, *named, *left, *bounds) if not statement.allows):
        return Decision(False, denying)
    if boundary is not None and not bounds:
        # What a resource allows a role is bounded as well.
        return Decision(False)
    if allowing := tuple(statement for statement in named if statement.allows):
        return Decision(True, allowing)
    if own and (left or not delegated):
        return Decision(True, tuple(own))
    return Decision(False)


@lru_cache(maxsize=4096)
def read(document: str) -> tuple[Statement, ...]:
    """Reads a policy document, JSON; PolicyError says what it has that is not evaluated here."""
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        raise PolicyError("not a policy document: no Statement") from None
    return statements_of(statements)


def statements_of(statements: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> tuple[Statement, ...]:
    """Reads the Statement element of a policy document; PolicyError says what it has that is not evaluated here."""
    listed = [statements] if isinstance(statements, Mapping) else statements
    return tuple(_statement(statement) for statement in listed)


def _statement(given: Mapping[str, Any]) -> Statement:
    if unknown := sorted(given.keys() - _ELEMENTS):
        raise PolicyError(f"element {unknown[0]} is not evaluated here; known: {', '.join(sorted(_ELEMENTS))}")
    if given.get("Effect") not in {"Allow", "Deny"}:
        raise PolicyError(f"Effect {given.get('Effect')!r}; known: Allow, Deny")
    for element in ("Action", "Resource"):
        if element in given and f"Not{element}" in given:
            raise PolicyError(f"{element} and Not{element} in one statement")
    actions = _listed(given.get("Action", given.get("NotAction", ())))
    wrong = [
        action for action in actions if action != "*" and not re.fullmatch(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+", action)
    ]
    if wrong or not actions:
        raise PolicyError(f"Action {', '.join(wrong) or '-'}: not service:Action")
    return Statement(
        sid=str(given.get("Sid", "")),
        allows=given["Effect"] == "Allow",
        principals=_principals(given["Principal"]) if "Principal" in given else None,
        actions=actions,
        # A trust policy is about the role that it belongs to.
        resources=_listed(given.get("Resource", given.get("NotResource", "*"))),
        conditions=parse(given.get("Condition", {})),
        other_actions="NotAction" in given,
        other_resources="NotResource" in given,
    )


def _principals(given: str | Mapping[str, str | Sequence[str]]) -> frozenset[str]:
    if isinstance(given, str):
        return frozenset({given})
    if unknown := sorted(given.keys() - {"AWS", "Service", "Federated"}):
        raise PolicyError(f"Principal {unknown[0]} is not evaluated here; known: AWS, Federated, Service")
    return frozenset(name for names in given.values() for name in _listed(names))


def _listed(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
