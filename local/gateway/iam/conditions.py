"""The Condition element of a policy, by IAM's rules; an operator or a key that is not known here is an error, never taken on trust.

What a request tells is a mapping from each condition key to its values; most keys have one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

Context = Mapping[str, tuple[str, ...]]

KEYS = frozenset(
    {
        "AWS:SourceOwner",
        "aws:PrincipalArn",
        "aws:SecureTransport",
        "aws:SourceAccount",
        "aws:SourceArn",
        "aws:TagKeys",
        "aws:userid",
        "aws:username",
        "cloudwatch:namespace",
        "iam:PassedToService",
        "iam:PermissionsBoundary",
        "kms:ResourceAliases",
        "kms:ViaService",
        "redshift-data:statement-owner-iam-userid",
        "s3:prefix",
        "s3:x-amz-acl",
        "s3express:SessionMode",
        "token.actions.githubusercontent.com:aud",
        "token.actions.githubusercontent.com:sub",
    }
)
FAMILIES = ("kms:EncryptionContext:",)
"""What known keys of which there is no end begin with."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = {"*": "[*]", "?": "[?]", "$": "$"}


class PolicyError(ValueError):
    """A policy says what IAM refuses, or what is not evaluated here."""


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern: `*` is any text, slashes included, `?` any character, and `[*]`, `[?]` are these themselves."""
    parts = re.split(r"(\[[*?]\]|[*?])", pattern)
    known = {"*": ".*", "?": ".", "[*]": r"\*", "[?]": r"\?"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """True when a text matches the pattern."""
    return expression(pattern).fullmatch(text) is not None


def filled_in(pattern: str, context: Context) -> str | None:
    """Replaces `${key}` by what the request tells; None when it tells nothing of one of them, by which nothing matches."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        name = found[1]
        if name in _LITERALS:
            return _LITERALS[name]
        values = context.get(name, ())
        missing = missing or len(values) != 1
        return re.sub(r"([*?])", r"[\1]", values[0]) if len(values) == 1 else ""

    text = _VARIABLE.sub(value, pattern) if "${" in pattern else pattern
    return None if missing else text


def _equal(pattern: str, text: str) -> bool:
    return pattern.replace("[*]", "*").replace("[?]", "?") == text


def _arn_like(pattern: str, text: str) -> bool:
    # Each of the six parts is matched on its own: a star does not reach over a colon, but in the last.
    wanted, had = pattern.split(":", 5), text.split(":", 5)
    return len(wanted) == len(had) == 6 and all(matches(part, have) for part, have in zip(wanted, had, strict=True))


def _same_truth(pattern: str, text: str) -> bool:
    return pattern.lower() == text.lower()


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": lambda pattern, text: _equal(pattern.lower(), text.lower()),
    "StringLike": matches,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _same_truth,
}
_NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "ArnNotEquals": "ArnEquals"} | {
    "ArnNotLike": "ArnLike"
}
_KNOWN = {*_COMPARISONS, *_NEGATED, "Null"}
_OPERATOR = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")


@dataclass(frozen=True)
class Condition:
    """One operator on one key; holds when the request's value fits one of the patterns, as the operator has it."""

    operator: str
    key: str
    patterns: tuple[str, ...]

    def holds(self, context: Context) -> bool:
        """True when a request fulfils the condition."""
        every, name, if_exists = _parts(self.operator)
        values = context.get(self.key, ())
        if name == "Null":
            return any(_same_truth(pattern, "false" if values else "true") for pattern in self.patterns)
        negated = name in _NEGATED
        if not values:
            return if_exists or every == "ForAllValues" or (negated and every is None)
        compare = _COMPARISONS[_NEGATED.get(name, name)]
        patterns = [filled for pattern in self.patterns if (filled := filled_in(pattern, context)) is not None]

        def fits(value: str) -> bool:
            return any(compare(pattern, value) for pattern in patterns) != negated

        return any(map(fits, values)) if every == "ForAnyValue" else all(map(fits, values))


@cache
def _parts(operator: str) -> tuple[str | None, str, bool]:
    told = _OPERATOR.fullmatch(operator)
    if told is None or told[2] not in _KNOWN or (told[2] == "Null" and (told[1] or told[3])):
        raise PolicyError(
            f"condition operator {operator} is not evaluated here; known: {', '.join(sorted(_KNOWN))}, "
            "with ForAllValues:, ForAnyValue: or IfExists"
        )
    return told[1], told[2], told[3] is not None


def parse(element: Mapping[str, Mapping[str, str | Iterable[str]]]) -> tuple[Condition, ...]:
    """Reads a Condition element, all of which must hold; PolicyError names an operator or a key that is not known."""
    for operator in element:
        _parts(operator)
    return tuple(
        Condition(operator, _known_key(key), _values(values))
        for operator, keys in element.items()
        for key, values in keys.items()
    )


def _known_key(key: str) -> str:
    if key not in KEYS and not key.startswith(FAMILIES):
        raise PolicyError(
            f"condition key {key} is not evaluated here; known: {', '.join(sorted(KEYS))}, {FAMILIES[0]}*"
        )
    return key


def _values(values: str | bool | Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, bool):
        return (str(values).lower(),)
    return (values,) if isinstance(values, str) else tuple(values)
