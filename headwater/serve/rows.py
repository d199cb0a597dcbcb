"""One page of an answer, written as JSON or CSV: numbers as Athena gives them, digit by digit, so that money stays exact."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NUMBERS = {"tinyint", "smallint", "integer", "bigint", "decimal", "float", "double"}
# Which are no numbers in JSON.
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}


@dataclass(frozen=True)
class Page:
    """Rows of an answer, with Athena's type of each column by its name, and Athena's token of the page that follows."""

    columns: Mapping[str, str]
    rows: Sequence[Sequence[str | None]]
    following: str | None

    def as_json(self, head: Mapping[str, object], following: str | None) -> str:
        """A document: what `head` says, columns, rows as objects, and the token of the page that follows, or null."""
        columns = [{"name": name, "type": kind} for name, kind in self.columns.items()]
        names = [json.dumps(name) for name in self.columns]
        kinds = list(self.columns.values())
        rows = (
            ", ".join(f"{name}: {_json(cell, kind)}" for name, cell, kind in zip(names, row, kinds, strict=True))
            for row in self.rows
        )
        told = json.dumps({**head, "columns": columns, "next": following})
        listed = ",\n".join(f"{{{row}}}" for row in rows)
        return f'{told[:-1]}, "rows": [{listed}]}}'

    def as_csv(self) -> str:
        """Lines of RFC 4180 below a header: texts in quotes, so that an empty one is told from one that is not there."""
        lines = [",".join(map(_quoted, self.columns))]
        kinds = list(self.columns.values())
        lines += [",".join(_csv(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in self.rows]
        return "".join(f"{line}\r\n" for line in lines)


def _json(cell: str | None, kind: str) -> str:
    if cell is None or (kind in _NUMBERS and cell in _NOT_FINITE):
        return "null"
    return cell if kind in _NUMBERS or kind == "boolean" else json.dumps(cell)


def _csv(cell: str | None, kind: str) -> str:
    if cell is None:
        return ""
    return cell if kind in _NUMBERS else _quoted(cell)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
