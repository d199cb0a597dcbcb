"""docs/types.md: what becomes of each type of a database, from the cases that its tests try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_CASES = Path(__file__).resolve().parents[2] / "tests" / "types.yaml"
_TITLES = {
    "postgresql": "PostgreSQL",
    "mysql": "MySQL and MariaDB",
    "snowflake": "Snowflake",
    "redshift": "Redshift",
}
_HEAD = """# What becomes of a database's types

Made of `tests/types.yaml`, which `tests/spark/test_types.py` tries on real servers, and `tests/local/test_warehouse_types.py`
on what stands in for Snowflake and Redshift; `make docs` writes it.

A column is read by its name, and only if the stream declares it (`raw`). What its type in the lake does not hold, be it `NaN` or a
day of a year that nobody has, is NULL there and stands in `_unread` beside it, as the text that the database writes. A row goes
to quarantine with the reason `<column>_readable` where a column of its table is made of such a value; otherwise it arrives.
Neither stops a stream ([ADR 38](adr/0038-a-databases-values-travel-as-it-writes-them.md)).

- A column that has become of another type keeps the one that bronze has: values that fit arrive, others are unread, and the change
  is told once (check `schema`).
- A column that is new at the source, and not declared, stays there; it is told once.
- A raw row has an underscore for what no table takes in a name: `Net Weight` is `Net_Weight`.
- A time alone is text; a column that was read as a timestamp of 1970-01-01 before that goes on so.
"""
_POSTGRES = """
Domains are what they are made of. Any other type is text, as the database writes it. By watermark, by bookmark, by snapshot and by the
change log each value arrives alike. The log lacks generated columns: a stream that reads it and declares one is refused before
anything is read.
"""
_SNOWFLAKE = """
Types are those of Arrow, in which Snowflake's connector hands rows over. Of names that differ by case alone the one without quotes
is read. What is below the microsecond is cut off. A declared column of a type that is not listed is refused before anything is read
(`hint: read a view that casts it`); under `raw: all` it is left out. *Unverified:* no Snowflake has been asked yet.
"""
_REDSHIFT = """
Types are those of Parquet, as UNLOAD writes them. Any other type is text, as Redshift casts it; `geometry`, `geography` and
`hllsketch` are refused where they are declared, since UNLOAD writes them to no Parquet. *Unverified:* no Redshift has been asked yet.
"""
_NOTES = {"postgresql": _POSTGRES, "snowflake": _SNOWFLAKE, "redshift": _REDSHIFT}


def types_page() -> str:
    """Writes the page, which is the same for every project."""
    declared: Mapping[str, Sequence[Mapping[str, Any]]] = yaml.safe_load(_CASES.read_text())
    return (
        "\n".join([_HEAD, *(line for engine, columns in declared.items() for line in _section(engine, columns))]) + "\n"
    )


def _section(engine: str, columns: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"## {_TITLES[engine]}"
    yield _NOTES.get(engine, "")
    yield "| type | in raw and bronze | values that arrive | values that are unread |"
    yield "|---|---|---|---|"
    for column in columns:
        arrive = "; ".join(_arrival(given, value) for given, value in column["values"].items())
        unread = "; ".join(_code(value) for value in column.get("refused", ()))
        yield f"| {_code(column['type'])} | {_code(column['arrives'])} | {arrive} | {unread} |"
    yield ""


def _arrival(given: str, value: str | None) -> str:
    told = "NULL" if value is None else _code(value)
    return told if given == value else f"{_code(given)} as {told}"


def _code(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return f"`` {escaped} ``" if "`" in text else f"`{escaped}`" if text else "the empty text"
