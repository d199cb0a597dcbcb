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


def comments(name: str, table: GoldTable) -> tuple[str, ...]:
    """Writes what the warehouse says of a gold table and of its columns to whoever looks there."""
    purpose = f"{table.purpose} Owner: {table.owner}. One row for each {', '.join(table.grain)}."
    return (
        comment(f"TABLE analytics.{name}", purpose),
        *(
            comment(
                f"COLUMN analytics.{name}.{column}", f"{f'[{declared.unit}] ' if declared.unit else ''}{declared.note}"
            )
            for column, declared in table.columns.items()
        ),
    )


def comment(what: str, text: str) -> str:
    """Writes the COMMENT ON something."""
    quoted = text.replace("'", "''")
    return f"COMMENT ON {what} IS '{quoted}'"


def _distributed(distribution: str) -> str:
    return f"DIST{distribution}" if distribution.startswith("KEY") else f"DISTSTYLE {distribution}"
