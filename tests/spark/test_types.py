"""Each type of a database arrives as docs/types.md says, by whatever way, and what a type does not hold goes to quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from headwater.config import JdbcSource, Table
from headwater.errors import FatalSourceError
from headwater.lake.columns import BATCH, FILE, REASONS, ROW
from headwater.ledger.entries import Manifest
from headwater.ledger.raw import UNREAD
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed as typed_columns
from headwater.sources.jdbc.columns import of_postgres
from headwater.sources.jdbc.typed import typed_rows
from local.mariadb import MariaDbServer
from local.postgres import PostgresServer, free_port
from tests.support.draws import drawn
from tests.support.paths import ROOT

from .extraction import Extraction

DECLARED: dict[str, list[dict[str, Any]]] = yaml.safe_load((ROOT / "tests" / "types.yaml").read_text())


@dataclass(frozen=True)
class Typed:
    """A column of each type, and rows that have its values one after the other."""

    engine: str

    @property
    def columns(self) -> list[dict[str, Any]]:
        return DECLARED[self.engine]

    def given(self, column: dict[str, Any]) -> list[str]:
        return [*column["values"], *column.get("refused", ())]

    @property
    def rows(self) -> list[list[str | None]]:
        columns = [self.given(column) for column in self.columns]
        return [[c[n] if n < len(c) else None for c in columns] for n in range(max(map(len, columns)))]

    def expected(self) -> list[dict[str, Any]]:
        """Of each row the values as text, and those of its columns that no type holds."""
        found = []
        for row in self.rows:
            values: dict[str, str | None] = {}
            unread = set()
            for number, (column, given) in enumerate(zip(self.columns, row, strict=True)):
                values[f"c{number}"] = None if given is None else column["values"].get(given)
                if given in column.get("refused", ()):
                    unread.add(f"c{number}")
            found.append({"values": values, "unread": unread})
        return found


def as_text(rows: DataFrame) -> list[dict[str, Any]]:
    """Rows as they arrived, in order, each value as text."""
    told = []
    for field in rows.schema.fields:
        value, kind = F.col(f"`{field.name}`"), field.dataType.typeName()
        if field.name.startswith("c"):
            text = {"binary": F.hex(value), "array": F.to_json(value)}.get(kind, value.cast("string"))
            told.append(text.alias(field.name))
    return [
        {
            "values": {name: row[name] for name in row.asDict() if name != UNREAD},
            "unread": set(json.loads(row[UNREAD] or "{}")),
        }
        for row in rows.orderBy("id").select(*told, UNREAD).collect()
    ]


def differences(rows: DataFrame, typed: Typed) -> list[tuple[str, Any, Any]]:
    """What arrived otherwise than the page says: the type, and what came and what should have."""
    found = []
    for came, wanted in zip(as_text(rows), typed.expected(), strict=True):
        for number, column in enumerate(typed.columns):
            pair = [(row["values"][f"c{number}"], f"c{number}" in row["unread"]) for row in (came, wanted)]
            found += [(column["type"], *pair)] if pair[0] != pair[1] else []
    return found


def types(rows: DataFrame) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields if field.name.startswith("c")}


def source(engine: str, relation: str, read: dict[str, Any], columns: int) -> JdbcSource:
    stream = {
        "table": "t",
        "raw": [f"c{number}" for number in range(columns)],
        "relation": relation,
        "read": read,
        "partition_column": "id",
        "columns": {"lsn": "_lsn"},
    }
    return JdbcSource.model_validate(
        {"kind": "jdbc", "name": "shop", "engine": engine, "secret": "s", "streams": {"t": stream}}
    )


def secret(server: PostgresServer | MariaDbServer) -> dict[str, str]:
    where = {"host": "127.0.0.1", "port": str(server.port), "dbname": server.database}
    return where | {"username": server.user, "password": server.password}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data", free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDbServer]:
    with MariaDbServer(tmp_path_factory.mktemp("mysql") / "data", free_port()) as running:
        yield running


class Uncollected(Extraction):
    """An extraction whose rows stay in Spark: Python's dates begin a day later than Spark's."""

    def rows(self, manifest: Manifest) -> list[Row]:
        return []


def read(extraction: Uncollected, spark: SparkSession) -> DataFrame:
    """Extracts one batch, and reads its rows."""
    extraction.run("t")
    manifest = extraction.ledger("t").latest()
    assert manifest is not None
    return spark.read.parquet(*[f"file://{extraction.root}/{file.key}" for file in manifest.files])


def test_what_postgresql_has_arrives_as_the_page_says_by_watermark_by_snapshot_and_by_log(
    spark: SparkSession, postgres: PostgresServer, tmp_path: Path
) -> None:
    typed = Typed("postgresql")
    columns = ", ".join(f"c{number} {column['type']}" for number, column in enumerate(typed.columns))
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        # Of the session's formats nothing depends.
        connection.execute("SET synchronous_commit = on")
        for statement in (
            "CREATE TYPE an_enum AS ENUM ('x', 'two words')",
            "CREATE DOMAIN an_inner AS numeric(10,2)",
            "CREATE DOMAIN a_domain AS an_inner CHECK (VALUE <> 0)",
            "CREATE TYPE a_row AS (number int, word text)",
            f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT '2018-01-01', {columns})",
            "ALTER TABLE t REPLICA IDENTITY FULL",
            "CREATE PUBLICATION types FOR TABLE t",
        ):
            connection.execute(statement)  # type: ignore[call-overload]
        insert = f"INSERT INTO t VALUES (%s, DEFAULT{', %s' * len(typed.columns)})"
        for number, row in enumerate(typed.rows):
            connection.execute(insert, [number, *row])  # type: ignore[call-overload]
        watermark = {"kind": "watermark", "column": "at"}
        by_watermark = read(
            Uncollected(
                spark, source("postgresql", "t", watermark, len(typed.columns)), secret(postgres), tmp_path / "w"
            ),
            spark,
        )
        log = {"kind": "log", "slot": "types", "publication": "types"}
        logged = Uncollected(
            spark, source("postgresql", "t", log, len(typed.columns)), secret(postgres), tmp_path / "l"
        )
        by_snapshot = read(logged, spark)
        connection.execute("UPDATE t SET at = '2018-01-02'")
        by_log = read(logged, spark)
    expected = {f"c{number}": column["arrives"] for number, column in enumerate(typed.columns)}
    for rows in (by_watermark, by_snapshot, by_log):
        assert types(rows) == expected
        assert differences(rows, typed) == []


def test_what_mysql_has_arrives_as_the_page_says(spark: SparkSession, mariadb: MariaDbServer, tmp_path: Path) -> None:
    typed = Typed("mysql")
    columns = ", ".join(f"c{number} {column['type']}" for number, column in enumerate(typed.columns))
    with mariadb.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute(
            f"CREATE TABLE t (id int PRIMARY KEY, at timestamp(6) NOT NULL DEFAULT '2018-01-01', {columns}) CHARSET utf8mb4"
        )
        for number, row in enumerate(typed.rows):
            values = [v if v is None or v.startswith(("b'", "x'")) else connection.escape(v) for v in row]
            cursor.execute(f"INSERT INTO t VALUES ({number}, DEFAULT, {', '.join(v or 'NULL' for v in values)})")
        watermark = {"kind": "watermark", "column": "at"}
        extraction = Uncollected(spark, source("mysql", "t", watermark, len(typed.columns)), secret(mariadb), tmp_path)
        rows = read(extraction, spark)
    assert types(rows) == {f"c{number}": column["arrives"] for number, column in enumerate(typed.columns)}
    assert differences(rows, typed) == []


DAYS = st.dates().map(str)
CLOCKS = st.times().map(str)
MOMENTS = st.one_of(
    st.datetimes().map(str),
    st.sampled_from(
        ["infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "0001-01-01 00:00:00 BC"]
    ),
)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=25, min_value=-(10**30), max_value=10**30).map(str),
    st.builds(lambda digits, exponent: f"{digits}e{exponent}", st.integers(-(10**40), 10**40), st.integers(-60, 60)),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "0", "-0.0"]),
)
PLAIN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
DRAWN = {
    "numeric": NUMBERS,
    "numeric(38,10)": st.decimals(
        allow_nan=False, allow_infinity=False, places=10, max_value=10**27, min_value=-(10**27)
    ).map(str),
    "date": st.one_of(DAYS, st.sampled_from(["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"])),
    "timestamp": MOMENTS,
    "timestamptz": MOMENTS,
    "time": CLOCKS,
    "double precision": st.floats(width=64).map(str),
    "real": st.floats(width=32).map(str),
    "text": PLAIN,
    "text[]": st.lists(st.one_of(st.none(), PLAIN), max_size=3),
    "numeric[]": st.lists(NUMBERS, max_size=3),
    "timestamptz[]": st.lists(MOMENTS, max_size=2),
}


def test_whatever_the_values_are_a_snapshot_a_log_and_a_watermark_tell_the_same_and_nothing_gets_lost(
    spark: SparkSession, postgres: PostgresServer, tmp_path: Path
) -> None:
    rows = list(zip(*(drawn(values, 120) for values in DRAWN.values()), strict=False))
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(DRAWN))
    given = [f"CAST(%s::text{'[]' if type_.endswith('[]') else ''} AS {type_})" for type_ in DRAWN]
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for statement in (
            f"CREATE TABLE anything (id int PRIMARY KEY, at timestamptz DEFAULT '2018-01-01', {columns})",
            "ALTER TABLE anything REPLICA IDENTITY FULL",
            "CREATE PUBLICATION anything FOR TABLE anything",
        ):
            connection.execute(statement)  # type: ignore[call-overload]
        with connection.transaction():
            for number, row in enumerate(rows):
                connection.execute(f"INSERT INTO anything VALUES (%s, DEFAULT, {', '.join(given)})", [number, *row])  # type: ignore[call-overload]
        ways = {
            "watermark": {"kind": "watermark", "column": "at"},
            "log": {"kind": "log", "slot": "anything", "publication": "anything"},
        }
        by = {
            name: Uncollected(
                spark, source("postgresql", "anything", how, len(DRAWN)), secret(postgres), tmp_path / name
            )
            for name, how in ways.items()
        }
        found = [read(by["watermark"], spark), read(by["log"], spark)]
        connection.execute("UPDATE anything SET at = '2018-01-02'")
        found.append(read(by["log"], spark))
        told = connection.execute("SELECT c0 FROM anything ORDER BY id").fetchall()
    arrived = [as_text(frame) for frame in found]
    assert arrived[0] == arrived[1] == arrived[2]
    assert len(arrived[0]) == len(rows)
    for row, (number,) in zip(arrived[0], told, strict=True):
        value = row["values"]["c0"]
        # A number is the same, or told as unread: never another one.
        assert ("c0" in row["unread"]) if value is None else (Decimal(value) == number)
        assert all((row["values"][name] is None) == (name in row["unread"]) for name in row["values"])


def lined(**stream: Any) -> JdbcSource:
    declared = {
        "table": "lines",
        "relation": "lines",
        "read": {"kind": "watermark", "column": "at", "overlap_minutes": 10},
        "partition_column": "id",
        "partitions": 3,
        "raw": ["id", "Net Weight", "total", "quantity", "open_at"],
        "columns": {"total_or_zero": "coalesce(total, 0)", "weight": "Net_Weight"},
        **stream,
    }
    return JdbcSource.model_validate(
        {"kind": "jdbc", "name": "shop", "engine": "postgresql", "secret": "s", "streams": {"t": declared}}
    )


LINES = Table.model_validate(
    {
        "table": "lines",
        "owner": "Shop",
        "note": "One row for each line.",
        "key": ["id"],
        "columns": {
            "id": {"type": "bigint"},
            "total_or_zero": {"type": "decimal(14,2)"},
            "weight": {"type": "decimal(10,3)"},
            "quantity": {"type": "int"},
        },
    }
)


def test_a_relation_that_changes_under_its_stream_holds_up_no_row_and_is_told_once(
    spark: SparkSession, postgres: PostgresServer, tmp_path: Path
) -> None:
    extraction = Extraction(spark, lined(), secret(postgres), tmp_path)
    ledger = extraction.ledger("t")

    def judged() -> dict[int, list[str]]:
        rows = extraction.run("t") or []
        assert rows
        manifest = ledger.latest()
        assert manifest is not None
        raw = spark.read.parquet(*[f"file://{tmp_path}/{file.key}" for file in manifest.files])
        raw = raw.select(F.lit(1).alias(BATCH), F.lit("f").alias(FILE), F.lit(None).cast("bigint").alias(ROW), "*")
        stream = extraction.source.streams["t"]
        typed = judge_rows(typed_columns(stream, LINES, raw), row_predicates(stream, LINES, None), {})
        return {int(row.id): row[REASONS] for row in typed.collect()}

    def told() -> tuple[list[str], list[str]]:
        manifest = ledger.latest()
        assert manifest is not None
        return [str(change) for change in manifest.drift], [str(change) for change in manifest.beside]

    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        # A key without a bound splits reads as well, whatever is in it.
        connection.execute(
            'CREATE TABLE lines (id numeric, at timestamptz, "Net Weight" numeric(10,3), total numeric(14,2), quantity int, '
            "open_at time, phone text)"
        )
        connection.execute(
            "INSERT INTO lines VALUES (1, '2018-01-01', 1.5, 1, 1, '24:00', 'x'), (2, '2018-01-01', 'NaN', 2, 2, '10:00', 'x'), "
            "(3, '2018-01-01', NULL, 'NaN', NULL, NULL, 'x'), (4, 'infinity', 1, 1, 1, NULL, 'x')"
        )
        assert judged() == {1: [], 2: ["weight_readable"], 3: ["total_or_zero_readable"], 4: []}
        assert told() == ([], [])
        connection.execute(
            "ALTER TABLE lines ALTER quantity TYPE bigint, ADD birthday date, DROP phone, ALTER total TYPE text USING total::text"
        )
        connection.execute(
            "INSERT INTO lines VALUES (5, '2018-01-02', 1, 'free', 3000000000, NULL, NULL), (6, '2018-01-02', 1, '7.10', 5, NULL, NULL)"
        )
        found = judged()
        assert (found[5], found[6]) == (["total_or_zero_readable", "quantity_readable"], [])
        assert told() == (
            ["field total was numeric(14,2) and is text", "field quantity was integer and is bigint"],
            ["new field birthday (date, not read)", "field phone (text) is missing"],
        )
        connection.execute("INSERT INTO lines VALUES (7, '2018-01-03', 1, '1', 1, NULL, NULL)")
        assert judged()[7] == []
        assert told() == ([], [])
    manifest = ledger.latest()
    assert manifest is not None
    assert manifest.fields["quantity"] == "int"
    assert "birthday" not in manifest.fields


def test_a_declared_column_that_the_log_does_not_have_is_refused_with_a_way_that_leads_out(
    spark: SparkSession, postgres: PostgresServer, tmp_path: Path
) -> None:
    log = {"read": {"kind": "log", "slot": "made", "publication": "made"}, "columns": {"lsn": "_lsn"}, "partitions": 1}
    extraction = Extraction(spark, lined(relation="made", raw=["id", "twice"], **log), secret(postgres), tmp_path)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for statement in (
            "CREATE TABLE made (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
            "ALTER TABLE made REPLICA IDENTITY FULL",
            "CREATE PUBLICATION made FOR TABLE made",
            "INSERT INTO made VALUES (1)",
        ):
            connection.execute(statement)  # type: ignore[call-overload]
        with pytest.raises(FatalSourceError, match=r"the change log does not have twice.* take it out of `raw`"):
            extraction.run("t")
        assert extraction.ledger("t").latest() is None
        extraction.source = lined(relation="made", raw=["id"], **{**log, "columns": {"lsn": "_lsn", "twice": "id * 2"}})
        assert [row["id"] for row in extraction.run("t") or []] == [1]
        connection.execute("UPDATE made SET id = 3")
        assert sorted(row["id"] for row in extraction.run("t") or []) == [1, 3]


def test_a_time_that_was_read_as_a_timestamp_goes_on_so(spark: SparkSession) -> None:
    times = ["12:30:00.123456", "24:00:00", "26:30:00", "-00:30:00", None]
    columns = [of_postgres("t", "time without time zone", '"t"')]
    rows = spark.createDataFrame([(n, t) for n, t in enumerate(times)], "id int, t string")
    found = typed_rows(rows, columns, {"t": "timestamp?"}).selectExpr("id", "cast(t as string) t", UNREAD).orderBy("id")
    told = [(row.t, json.loads(row[UNREAD] or "{}").get("t")) for row in found.collect()]
    assert told == [("1970-01-01 12:30:00.123456", None), *((None, text) for text in times[1:])]
    anew = typed_rows(rows, columns, {}).where("t IS NOT NULL").orderBy("id")
    assert [row.t for row in anew.collect()] == times[:4]
