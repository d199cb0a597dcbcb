"""Unloading a relation of the local warehouse into raw: what is new, once, without a row going over a connection."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.config import RedshiftStream, Warehouse
from headwater.errors import FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Manifest
from headwater.ledger.positions import BoundedPosition, Position
from headwater.ledger.raw import UNREAD
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.sources import redshift as redshift_stream
from headwater.sources import watermark
from headwater.sources.redshift import unload
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support.aws import Aws, make_own_role

WAREHOUSE = Warehouse(
    workgroup="local", database="headwater", copy_role="arn:aws:iam::123456789012:role/headwater-local"
)


@pytest.fixture(scope="module")
def endpoint(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("redshift")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as url:
        make_own_role(url)
        Aws(url, home, "-").workgroup("local")
        yield url, home


@dataclass
class Relation:
    """A table of its own in the warehouse, and the ledger of the stream that reads it."""

    dsn: str
    api: Any
    ledger: StreamLedger
    stream: RedshiftStream

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode())

    def put(self, key: int, moment: str) -> None:
        """Inserts a row or replaces it; `moment` is in UTC."""
        self.sql(
            f"DELETE FROM {self.stream.relation} WHERE id = {key};"
            f"INSERT INTO {self.stream.relation} VALUES ({key}, 1.5, 'it''s é', true, '{moment}', '{moment}+00')"
        )

    def writer(self, window: tuple[date, date] | None = None) -> BatchWriter:
        return BatchWriter.begin(self.ledger, "run", None, window, columns=self.stream.raw_fields)

    def read(self, window: tuple[date, date] | None = None) -> set[int] | None:
        """Unloads and commits a batch as the job does; tells the ids of its rows, None when there are none."""
        writer = self.writer(window)
        unloaded = unload(self.api, WAREHOUSE, self.stream, writer, window)
        if unloaded is None or not unloaded[1]:
            return None
        writer.files += unloaded[1]
        return {row["id"] for row in self.rows(writer.commit(unloaded[0].after))}

    def rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        bodies = [self.ledger.bucket.read(file.key) for file in manifest.files]
        rows = pa.concat_tables([pq.read_table(io.BytesIO(body)) for body in bodies if body]).to_pylist()
        assert len(rows) == manifest.rows == sum(file.rows for file in manifest.files)
        assert {row.pop(UNREAD) for row in rows} == {None}
        return rows

    def position(self) -> Position | None:
        return self.ledger.position()


@pytest.fixture(params=["updated_at", "plain_at"])
def relation(request: pytest.FixtureRequest, postgres: PostgresServer, endpoint: tuple[str, Path]) -> Relation:
    """A table whose watermark has a time zone, and one whose watermark has none."""
    return _relation(postgres, endpoint, request.param)


@pytest.fixture
def things(postgres: PostgresServer, endpoint: tuple[str, Path]) -> Relation:
    return _relation(postgres, endpoint, "updated_at")


def _relation(postgres: PostgresServer, endpoint: tuple[str, Path], column: str, **changes: Any) -> Relation:
    aws = Aws(*endpoint, f"test-{uuid.uuid4().hex[:12]}")
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    stream = RedshiftStream.model_validate(
        {
            "relation": f"t{uuid.uuid4().hex[:8]}.things",
            "table": "things",
            "row_id": "id",
            "read": {"kind": "watermark", "column": column, "overlap_minutes": 10},
            "raw": "all",
            **changes,
        }
    )
    ledger = Ledger(Bucket(aws.client("s3"), aws.bucket)).stream("redshift", "things")
    made = Relation(postgres.dsn, aws.client("redshift-data"), ledger, stream)
    made.sql(
        f"CREATE SCHEMA {stream.relation.partition('.')[0]}; CREATE TABLE {stream.relation} (id bigint, "
        "amount numeric(14,2), note varchar(64), flag boolean, plain_at timestamp, updated_at timestamptz)"
    )
    return made


def test_only_what_is_new_is_unloaded_and_an_unchanged_table_writes_nothing(relation: Relation) -> None:
    relation.put(1, "2018-01-01 10:00:00.000001")
    relation.put(2, "2018-01-01 11:59:59.999999")
    assert relation.read() == {1, 2}
    objects = list(relation.ledger.bucket.keys(""))
    assert relation.read() is None
    assert list(relation.ledger.bucket.keys("")) == objects
    relation.put(1, "2018-01-02 00:00:00")
    relation.put(3, "2018-01-02 00:00:01")
    assert relation.read() == {1, 3}
    # Dated before the newest row, and committed after it was read.
    relation.put(4, "2018-01-01 23:56:00")
    assert relation.read() == {1, 3, 4}
    assert relation.read() is None


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
        assert things.read() == {1}
    assert things.read() == {2}


def test_rows_keep_their_types(things: Relation) -> None:
    things.put(1, "2018-01-01 10:00:00.123456")
    things.read()
    moment = datetime(2018, 1, 1, 10, 0, 0, 123456, UTC)
    assert things.rows(things.ledger.manifest(1)) == [
        {
            "id": 1,
            "amount": Decimal("1.50"),
            "note": "it's é",
            "flag": True,
            "plain_at": moment.replace(tzinfo=None),
            "updated_at": moment,
        }
    ]


def test_a_backfill_unloads_its_days_and_leaves_the_position(things: Relation) -> None:
    for day in range(1, 6):
        things.put(day, f"2018-01-0{day} 00:00:00")
    things.read()
    before = things.position()
    window = (date(2018, 1, 2), date(2018, 1, 3))
    assert isinstance(before, BoundedPosition)
    assert (things.read(window), things.position()) == ({2, 3}, before.doubted())
    assert (things.read(), things.position()) == ({5}, before)
    assert things.read((date(2019, 1, 1), date(2019, 1, 2))) is None


def test_a_row_from_the_future_or_without_a_date_is_unloaded_once_and_hides_nothing(relation: Relation) -> None:
    relation.put(1, "2018-01-01 10:00:00")
    assert relation.read() == {1}
    relation.put(2, "9999-12-31 00:00:00")
    relation.sql(f"INSERT INTO {relation.stream.relation} (id) VALUES (3)")
    assert relation.read() == {2, 3}
    assert relation.read() is None
    relation.put(4, "2018-01-02 10:00:00")
    assert relation.read() == {4}
    relation.sql(f"INSERT INTO {relation.stream.relation} SELECT 5, 1.5, 'now', true, now() AT TIME ZONE 'UTC', now()")
    assert relation.read() == {5}
    assert relation.read() is None
    relation.sql(f"UPDATE {relation.stream.relation} SET id = 6 WHERE id = 3")
    assert relation.read() == {2, 6}
    assert relation.read() is None


def test_an_unload_whose_job_died_leaves_orphans_alone(things: Relation) -> None:
    things.put(1, "2018-01-01 10:00:00")
    dead = things.writer()
    unload(things.api, WAREHOUSE, things.stream, dead, None)
    orphans = {key for key, *_ in things.ledger.bucket.keys(dead.data_prefix)}
    assert orphans
    assert things.ledger.latest() is None
    assert things.read() == {1}
    assert orphans.isdisjoint(file.key for file in things.ledger.manifest(1).files)


def test_what_redshift_refuses_leaves_no_batch(things: Relation) -> None:
    things.sql(f"DROP TABLE {things.stream.relation}")
    with pytest.raises(FatalSourceError, match=r"things does not exist, or this user may not read it"):
        things.read()
    assert things.ledger.latest() is None


def test_just_what_is_declared_is_unloaded(postgres: PostgresServer, endpoint: tuple[str, Path]) -> None:
    where = "note LIKE 'good%' OR \"order\" = 'it''s' -- or so"
    things = _relation(postgres, endpoint, "updated_at", raw=["order", "the-ref"], where=where)
    for key in (1, 2, 3):
        things.put(key, "2018-01-01 10:00:00")
    relation = things.stream.relation
    things.sql(
        f"ALTER TABLE {relation} ADD \"order\" varchar(9) DEFAULT 'o', ADD \"the-ref\" varchar(9) DEFAULT 'r'; "
        f"UPDATE {relation} SET note = 'good' WHERE id = 1; UPDATE {relation} SET \"order\" = 'it''s' WHERE id = 3"
    )
    assert things.read() == {1, 3}
    moment = datetime(2018, 1, 1, 10, tzinfo=UTC)
    rows = things.rows(things.ledger.manifest(1))
    assert sorted(rows, key=lambda row: int(row["id"])) == [
        {"order": order, "the-ref": "r", "updated_at": moment, "id": key} for key, order in ((1, "o"), (3, "it's"))
    ]
    # What is left out neither moves the position nor is it a change.
    things.sql(f"UPDATE {relation} SET updated_at = '2018-02-01 00:00:00+00' WHERE id = 2")
    assert things.read() is None
    assert things.read((date(2018, 1, 1), date(2018, 2, 1))) == {1, 3}
    things.sql(f'ALTER TABLE {relation} DROP "the-ref"')
    with pytest.raises(FatalSourceError, match=r"things has no column the-ref; known: id, amount, "):
        things.read()


def test_a_relation_without_a_schema_is_that_of_the_search_path(things: Relation) -> None:
    name = f"t{uuid.uuid4().hex[:8]}"
    things.sql(f"CREATE TABLE public.{name} (LIKE {things.stream.relation})")
    things.stream = things.stream.model_copy(update={"relation": name})
    things.put(1, "2018-01-01 10:00:00")
    assert things.read() == {1}


@pytest.mark.parametrize("change", [{"relation": "a.b; DROP TABLE c"}, {"row_id": "id)"}, {"relation": "a.b'"}])
def test_a_name_that_is_no_plain_name_is_refused(change: dict[str, str], things: Relation) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        RedshiftStream.model_validate(things.stream.model_dump(by_alias=True) | change)


def test_a_quote_in_a_value_ends_no_text() -> None:
    assert redshift_stream.quoted("col = 'x'") == "'col = ''x'''"
