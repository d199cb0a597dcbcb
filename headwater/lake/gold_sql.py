"""The declared form of a gold table: one SQL file with its grain, its column notes and its two queries."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headwater.config import Project
from headwater.errors import ConfigError

_GRAIN = re.compile(r"^-- Grain: (.+)$", re.MULTILINE)
_COLUMN = re.compile(r"^-- ([a-z][a-z0-9_]*): (.+)$", re.MULTILINE)
_CHANGED = re.compile(r"\bchanged_([a-z0-9_]+)\b")


@dataclass(frozen=True)
class GoldSql:
    """One parsed file of sql/gold/: its grain, the silver tables it reads, its two queries and its column notes."""

    table: str
    purpose: str
    grain: tuple[str, ...]
    inputs: tuple[str, ...]
    affected: str
    rows: str
    columns: dict[str, str]

    @classmethod
    def parse(cls, table: str, text: str, silver_tables: set[str]) -> GoldSql:
        """Parses a file; ConfigError says which part is missing or which table is unknown."""
        where = f"sql/gold/{table}.sql"
        head, affected_mark, rest = text.partition("\n-- affected\n")
        affected, rows_mark, rows = rest.partition("\n-- rows\n")
        grain = _GRAIN.search(head)
        if not (affected_mark and rows_mark and grain):
            raise ConfigError(
                f"{where}: needs a line `-- Grain: …`, then `-- affected` and `-- rows` with a query each"
            )
        if not head.startswith(f"-- {table}: "):
            raise ConfigError(f"{where}: must open with `-- {table}: ` and what the table is for")
        unknown = set(_CHANGED.findall(affected)) - silver_tables
        if unknown:
            raise ConfigError(
                f"{where}: changed_{', changed_'.join(sorted(unknown))} is no silver table; "
                f"known: {', '.join(sorted(silver_tables))}"
            )
        inputs = tuple(sorted(name for name in silver_tables if re.search(rf"\b(changed_)?{name}\b", affected + rows)))
        described = {name: note for name, note in _COLUMN.findall(head) if name != table}
        purpose = head.splitlines()[0].partition(": ")[2]
        return cls(
            table,
            purpose,
            tuple(g.strip() for g in grain[1].split(",")),
            inputs,
            affected.strip(),
            rows.strip(),
            described,
        )


def gold_sql(project: Project, table: str) -> GoldSql:
    """Parses the SQL of one declared gold table."""
    silver = {stream.table for source in project.sources.values() for stream in source.streams.values()}
    return GoldSql.parse(table, project.gold[table], silver)
