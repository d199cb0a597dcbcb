"""What Snowflake and Redshift have arrives as docs/types.md says, and what is not declared neither travels nor stops anything."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import strategies as st

from headwater.config import RedshiftStream, SnowflakeSource, Warehouse
from headwater.config.relation import raw_name
from headwater.errors import FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.raw import UNREAD
from headwater.ledger.stream import Ledger
from headwater.sources import snowflake as snowflake_stream
from headwater.sources.redshift import unload
from headwater.sources.relation import double_quoted
from headwater.sources.snowflake import connected
from local.counterparts import Place
from local.counterparts.snowflake import Snowflake
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support.aws import Aws, make_own_role
from tests.support.draws import drawn
from tests.support.paths import ROOT

DECLARED: dict[str, list[dict[str, Any]]] = yaml.safe_load((ROOT / "tests" / "types.yaml").read_text())
WAREHOUSE = Warehouse(
    workgroup="local", database="headwater", copy_role="arn:aws:iam::123456789012:role/headwater-local"
)
MOMENT = "2018-01-01 10:00:00"
# What PostgreSQL, which stands in for Redshift, calls some types.
STANDING_IN = {"super": "jsonb", "varbyte": "bytea"}
PARSED = {"VARIANT": "PARSE_JSON", "OBJECT": "PARSE_JSON", "ARRAY": "PARSE_JSON"}


@pytest.fixture(scope="module")
def aws(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    home = tmp_path_factory.mktemp("aws")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as url:
        make_own_role(url)
        Aws(url, home, "-").workgroup("local")
        reached = Aws(url, home, f"test-{uuid.uuid4().hex[:12]}")
        where = {"LocationConstraint": "eu-west-1"}
        reached.client("s3").create_bucket(Bucket=reached.bucket, CreateBucketConfiguration=where)
        yield reached


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    snowflake = Snowflake(Place(tmp_path_factory.mktemp("snowflake"), "", "", "", ""))
    snowflake.start()
    yield snowflake
    snowflake.stop()


class Kind:
    """A warehouse in which a test makes a relation, and the stream that reads it."""

    engine: str

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.name = f"t{uuid.uuid4().hex[:8]}"

    def made(self, columns: Mapping[str, str], rows: Sequence[Sequence[str | None]]) -> None:
        """Makes the relation, with `id` and `moved` before its columns, and puts rows into it, their values as text."""
        raise NotImplementedError

    def batch(self, raw: Sequence[str] | str, writer: BatchWriter) -> bool:
        """Reads one batch, whose files the writer has then; False where nothing is new."""
        raise NotImplementedError

    def read(self, raw: Sequence[str] | str) -> tuple[pa.Schema, list[dict[str, Any]], BatchWriter]:
        ledger = Ledger(Bucket(self.aws.client("s3"), self.aws.bucket)).stream(self.engine, self.name)
        columns = None if raw == "all" else [raw_name(name) for name in (*raw, "id", "moved")]
        writer = BatchWriter.begin(ledger, "run", None, None, columns=columns)
        if not self.batch(raw, writer):
            return pa.schema([]), [], writer
        bodies = [ledger.bucket.read(file.key) for file in writer.files]
        table = pa.concat_tables([pq.read_table(io.BytesIO(body)) for body in bodies if body is not None])
        rows = [dict(zip(table.column_names, row, strict=True)) for row in zip(*map(told, table.columns), strict=True)]
        return table.schema, sorted(rows, key=lambda row: int(row["id"])), writer

    def stream(self, raw: Sequence[str] | str, **more: str) -> dict[str, Any]:
        read = {"kind": "watermark", "column": "moved"}
        return {
            "relation": f"b2b.{self.name}",
            "table": "things",
            "read": read,
            "raw": raw if raw == "all" else ["id", *raw],
            **more,
        }


class OfRedshift(Kind):
    engine = "redshift"

    def __init__(self, aws: Aws, postgres: PostgresServer) -> None:
        super().__init__(aws)
        self.dsn = postgres.dsn

    def made(self, columns: Mapping[str, str], rows: Sequence[Sequence[str | None]]) -> None:
        ddl = "".join(f", {double_quoted(name)} {STANDING_IN.get(type_, type_)}" for name, type_ in columns.items())
        with psycopg.connect(self.dsn) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS b2b")
            connection.execute(f"CREATE TABLE b2b.{self.name} (id bigint, moved timestamptz{ddl})".encode())
            insert = f"INSERT INTO b2b.{self.name} VALUES (%s, '{MOMENT}+00'{', %s' * len(columns)})"
            for number, row in enumerate(rows):
                connection.execute(insert.encode(), [number, *row])

    def batch(self, raw: Sequence[str] | str, writer: BatchWriter) -> bool:
        stream = RedshiftStream.model_validate(self.stream(raw, row_id="id"))
        unloaded = unload(self.aws.client("redshift-data"), WAREHOUSE, stream, writer, None)
        writer.files += unloaded[1] if unloaded else []
        return bool(writer.files)


class OfSnowflake(Kind):
    engine = "snowflake"

    def __init__(self, aws: Aws, server: Snowflake) -> None:
        super().__init__(aws)
        self.server = server

    def made(self, columns: Mapping[str, str], rows: Sequence[Sequence[str | None]]) -> None:
        ddl = "".join(f", {double_quoted(name)} {type_}" for name, type_ in columns.items())
        with self.server.connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {self.name} (id NUMBER(18,0), moved TIMESTAMP_NTZ{ddl})")
            for number, row in enumerate(rows):
                values = "".join(f", {literal(*pair)}" for pair in zip(row, columns.values(), strict=True))
                cursor.execute(f"INSERT INTO {self.name} SELECT {number}, '{MOMENT}'{values}")

    def batch(self, raw: Sequence[str] | str, writer: BatchWriter) -> bool:
        declared = {"kind": "snowflake", "name": "snowflake", "secret": "snowflake", "database": "SALES"}
        streams = {"things": self.stream(raw)}
        source = SnowflakeSource.model_validate({**declared, "warehouse": "LOAD_WH", "streams": streams})
        with connected(source, self.server.secret()) as connection:
            return snowflake_stream.read(connection, source.streams["things"], writer, None, lambda _: None) is not None


def literal(value: str | None, type_: str) -> str:
    """A value of Snowflake, made of its text."""
    if value is None:
        return "NULL"
    text = "'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))
    # What stands in for Snowflake takes bytes as a literal alone.
    return f"X{text}" if type_ == "BINARY" else f"{PARSED.get(type_, '')}({text})::{type_}"


@pytest.fixture(params=["redshift", "snowflake"])
def kind(request: pytest.FixtureRequest, aws: Aws, postgres: PostgresServer, server: Snowflake) -> Kind:
    return OfRedshift(aws, postgres) if request.param == "redshift" else OfSnowflake(aws, server)


def told(column: pa.ChunkedArray) -> list[str | None]:
    """Values as text; bytes as hexadecimal digits."""
    if pa.types.is_binary(column.type):
        return [None if value is None else value.hex().upper() for value in column.to_pylist()]
    return [None if value is None else str(value) for value in column.cast(pa.string()).to_pylist()]


def test_what_a_warehouse_has_arrives_as_the_page_says(kind: Kind) -> None:
    declared = DECLARED[kind.engine]
    given = [[*column["values"], *column.get("refused", ())] for column in declared]
    rows = [[c[n] if n < len(c) else None for c in given] for n in range(max(map(len, given)))]
    names = [f"c{number}" for number in range(len(declared))]
    kind.made({name: column["type"] for name, column in zip(names, declared, strict=True)}, rows)
    schema, found, _ = kind.read(names)
    assert {name: str(schema.field(name).type) for name in names} == {
        name: column["arrives"] for name, column in zip(names, declared, strict=True)
    }
    for row, came in zip(rows, found, strict=True):
        unread = json.loads(came[UNREAD] or "{}")
        for name, column, value in zip(names, declared, row, strict=True):
            refused = value in column.get("refused", ())
            assert (name in unread) == refused, (column["type"], value)
            assert came[name] == (None if value is None else column["values"].get(value)), column["type"]


NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cs", "Cc"], exclude_characters="\\"),
    min_size=1,
    max_size=12,
).map(str.lower)


def test_whatever_its_columns_are_called_just_those_that_are_declared_travel(kind: Kind) -> None:
    names = [*dict.fromkeys(["net weight", 'the "best" name', "it's", "order", "größe", *drawn(NAMES, 25)])]
    apart = {raw_name(name).casefold(): name for name in names if name not in {"id", "moved"}}
    # What stands in for Snowflake takes no apostrophe in a name.
    names = [name for name in apart.values() if kind.engine == "redshift" or "'" not in name]
    assert len(names) > 10
    # Snowflake has capitals where nobody quotes a name, which its stream declares in small letters.
    there = {n.upper() if kind.engine == "snowflake" and n.upper().lower() == n else n: "VARCHAR(9)" for n in names}
    kind.made(there, [["v"] * len(names)])
    wanted = names[::2]
    _, [row], writer = kind.read(wanted)
    assert row.keys() == {"id", "moved", UNREAD, *map(raw_name, wanted)}
    assert {row[raw_name(name)] for name in wanted} == {"v"}
    assert writer.relation is not None
    assert writer.relation.keys() == {"id", "moved", *map(raw_name, names)}
    _, [whole], _ = kind.read("all")
    assert whole.keys() == {"id", "moved", UNREAD, *map(raw_name, names)}
    with pytest.raises(FatalSourceError, match="has no column gone; known: id, moved"):
        kind.read(["gone"])


def test_a_relation_without_rows_is_read_and_nothing_is_there(kind: Kind) -> None:
    kind.made({"c": "DATE"}, [])
    assert kind.read(["c"])[1] == []
    assert kind.read("all")[1] == []
