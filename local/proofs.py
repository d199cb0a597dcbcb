"""Proofs that the pipeline's numbers are the sources' numbers: gold against DuckDB on the sources' own tables and ledgers, quarantine
against the planted defects, both query engines against each other."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from headwater.client import Client, Engine, RunState
from headwater.desk import frames
from headwater.run.alert import IN_PART
from local import world
from local.source_tables import source_tables
from local.stack import Stack

ENGINES: tuple[Engine, ...] = ("athena", "redshift")
Row = tuple[str, ...]
Gold = dict[str, dict[Engine, list[Row]]]
_SAMPLE = 3
# Athena says of a moment in Delta which zone it is told in; Redshift's columns have none, and are UTC.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)?(?: UTC)?")
_BARE_IN_TRUTH = {"rds_postgres", "facebook_ads", "fx_rates"}
"""Sources whose streams the world's truth names without their source."""

_TRUTHS = Path(__file__).parent / "truths"
"""What gold tables should be, as queries of the sources' own tables, with those of their columns that a source can tell."""


def went_well(run: RunState) -> bool:
    """True when a run left nothing undone but files: with each of its steps the world drops some that nobody could read."""
    set_aside = run.error == IN_PART and json.loads(run.cause or "{}")["Cause"].startswith("set aside: ")
    return run.status == "SUCCEEDED" or set_aside


@dataclass(frozen=True)
class Proof:
    """One comparison: what the truth says, what the pipeline says, and whether they are the same."""

    name: str
    expected: str
    found: str
    ok: bool


def prove(stack: Stack, client: Client, gold: Gold) -> list[Proof]:
    """Compares everything that can be compared; `gold` is what `read_gold` has read, which lacks what no source feeds."""
    return [*_told_by_sources(stack, client, gold), *_same_answers(gold)]


def read_gold(client: Client) -> Gold:
    """Reads every gold table in both engines: sorted rows, numbers written in one way."""
    return {
        table: {
            engine: sorted(
                tuple(_plain(cell) for cell in row)
                for row in client.query(
                    engine, f"SELECT {', '.join(declared.columns)} FROM {gold_table(client, engine, table)}"
                ).rows
            )
            for engine in ENGINES
        }
        for table, declared in client.project.gold.items()
    }


def gold_table(client: Client, engine: Engine, table: str) -> str:
    """Names a gold table as one engine knows it."""
    return f"analytics.{table}" if engine == "redshift" else f"{client.project.environment.database('gold')}.{table}"


def _told_by_sources(stack: Stack, client: Client, gold: Gold) -> list[Proof]:
    """Holds each gold table of which a source can tell to what its sources' own tables say."""
    proofs = []
    with source_tables(stack.rds_dsn, client.project.sources) as tables:
        for table, answers in gold.items():
            path = _TRUTHS / f"{table}.sql"
            if not path.exists():
                continue
            truth = tables.sql(path.read_text())
            place = [list(client.project.gold[table].columns).index(name) for name in truth.columns]
            expected = Counter(tuple(_plain(cell) for cell in row) for row in truth.fetchall())
            for engine in ENGINES:
                found = Counter(tuple(row[i] for i in place) for row in answers[engine])
                proofs.append(_compare(f"{table} is what its sources say, {engine}", expected, found, truth.columns))
    return proofs


def _same_answers(gold: Gold) -> list[Proof]:
    proofs = []
    for table, answers in gold.items():
        athena, redshift = (answers[engine] for engine in ENGINES)
        differing = len(set(athena) ^ set(redshift))
        proofs.append(
            Proof(
                f"{table} is the same in both engines",
                f"{len(athena)} rows in Athena",
                f"{len(redshift)} rows in Redshift, {differing} differ",
                athena == redshift and bool(athena),
            )
        )
    return proofs


def _plain(cell: object) -> str:
    """A value, or an engine's text of it, in one way of writing."""
    if cell is None:
        return ""
    text = str(cell).lower() if isinstance(cell, bool) else str(cell)
    if moment := _MOMENT.fullmatch(text):
        return moment[1] + (moment[2] or "").rstrip("0").rstrip(".")
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    return format(number.normalize(), "f")


def _compare(name: str, expected: Counter[Row], found: Counter[Row], columns: Sequence[str]) -> Proof:
    lacking, wrong = sorted((expected - found).elements()), sorted((found - expected).elements())
    sample = "".join(
        f"; {what}: {' '.join(row)}" for what, rows in (("lacks", lacking), ("has", wrong)) for row in rows[:_SAMPLE]
    )
    return Proof(
        name,
        f"{expected.total():,} rows of {', '.join(columns)}",
        f"{found.total():,} rows, {len(lacking)} lacking, {len(wrong)} that are not the sources'{sample}",
        not lacking and not wrong and bool(expected),
    )


def quarantine(stack: Stack, client: Client) -> list[dict[str, object]]:
    """Compares the planted defects with the rows that are quarantined, by table and reason.

    A defect of a row that is read again stands in quarantine once for each time it was read, so distinct rows are compared.
    """
    streams = [
        (source.name, name, stream.table)
        for source in client.project.sources.values()
        for name, stream in source.streams.items()
    ]
    tables = {f"{source}.{name}": table for source, name, table in streams}
    tables |= {name: table for source, name, table in streams if source in _BARE_IN_TRUTH}
    planted: Counter[tuple[str, str]] = Counter()
    for (stream, reason), count in world.defects(stack.rds_dsn).items():
        # The world holds what every source could tell, also those that this stack does without.
        if stream in tables:
            planted[tables[stream], reason] += count
    found = _quarantined(client, sorted({table for table, _ in planted}))
    return [
        {
            "table": table,
            "reason": reason,
            "planted": planted.get((table, reason), 0),
            "quarantined": found.get((table, reason), 0),
            "matches": planted.get((table, reason), 0) == found.get((table, reason), 0),
        }
        for table, reason in sorted(planted.keys() | found.keys())
    ]


def _quarantined(client: Client, tables: list[str]) -> dict[tuple[str, str], int]:
    database = client.project.environment.database("quarantine")
    counted: dict[tuple[str, str], int] = {}
    for table in tables:
        keys = client.project.tables[table].key
        key = " || '|' || ".join(f"coalesce(json_extract_scalar(\"row\", '$.{name}'), '')" for name in keys)
        sql = (
            f'SELECT reason, COUNT(DISTINCT {key}) AS found FROM {database}."{table}" '
            "CROSS JOIN UNNEST(reasons) AS t (reason) GROUP BY reason"
        )
        for row in frames.read(client, sql).to_pylist():
            counted[(table, row["reason"])] = row["found"]
    return counted
