"""Reading Snowflake with its own connector from fakesnow's server: every row once, with its types, from key pair to Parquet."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from headwater.config import SnowflakeSource
from headwater.errors import FatalSourceError, RetriableSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Manifest
from headwater.ledger.positions import BoundedPosition
from headwater.ledger.raw import UNREAD
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.sources import snowflake as snowflake_stream
from headwater.sources import watermark
from headwater.sources.snowflake import connected
from local.counterparts import Place
from local.counterparts.snowflake import Snowflake
from local.postgres import free_port

COLUMNS = """id NUMBER(38,0), price NUMBER(38,9), small NUMBER(9,2), doc VARIANT, note VARCHAR, day DATE,
    ntz TIMESTAMP_NTZ, ltz TIMESTAMP_LTZ, tz TIMESTAMP_TZ"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    snowflake = Snowflake(Place(tmp_path_factory.mktemp("snowflake"), "", "", "", ""))
    snowflake.start()
    yield snowflake
    snowflake.stop()


def _no_type_changes(changed: object) -> None:
    raise AssertionError(changed)


class Relation:
    """A table of its own, and the ledger of the stream that reads it."""

    def __init__(self, server: Snowflake, ledger: StreamLedger, column: str, **changes: Any) -> None:
        self.server = server
        self.ledger = ledger
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.sql(f"CREATE TABLE {self.name} ({COLUMNS})")
        stream = {
            "relation": f"b2b.{self.name}",
            "table": "things",
            "read": {"kind": "watermark", "column": column, "overlap_minutes": 10},
            "raw": "all",
            **changes,
        }
        declared = {"kind": "snowflake", "name": "snowflake", "secret": "snowflake", "database": "SALES"}
        self.source = SnowflakeSource.model_validate(
            {**declared, "warehouse": "LOAD_WH", "streams": {"things": stream}}
        )

    def sql(self, *statements: str) -> None:
        with self.server.connected() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def put(
        self,
        key: int,
        moment: str,
        *,
        price: str = "1.5",
        small: str = "2.25",
        doc: str = '{"a": 1}',
        note: str = "x",
        day: str = "2018-01-01",
    ) -> None:
        """Inserts a row or replaces it; `moment` is in UTC."""
        self.sql(
            f"DELETE FROM {self.name} WHERE id = {key}",
            f"INSERT INTO {self.name} SELECT {key}, {price}, {small}, PARSE_JSON('{doc}'), '{note}', '{day}', "
            f"'{moment}'::TIMESTAMP_NTZ, '{moment}'::TIMESTAMP_LTZ, '{moment}'::TIMESTAMP_TZ",
        )

    def read(
        self,
        window: tuple[date, date] | None = None,
        secret: dict[str, str] | None = None,
        keep: snowflake_stream.Keep = _no_type_changes,
    ) -> Manifest | None:
        columns = self.source.streams["things"].raw_fields
        writer = BatchWriter.begin(self.ledger, "run", None, window, columns=columns)
        with connected(self.source, secret or self.server.secret()) as connection:
            return snowflake_stream.read(connection, self.source.streams["things"], writer, window, keep)

    def rows(self, manifest: Manifest | None) -> dict[int, dict[str, Any]]:
        """The rows of a batch by their id."""
        assert manifest is not None
        bodies = [self.ledger.bucket.read(file.key) for file in manifest.files]
        tables = [pq.read_table(io.BytesIO(body)) for body in bodies if body is not None]
        rows = pa.concat_tables(tables).to_pylist()
        assert len(rows) == manifest.rows
        assert {row.pop(UNREAD) for row in rows} == {None}
        return {int(row["id"]): row for row in rows}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[StreamLedger]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="eu-west-1")
        client.create_bucket(Bucket="raw", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield Ledger(Bucket(client, "raw")).stream("snowflake", "things")


@pytest.fixture(params=["ntz", "ltz", "tz"])
def relation(request: pytest.FixtureRequest, server: Snowflake, ledger: StreamLedger) -> Relation:
    """A table whose watermark is of one kind of timestamp after another."""
    return Relation(server, ledger, request.param)


def test_only_what_is_new_is_read_and_an_unchanged_table_writes_nothing(relation: Relation) -> None:
    relation.put(1, "2018-01-01 10:00:00.000001")
    relation.put(2, "2018-01-01 11:59:59.999999")
    assert relation.rows(relation.read()).keys() == {1, 2}
    objects = list(relation.ledger.bucket.keys(""))
    assert relation.read() is None
    assert list(relation.ledger.bucket.keys("")) == objects
    relation.put(1, "2018-01-02 00:00:00")
    relation.put(3, "2018-01-02 00:00:01")
    assert relation.rows(relation.read()).keys() == {1, 3}
    # Dated before the newest row, and committed after it was read.
    relation.put(4, "2018-01-01 23:56:00")
    assert relation.rows(relation.read()).keys() == {1, 3, 4}
    assert relation.read() is None


@pytest.fixture
def things(server: Snowflake, ledger: StreamLedger) -> Relation:
    return Relation(server, ledger, "ntz")


def test_a_row_that_arrives_while_the_batch_is_read_has_its_turn_in_the_next(
    things: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    things.put(1, "2018-01-01 10:00:00")
    decide = watermark.news

    def then_commit(*arguments: Any) -> Any:
        span = decide(*arguments)
        things.put(2, "2018-01-01 10:00:01")
        return span

    with monkeypatch.context() as patch:
        patch.setattr(watermark, "news", then_commit)
        assert things.rows(things.read()).keys() == {1}
    assert things.rows(things.read()).keys() == {2}


def test_every_type_arrives_as_it_was(things: Relation) -> None:
    big = "12345678901234567890123456789.123456789"
    document = '{"a": [1, "é"], "b": null}'
    things.put(1, "9999-12-31 23:59:59.999999", price=big, small="-0.05", doc=document, note="é漢🎁", day="0001-01-01")
    things.put(2, "1969-07-20 20:17:40")
    things.sql(f"UPDATE {things.name} SET price = NULL, small = NULL, doc = NULL, note = NULL, day = NULL WHERE id = 2")
    rows = things.rows(things.read())
    moon, end = datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
    assert rows[1] == {
        "id": 1,
        "price": Decimal(big),
        "small": Decimal("-0.05"),
        "doc": '{"a":[1,"é"],"b":null}',
        "note": "é漢🎁",
        "day": date(1, 1, 1),
        **dict.fromkeys(("ntz", "ltz", "tz"), end),
    }
    assert rows[2] == {
        "id": 2,
        **dict.fromkeys(("price", "small", "doc", "note", "day")),
        **dict.fromkeys(("ntz", "ltz", "tz"), moon),
    }


def test_a_missing_moment_stays_missing(things: Relation) -> None:
    things.put(1, "2018-01-01 00:00:00")
    things.sql(f"UPDATE {things.name} SET ltz = NULL, tz = NULL")
    [row] = things.rows(things.read()).values()
    assert (row["ltz"], row["tz"]) == (None, None)


def test_a_backfill_reads_its_days_and_leaves_the_position(things: Relation) -> None:
    for day in range(1, 6):
        things.put(day, f"2018-01-0{day} 00:00:00")
    things.read()
    before = things.ledger.position()
    again = things.read(window=(date(2018, 1, 2), date(2018, 1, 3)))
    assert things.rows(again).keys() == {2, 3}
    assert again is not None
    assert isinstance(before, BoundedPosition)
    assert (again.mode, things.ledger.position()) == ("backfill", before.doubted())
    assert things.rows(things.read()).keys() == {5}
    assert things.ledger.position() == before
    assert things.read() is None


def test_a_row_from_the_future_or_without_a_date_is_read_once_and_hides_nothing(relation: Relation) -> None:
    relation.put(1, "2018-01-01 10:00:00")
    assert relation.rows(relation.read()).keys() == {1}
    relation.put(2, "9999-12-31 00:00:00")
    relation.put(3, "2018-01-01 10:00:00")
    relation.sql(f"UPDATE {relation.name} SET ntz = NULL, ltz = NULL, tz = NULL WHERE id = 3")
    assert relation.rows(relation.read()).keys() == {2, 3}
    assert relation.read() is None
    relation.put(4, "2018-01-02 10:00:00")
    assert relation.rows(relation.read()).keys() == {4}
    assert relation.read() is None


def test_a_password_opens_the_door_as_well(things: Relation) -> None:
    things.put(1, "2018-01-01 00:00:00")
    secret = {name: value for name, value in things.server.secret().items() if name != "private_key"}
    assert things.rows(things.read(secret={**secret, "password": "any"})).keys() == {1}


def test_a_table_that_is_not_there_is_a_matter_for_a_person(things: Relation) -> None:
    things.sql(f"DROP TABLE {things.name}")
    with pytest.raises(FatalSourceError, match=things.name.upper()):
        things.read()
    assert things.ledger.latest() is None


def test_a_server_that_is_away_is_asked_again_later(things: Relation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowflake_stream, "_LOGIN_SECONDS", 1)
    secret = {**things.server.secret(), "port": str(free_port())}
    with pytest.raises(RetriableSourceError):
        things.read(secret=secret)


def test_two_stacks_never_share_a_server(server: Snowflake, tmp_path: Path) -> None:
    another = Snowflake(Place(tmp_path, "", "", "", ""))
    try:
        another.start()
        assert another.port != server.port
    finally:
        another.stop()


def test_its_databases_outlive_the_server(things: Relation) -> None:
    things.put(1, "2018-01-01 00:00:00")
    things.server.stop()
    things.server.start()
    assert things.rows(things.read()).keys() == {1}


def test_just_what_is_declared_is_read(server: Snowflake, ledger: StreamLedger) -> None:
    raw = ["id", "order", "the-ref", "note"]
    things = Relation(server, ledger, "ntz", raw=raw, where="note LIKE 'good%' OR note = 'it''s' -- or so")
    for key, note in enumerate(["good", "bad", "it''s"], 1):
        things.put(key, "2018-01-01 00:00:00", note=note)
    things.sql(
        f'ALTER TABLE {things.name} ADD COLUMN "ORDER" VARCHAR',
        f'ALTER TABLE {things.name} ADD COLUMN "The-Ref" VARCHAR',
        f"""UPDATE {things.name} SET "ORDER" = 'o', "The-Ref" = 'r'""",
    )
    read = things.rows(things.read())
    day = datetime(2018, 1, 1, tzinfo=UTC)
    assert read == {
        1: {"id": 1, "order": "o", "the-ref": "r", "note": "good", "ntz": day},
        3: {"id": 3, "order": "o", "the-ref": "r", "note": "it's", "ntz": day},
    }
    # What is left out neither moves the position nor is it a change.
    things.sql(
        f"UPDATE {things.name} SET ntz = '2018-02-01' WHERE id = 2", f"UPDATE {things.name} SET price = 9 WHERE id = 1"
    )
    assert things.read() is None
    assert things.rows(things.read(window=(date(2018, 1, 1), date(2018, 2, 1)))).keys() == {1, 3}
    things.sql(f'ALTER TABLE {things.name} DROP COLUMN "The-Ref"')
    with pytest.raises(FatalSourceError, match=rf"b2b\.{things.name} has no column the-ref; known: id, price, "):
        things.read()


def test_a_stream_that_read_all_reads_on_with_what_it_declares(things: Relation) -> None:
    things.put(1, "2018-01-01 00:00:00")
    things.read()
    stream = things.source.streams["things"].model_copy(update={"raw": ("id", "note")})
    things.source = things.source.model_copy(update={"streams": {"things": stream}})
    things.put(2, "2018-01-01 01:00:00")
    manifest = things.read()
    assert things.rows(manifest)[2].keys() == {"id", "note", "ntz"}
    assert manifest is not None
    assert (manifest.drift, manifest.fields.keys()) == ((), {"id", "note", "ntz"})


def test_a_column_that_becomes_of_another_type_keeps_the_one_that_it_had_and_is_told_once(things: Relation) -> None:
    things.put(1, "2018-01-01 00:00:00")
    things.read()
    kept: list[Mapping[str, str]] = []
    things.sql(f"ALTER TABLE {things.name} DROP COLUMN small", f"ALTER TABLE {things.name} ADD COLUMN small VARCHAR")
    told = []
    for key in (2, 3):
        things.sql(f"INSERT INTO {things.name} (id, ntz, small) VALUES ({key}, '2018-01-0{key}', 'x')")
        manifest = things.read(keep=kept.append)
        assert manifest is not None
        assert manifest.fields["small"] == "decimal128(9, 2)"
        told.append([str(change) for change in manifest.drift])
    assert kept == [{"small": "decimal(9, 2)"}] * 2
    assert told == [["field small was FIXED and is TEXT"], []]
