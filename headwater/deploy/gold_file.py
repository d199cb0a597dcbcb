"""The files of gold's SQL, line by line. sql/gold/<table>.sql is a header of comments, then the queries `affected` and `rows`:

-- <table>: what it is for
-- Grain: columns that identify a row
-- Owner: who answers for what the numbers mean
-- Distribution: ALL, AUTO, EVEN or KEY (column)
-- Sort key: columns
-- <column> <TYPE>: what it means, or <column> <TYPE> [unit]: what it means
-- affected
-- rows
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError
from sqlglot.dialects.redshift import Redshift

from headwater.config.gold import GoldColumn

_FIELDS = ("Grain", "Owner", "Distribution", "Sort key")
_FIELD = re.compile(rf"-- ({'|'.join(_FIELDS)}): *(.*)")
_COLUMN = re.compile(r"-- ([a-z][a-z0-9_]*)(?: ([A-Z][A-Z ]*[A-Z](?:\([^)]*\))?))?(?: \[([^\]]+)\])?(?:: *(.*))?")
_DISTRIBUTION = re.compile(r"ALL|AUTO|EVEN|KEY \(([a-z][a-z0-9_]*)\)")
_AFFECTED, _ROWS, _UNFED = "-- affected", "-- rows", "-- where nothing feeds its tables"


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a file, and in which of its lines."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class Query(NamedTuple):
    """The text of a query, and the line of the file on which it begins."""

    line: int
    text: str


class SqlFile:
    """A file as it was read; what it declares is only good for something while there are no `problems`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []

    def report(self, line: int, message: str) -> None:
        """Adds a problem."""
        self.problems.append(Problem(self.path, line, message))


class SharedFile(SqlFile):
    """sql/shared/<name>.sql: `-- <name>: what it is`, `-- rows` and a query, and perhaps what it is where nothing feeds its tables."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"sql/shared/{name}.sql")
        self.name = name
        self.rows = self.unfed = Query(1, "")
        lines = text.splitlines()
        parts = [line for line in lines if line in {_ROWS, _UNFED}]
        if parts not in ([_ROWS], [_ROWS, _UNFED]):
            self.report(len(lines) or 1, f"needs `{_ROWS}` with a query, and then perhaps `{_UNFED}` with another")
            return
        if not lines[0].removeprefix(f"-- {name}: ").strip() or not lines[0].startswith(f"-- {name}: "):
            self.report(1, f"must open with `-- {name}: ` and what it is")
        rows = lines.index(_ROWS)
        unfed = lines.index(_UNFED) if _UNFED in lines else len(lines)
        self.rows = Query(rows + 2, "\n".join(lines[rows + 1 : unfed]))
        self.unfed = Query(unfed + 2, "\n".join(lines[unfed + 1 :]))


class GoldFile(SqlFile):
    """sql/gold/<table>.sql: a header of comments, then the queries `affected` and `rows`."""

    def __init__(self, table: str, text: str) -> None:
        super().__init__(f"sql/gold/{table}.sql")
        self.table = table
        self.purpose = ""
        self.fields: dict[str, str] = {}
        self.columns: dict[str, GoldColumn] = {}
        self._lines: dict[str, int] = {}
        self.affected = self.rows = Query(1, "")
        lines = text.splitlines()
        if [line for line in lines if line in {_AFFECTED, _ROWS}] != [_AFFECTED, _ROWS]:
            self.report(len(lines) or 1, f"needs `{_AFFECTED}`, then `{_ROWS}`, with a query each")
            return
        affected, rows = lines.index(_AFFECTED), lines.index(_ROWS)
        self.affected = Query(affected + 2, "\n".join(lines[affected + 1 : rows]))
        self.rows = Query(rows + 2, "\n".join(lines[rows + 1 :]))
        for number, line in enumerate(lines[:affected], 1):
            self._read(number, line)
        self._check_fields()

    @property
    def grain(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return _names(self.fields.get("Grain", ""))

    @property
    def sort_key(self) -> tuple[str, ...]:
        """Columns by which the warehouse sorts."""
        return _names(self.fields.get("Sort key", ""))

    def line_of(self, name: str) -> int:
        """The line of a column or a field of the header; the first where it has none."""
        return self._lines.get(name, 1)

    def _read(self, number: int, line: str) -> None:
        if number == 1:
            opening = f"-- {self.table}: "
            if not line.startswith(opening) or not line.removeprefix(opening).strip():
                self.report(1, f"must open with `{opening}` and what the table is for")
            self.purpose = line.removeprefix(opening)
            if self.table in Redshift.Generator.RESERVED_KEYWORDS:
                self.report(1, f"table {self.table} is a reserved word of the warehouse. hint: another name")
        elif field := _FIELD.fullmatch(line):
            if self._is_new(number, field[1]):
                self.fields[field[1]] = field[2].strip()
        elif column := _COLUMN.fullmatch(line):
            self._read_column(number, *column.groups())
        else:
            self.report(number, f"is neither `-- column TYPE: note` nor one of {', '.join(_FIELDS)}")

    def _read_column(self, number: int, name: str, declared: str | None, unit: str | None, note: str | None) -> None:
        if not self._is_new(number, name):
            return
        if name in Redshift.Generator.RESERVED_KEYWORDS:
            self.report(number, f"column {name} is a reserved word of the warehouse. hint: another name")
        if not declared or not note:
            lacking = "type" if not declared else "note"
            self.report(number, f"column {name} lacks its {lacking}: write `-- {name} TYPE: note`")
        # A column that is declared wrongly is one, so that nothing else is said of it.
        self.columns[name] = GoldColumn(type="BIGINT", note=note or "")
        try:
            self.columns[name] = GoldColumn(type=declared or "BIGINT", note=note or "", unit=unit)
        except ValidationError as error:
            self.report(number, f"column {name}: {error.errors()[0]['msg'].removeprefix('Value error, ')}")

    def _is_new(self, number: int, name: str) -> bool:
        if name in self._lines:
            self.report(number, f"{name} stands in line {self._lines[name]} already")
            return False
        self._lines[name] = number
        return True

    def _check_fields(self) -> None:
        for field in _FIELDS:
            if not self.fields.get(field):
                self.report(self.line_of(field), f"needs a line `-- {field}: …`")
        distribution = _DISTRIBUTION.fullmatch(self.fields.get("Distribution", "AUTO"))
        if distribution is None:
            self.report(self.line_of("Distribution"), "Distribution is ALL, AUTO, EVEN or KEY (column)")
        key = (distribution[1],) if distribution and distribution[1] else ()
        for field, names in {"Grain": self.grain, "Sort key": self.sort_key, "Distribution": key}.items():
            unknown = [name for name in names if name not in self.columns]
            if unknown:
                known = ", ".join(self.columns)
                self.report(self.line_of(field), f"{field}: {', '.join(unknown)} not among the columns; known: {known}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
