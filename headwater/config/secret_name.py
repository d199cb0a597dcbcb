"""Names of secrets and of keys within them, told apart from the values that people paste in their place by mistake."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[a-z][a-z0-9]*([_/-][a-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z0-9_{}.-]+")
_PLACE = re.compile(r"\{\w+\}")
_SECRET_PARAMETER = re.compile(r"(?i)(api[_-]?key|token|secret|passw(or)?d|signature|credential)$")
_LONGEST_NAME = 64
_LONGEST_LITERAL = 24
_LONGEST_WORD = 24
_MOST_DIGITS = 6


def _secret_name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME or _is_random(text):
        raise ValueError(
            "is no name of a secret, such as facebook_ads (what is written is not shown: it may be a value). hint: put the "
            "value into Secrets Manager, and its name here"
        )
    return text


def _secret_key(text: str) -> str:
    if not _KEY.fullmatch(text) or _is_random(text.replace("{account}", "")):
        raise ValueError(
            "is no key within a secret, such as access_token (what is written is not shown: it may be a value). hint: put the "
            "value into the source's secret, and its key here"
        )
    return text


def _is_random(text: str) -> bool:
    """Whether a text has a word too long, or too many digits, to have been made up by a person."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    return any(len(word) > _LONGEST_WORD or sum(map(str.isdigit, word)) > _MOST_DIGITS for word in words)


def _secret_text(text: str) -> str:
    literal = _PLACE.sub("", text)
    if len(literal) > _LONGEST_LITERAL or _is_random(literal):
        raise ValueError(
            "has more of its own than a word that an API wants (what is written is not shown: it may be a secret). hint: {key} "
            "stands for a value of the source's secret"
        )
    return text


def no_secrets(params: dict[str, str]) -> dict[str, str]:
    """Returns parameters as they are; ValueError where one that is named as secrets are has a value of its own."""
    for name, value in params.items():
        if _SECRET_PARAMETER.search(name) and not _PLACE.search(value):
            raise ValueError(
                f"{name} has a value that may be a secret (it is not shown). hint: put it into the source's secret, and say "
                "by auth where it goes"
            )
    return params


SecretName = Annotated[str, AfterValidator(_secret_name)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
SecretText = Annotated[str, AfterValidator(_secret_text)]
