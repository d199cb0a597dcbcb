"""The lexemes of Redshift's SQL, and the error that says what Redshift would answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEXEME = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?\*/) | (?P<string>'(?:[^']|'')*') | (?P<quoted>"(?:[^"]|"")*")
      | (?P<word>[A-Za-z_\#][\w$\#]*) | (?P<number>\d+(?:\.\d+)?) | (?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)


class RedshiftError(Exception):
    """What Redshift would answer; the message starts with ERROR: like its own."""

    def __init__(self, message: str) -> None:
        super().__init__(message if message.startswith("ERROR:") else f"ERROR: {message}")


@dataclass(frozen=True)
class Lexeme:
    """One word, string or sign of a statement, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The text of a word in capitals; a string never equals a keyword."""
        return self.text.upper() if self.kind == "word" else self.text


def lex(sql: str) -> list[Lexeme]:
    """Splits SQL into lexemes, without white space and comments."""
    return [
        Lexeme(match.lastgroup or "", match.group(), match.start(), match.end())
        for match in _LEXEME.finditer(sql)
        if match.lastgroup != "gap"
    ]


def identifier(lexeme: Lexeme) -> str:
    """The name that an identifier stands for: Redshift folds quoted ones to lower case, too."""
    return lexeme.text.strip('"').replace('""', '"').lower()


def too_long(constraint: str | None) -> tuple[str, str] | None:
    """The bytes and the column that a check of a text's length is about; None when it is another constraint."""
    found = re.fullmatch(r"bytes_(\d+)_(.*)", constraint or "")
    return (found[1], found[2]) if found else None
