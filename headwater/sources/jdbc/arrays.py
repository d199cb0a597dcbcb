"""Reads PostgreSQL's text of an array, as its log has it."""

from __future__ import annotations

import re

_BOUNDS = re.compile(r"^(\[-?\d+:-?\d+\])+=")
# A brace, a comma, a text in quotes with its escapes, or one without.
_TOKEN = re.compile(r'[{},]|"(?:[^"\\]|\\.)*"|(?:[^"{},\\]|\\.)+', re.DOTALL)


def array_items(text: str) -> list[object]:
    """The items of an array as texts, None for NULL, and a list for each array within."""
    outer: list[object] = []
    stack = [outer]
    for token in _TOKEN.findall(_BOUNDS.sub("", text)):
        match token[0]:
            case "{":
                inner: list[object] = []
                stack[-1].append(inner)
                stack.append(inner)
            case "}":
                stack.pop()
            case ",":
                pass
            case '"':
                stack[-1].append(_unescaped(token[1:-1]))
            case _:
                stack[-1].append(None if token.upper() == "NULL" else _unescaped(token))
    [items] = outer
    assert isinstance(items, list)  # noqa: S101 - every array begins with a brace
    return items


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
