"""What the command line prints: texts as they are, never taken for markup, and none of the terminal's own commands among them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

# Controls, invisible marks that turn the direction of a line, halves of characters, and ends of lines.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# Of a column, its space included.
_NARROWEST = 7

out = Console(markup=False, emoji=False, highlight=False)
err = Console(stderr=True, markup=False, emoji=False, highlight=False)


def plain(text: object) -> str:
    """Writes a value as text of one line in which whatever a terminal would obey stands as its escape, such as `\\x1b`."""
    told = str(text)
    if told.isascii() and told.isprintable():
        return told
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _INVISIBLE else c for c in told)


def show(as_json: bool, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints rows as a table, or as JSON; where columns would be too narrow to read, a line for each field, row after row."""
    if as_json:
        print_json(list(rows))
        return
    if len(columns) * _NARROWEST > out.width:
        for number, row in enumerate(rows, 1):
            _show_record(number, {name: row.get(name) for name in columns})
        return
    table = table_of(columns)
    for row in rows:
        table.add_row(*["" if row.get(name) is None else plain(_told(row[name])) for name in columns])
    out.print(table)


def _show_record(number: int, row: Mapping[str, Any]) -> None:
    out.print(Text(f"row {number}", "bold"))
    names = {name: plain(name) for name in row}
    longest = max(map(len, names.values()))
    for name, value in row.items():
        out.print(f"  {names[name]:{longest}}  {'' if value is None else plain(_told(value))}".rstrip(), soft_wrap=True)


def table_of(columns: Sequence[str], title: str | None = None) -> Table:
    """Makes an empty table."""
    names = [plain(name) for name in columns]
    return Table(*names, box=None, header_style="bold", pad_edge=False, title=None if title is None else plain(title))


def say(as_json: bool, answer: Any, sentence: str) -> None:
    """Prints a sentence, or with --json the answer behind it."""
    if as_json:
        print_json(answer)
    else:
        out.print(plain(sentence), soft_wrap=True)


def print_json(value: Any) -> None:
    """Prints JSON; what a terminal would obey is written as JSON's own escape, which reads as the same text."""
    text = json.dumps(value, default=_told, indent=2, ensure_ascii=False)
    lines = ("".join(_json_escape(c) for c in line) for line in text.split("\n"))
    out.print(Text("\n".join(lines)), soft_wrap=True)


def refuse(kind: str, message: str) -> None:
    """Prints on stderr, in one line, what went wrong."""
    err.print(Text.assemble((plain(kind), "red"), ": ", plain(" ".join(message.split("\n")))), soft_wrap=True)


def note(sentence: str) -> None:
    """Prints on stderr what a person may want to know, and no program."""
    err.print(plain(sentence), soft_wrap=True)


def waiting(doing: str) -> Status:
    """Shows on stderr what is going on, for the length of the block."""
    # A text that is no Text would be read as markup.
    return err.status(Text(plain(doing)))


def _told(value: object) -> str:
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)


def _json_escape(character: str) -> str:
    # Whatever is not ASCII stands within a string, where an escape means the same.
    if character.isascii() and character.isprintable():
        return character
    invisible = unicodedata.category(character) in _INVISIBLE
    return json.dumps(character)[1:-1] if invisible else character
