"""The warehouse's table of each gold table, derived from the header of its SQL file."""

from __future__ import annotations

from headwater.config.gold import GoldTable


def create_table(name: str, table: GoldTable) -> str:
    """Writes the CREATE TABLE of a gold table, which may run again: it leaves a table that is there as it is."""
    columns = ",\n".join(
        f"    {column} {declared.type}{' NOT NULL' if column in table.grain else ''}"
        for column, declared in table.columns.items()
    )
    return (
        f"CREATE TABLE IF NOT EXISTS analytics.{name} (\n{columns}\n) "
        f"{_distributed(table.distribution)} SORTKEY ({', '.join(table.sort_key)})"
    )


def _distributed(distribution: str) -> str:
    return f"DIST{distribution}" if distribution.startswith("KEY") else f"DISTSTYLE {distribution}"
