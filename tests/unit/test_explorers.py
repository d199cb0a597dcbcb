"""What explores each kind of source, against what stands in for its driver: it says what may be read, and only reads."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from headwater.config import FilesSource, JdbcSource, KafkaSource, KinesisSource, RedshiftSource, SnowflakeSource
from headwater.deploy.project import load_environment
from headwater.errors import ConfigError, FatalSourceError, QueryError
from headwater.explore import databases, kafka
from headwater.explore.databases import DatabaseExplorer, MySql, Postgres
from headwater.explore.files import FilesExplorer
from headwater.explore.kafka import KafkaExplorer, open_kafka
from headwater.explore.kinesis import KinesisExplorer
from headwater.explore.redshift import RedshiftExplorer
from headwater.explore.secret import Secret
from headwater.explore.snowflake import SnowflakeExplorer
from headwater.sources.relation import double_quoted
from headwater.warehouse import data_api
from headwater.warehouse.data_api import Rows
from local.postgres import free_port
from tests.support.declared import project
from tests.support.paths import ROOT

DEV = load_environment(ROOT, "dev")
NO_SECRET = Secret({}, lambda new: None)


def declared(name: str, kind: type[Any]) -> Any:
    source = project().sources[name]
    assert isinstance(source, kind)
    return source


class Connection:
    """A session that answers by what a statement holds, and notes each."""

    def __init__(self, *answers: tuple[str, list[str], list[tuple[Any, ...]] | Exception]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def execute(self, sql: str, *_: object, **__: object) -> Connection:
        self.asked.append(sql)
        for part, names, rows in self.answers:
            if part in sql:
                if isinstance(rows, Exception):
                    raise rows
                self.description = [SimpleNamespace(name=name, __getitem__=None) for name in names]
                self.rows = rows
                return self
        raise AssertionError(f"no answer to {sql}")

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows

    def cursor(self) -> Connection:
        return self

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        pass


CATALOG = [
    ("shop", "orders", "order_id", "bigint", 1),
    ("shop", "orders", "total", "numeric(12,2)", 0),
    ("shop", "orders", "updated_at", "timestamp with time zone", 0),
]


def postgres(*answers: tuple[str, list[str], Any]) -> tuple[DatabaseExplorer, Connection]:
    connection = Connection(*answers)
    return DatabaseExplorer(declared("rds_postgres", JdbcSource), Postgres(connection, "reader")), connection


def test_a_table_that_can_be_read_is_told_of_with_its_columns() -> None:
    explorer, connection = postgres(("FROM shop.orders", ["order_id", "updated_at"], []))
    assert explorer.check("orders") == "shop.orders can be read, 2 columns"
    assert all(sql.startswith("SELECT") for sql in connection.asked)


def test_a_sample_shows_what_the_stream_reads_and_nothing_else() -> None:
    explorer, connection = postgres(("FROM shop.orders", ["order_id"], [(1,)]), ("pg_class", ["a"] * 5, CATALOG))
    assert explorer.sample("orders", 1).rows == [{"order_id": 1}]
    stream = explorer.source.streams["orders"]
    [sql] = [sql for sql in connection.asked if "shop.orders" in sql]
    names = ", ".join(map(double_quoted, stream.read_columns or ()))
    assert sql == f"SELECT {names} FROM shop.orders LIMIT 1"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (psycopg.errors.InsufficientPrivilege("permission denied for table orders"), "SELECT to reader"),
        (psycopg.errors.UndefinedTable('relation "shop.orders" does not exist'), "source discover"),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), "timeout"),
    ],
)
def test_a_table_that_cannot_be_read_comes_with_a_way_out(error: Exception, hint: str) -> None:
    explorer, _ = postgres(("FROM shop.orders", [], error))
    with pytest.raises(FatalSourceError, match=hint):
        explorer.check("orders")


def test_a_column_that_a_stream_is_read_by_must_be_there() -> None:
    explorer, _ = postgres(("FROM shop.orders", ["id"], []))
    with pytest.raises(ConfigError, match=r"no column updated_at, order_id; known: id"):
        explorer.check("orders")


READY = ("logical", True, True, "f", True)


@pytest.mark.parametrize(
    ("found", "slot", "said"),
    [
        (READY, [], "the first run makes slot"),
        (READY, [("pgoutput", True, "reserved")], "is there"),
        (("replica", *READY[1:]), [], "wal_level is replica"),
        (("logical", False, *READY[2:]), [], "GRANT rds_replication TO reader"),
        (("logical", True, False, "f", True), [], "CREATE PUBLICATION"),
        (("logical", True, True, "d", True), [], "REPLICA IDENTITY FULL"),
        (("logical", True, True, "f", False), [], "no primary key"),
        (READY, [("test_decoding", True, "reserved")], "declare another slot"),
        (READY, [("pgoutput", True, "lost")], "declare another slot"),
    ],
)
def test_what_a_change_log_needs_is_looked_at_and_nothing_is_made(
    found: tuple[Any, ...], slot: list[tuple[Any, ...]], said: str
) -> None:
    explorer, connection = postgres(
        ("FROM loyalty.accounts WHERE 1 = 0", ["account_id", "updated_at"], []),
        ("wal_level", ["a"] * 5, [found]),
        ("pg_replication_slots", ["p", "h", "s"], slot),
    )
    explorer = DatabaseExplorer(
        explorer.source.model_copy(
            update={
                "streams": {
                    "a": explorer.source.streams["loyalty_accounts"].model_copy(
                        update={"partition_column": "account_id"}
                    )
                }
            }
        ),
        explorer.dialect,
    )
    try:
        told = explorer.check("a")
    except FatalSourceError as error:
        told = str(error)
    assert said in told
    assert not [sql for sql in connection.asked if re.search(r"create_|advance|drop_|\bCREATE\b", sql)]


def test_tables_are_found_with_their_keys_and_versions() -> None:
    explorer, _ = postgres(("pg_attribute", ["a"] * 5, CATALOG))
    [found] = list(explorer.find())
    assert (found.name, found.key, found.version) == ("orders", ("order_id",), "updated_at")
    assert [field.type for field in found.fields] == ["bigint", "decimal(12,2)", "timestamp"]


def test_rows_are_sampled_with_their_types() -> None:
    explorer, _ = postgres(("LIMIT 3", ["order_id", "total"], [(1, "1.50")]), ("pg_attribute", ["a"] * 5, CATALOG))
    sample = explorer.sample("orders", 3)
    assert sample.rows == [{"order_id": 1, "total": "1.50"}]
    assert [field.type for field in sample.fields or ()] == ["bigint", "decimal(12,2)"]


@pytest.mark.parametrize(
    ("mysql", "spark"),
    [
        ("bigint(20) unsigned", "decimal(20,0)"),
        ("int(11)", "int"),
        ("int(10) unsigned", "bigint"),
        ("tinyint(1)", "int"),
        ("bit(1)", "boolean"),
        ("bit(8)", "bigint"),
        ("decimal(14,2)", "decimal(14,2)"),
        ("datetime(6)", "timestamp"),
        ("enum('a','b')", "string"),
        ("varbinary(16)", "binary"),
        ("json", "string"),
    ],
)
def test_a_mysql_type_is_what_spark_reads_it_as(mysql: str, spark: str) -> None:
    connection = Connection(("information_schema", ["a"] * 5, [("s", "t", "c", mysql, 0)]))
    connection.execute("information_schema")
    dialect = MySql(SimpleNamespace(cursor=lambda: Described(connection)), "reader")
    assert dialect.columns() == [("s", "t", "c", spark, 0)]


class Described:
    """A cursor as PyMySQL has it, whose description is made of tuples."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> Described:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, sql: str) -> None:
        self.connection.execute(sql)
        self.description = [(column.name,) for column in self.connection.description]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.connection.rows


@pytest.mark.parametrize("name", ["rds_postgres", "rds_mysql"])
def test_a_host_that_does_not_answer_is_one_line_without_the_password(name: str) -> None:
    values = {"host": "127.0.0.1", "port": str(free_port()), "dbname": "x", "username": "me", "password": "hunter22"}
    with (
        pytest.raises(FatalSourceError, match=r"no session at 127\.0\.0\.1") as failed,
        databases.open_database(declared(name, JdbcSource), Secret(values, lambda new: None)),
    ):
        pass
    assert "hint: " in str(failed.value)
    assert "\n" not in str(failed.value)
    assert "hunter22" not in str(failed.value)


def test_a_secret_that_lacks_something_is_told_of() -> None:
    secret = Secret({"host": "h"}, lambda new: None)
    with (
        pytest.raises(FatalSourceError, match="the secret has no port, dbname, username, password"),
        databases.open_database(declared("rds_postgres", JdbcSource), secret),
    ):
        pass


def test_the_warehouse_is_asked_through_the_data_api(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "WHERE 1 = 0": Rows(("session_id", "updated_at"), ()),
        "LIMIT 2": Rows(("session_id", "added_to_cart"), (("7", "true"), ("8", None))),
        "information_schema": Rows(
            ("a",) * 7,
            (
                ("behavior", "customer_behavior", "session_id", "bigint", None, None, "1"),
                ("behavior", "customer_behavior", "added_to_cart", "boolean", None, None, None),
                ("behavior", "customer_behavior", "updated_at", "timestamp without time zone", None, None, None),
            ),
        ),
    }
    monkeypatch.setattr(
        data_api, "query", lambda api, warehouse, sql, s: next(a for part, a in answers.items() if part in sql)
    )
    explorer = RedshiftExplorer(declared("redshift", RedshiftSource), DEV.warehouse, None)
    assert explorer.check("customer_behavior") == "behavior.customer_behavior can be read, 2 columns"
    assert explorer.sample("customer_behavior", 2).rows == [
        {"session_id": 7, "added_to_cart": True},
        {"session_id": 8, "added_to_cart": None},
    ]
    [found] = list(explorer.find())
    assert (found.key, found.version, found.declares["row_id"]) == (("session_id",), "updated_at", "session_id")


def test_a_warehouse_that_refuses_says_what_to_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise QueryError("Redshift refused: ERROR: permission denied for schema behavior")

    monkeypatch.setattr(data_api, "query", refuse)
    explorer = RedshiftExplorer(declared("redshift", RedshiftSource), DEV.warehouse, None)
    with pytest.raises(FatalSourceError, match="GRANT USAGE"):
        explorer.check("customer_behavior")


def test_snowflake_is_explored_by_its_information_schema() -> None:
    rows = [
        ("B2B", "ORDERS", "ORDER_ID", "NUMBER", 18, 0),
        ("B2B", "ORDERS", "TOTAL", "NUMBER", 18, 2),
        ("B2B", "ORDERS", "UPDATED_AT", "TIMESTAMP_TZ", None, None),
    ]
    connection = Connection(
        ("WHERE 1 = 0", ["ORDER_ID", "UPDATED_AT"], []),
        ("information_schema", ["a"] * 6, rows),
        (
            "SHOW PRIMARY KEYS",
            ["schema_name", "table_name", "column_name", "key_sequence"],
            [("B2B", "ORDERS", "ORDER_ID", 1)],
        ),
        ("LIMIT 1", ["ORDER_ID", "TOTAL"], [(1, "2.50")]),
    )
    explorer = SnowflakeExplorer(declared("snowflake", SnowflakeSource), connection)
    assert explorer.check("orders") == "b2b.orders can be read, 2 columns"
    [found] = list(explorer.find())
    assert (found.key, found.version) == (("order_id",), "updated_at")
    assert [field.type for field in explorer.sample("orders", 1).fields or ()] == ["bigint", "decimal(18,2)"]


class Landing:
    """A bucket in memory."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("__", "/").replace("_dot_", "."): body for name, body in files.items()}

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int) -> dict[str, Any]:  # noqa: N803
        listed = [
            {"Key": key, "Size": len(body), "LastModified": datetime(2026, 1, 1 + number, tzinfo=UTC)}
            for number, (key, body) in enumerate(self.files.items())
            if key.startswith(Prefix)
        ]
        return {"Contents": listed} if listed else {}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"ContentLength": len(self.files[Key])}

    def download_file(self, Bucket: str, Key: str, Filename: str) -> None:  # noqa: N803
        Path(Filename).write_bytes(self.files[Key])


HEADER = b"order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n"


def files(**given: bytes) -> FilesExplorer:
    return FilesExplorer(declared("s3_drops", FilesSource), NO_SECRET, "landing", Landing(**given))


def test_a_prefix_is_listed_and_its_newest_good_file_read() -> None:
    explorer = files(
        s3_drops__partner_orders__a_dot_csv=HEADER + b"1;2026-01-01;s;1;2.50;EUR;x;\n",
        s3_drops__partner_orders__b_dot_csv=b"a,b\n1,2\n",
    )
    told = explorer.check("partner_orders")
    assert "a.csv has 1 rows; but s3_drops/partner_orders/b.csv cannot be read (bad_header)" in told
    assert explorer.check("partner_catalog").endswith("can be listed; no file yet")
    assert [row.get("order_id") for row in explorer.sample("partner_orders", 5).rows] == ["1", None]


def test_a_prefix_without_a_good_file_says_what_is_wrong() -> None:
    with pytest.raises(FatalSourceError, match="bad_header"):
        files(s3_drops__partner_orders__b_dot_csv=b"a,b\n1,2\n").check("partner_orders")


def test_folders_become_streams_by_what_their_files_hold() -> None:
    rows = b'{"id": 1, "updated_at": "2026-01-01T00:00:00Z"}\n{"id": 2, "updated_at": "2026-01-02T00:00:00Z"}\n'
    [found] = list(files(s3_drops__new_things__x_dot_jsonl=rows, s3_drops__junk__y_dot_pdf=b"%PDF").find())
    assert (found.name, found.key, found.version) == ("new_things", ("id",), "updated_at")
    assert found.declares == {"prefix": "s3_drops/new_things/", "format": {"kind": "jsonl"}}


class Shards:
    """Kinesis with one shard, which answers with nothing first."""

    class exceptions:  # noqa: N801 - boto3's own name
        class ResourceNotFoundException(Exception):  # noqa: N818
            pass

    def __init__(self, *records: bytes, there: bool = True) -> None:
        self.records = records
        self.there = there

    def describe_stream_summary(self, StreamName: str) -> dict[str, Any]:  # noqa: N803
        if not self.there:
            raise self.exceptions.ResourceNotFoundException
        return {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "OpenShardCount": 1}}

    def list_shards(self, StreamName: str) -> dict[str, Any]:  # noqa: N803
        return {"Shards": [{"ShardId": "shard-0"}]}

    def get_shard_iterator(self, **given: str) -> dict[str, Any]:
        assert given["ShardIteratorType"] == "TRIM_HORIZON"
        return {"ShardIterator": "first"}

    def get_records(self, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        if ShardIterator == "first":
            return {"Records": [], "NextShardIterator": "second", "MillisBehindLatest": 5}
        arrived = datetime(2026, 1, 1, tzinfo=UTC)
        told = [
            {"SequenceNumber": str(n), "PartitionKey": "p", "Data": data, "ApproximateArrivalTimestamp": arrived}
            for n, data in enumerate(self.records)
        ]
        return {"Records": told, "NextShardIterator": None, "MillisBehindLatest": 0}


def test_records_of_a_stream_are_sampled_and_poison_has_its_problem() -> None:
    source = declared("kinesis", KinesisSource)
    explorer = KinesisExplorer(source, DEV, Shards(b'{"event_id": "e"}', b"\xff"))
    assert "is active, 1 shards" in explorer.check("web_events")
    good, poison = explorer.sample("web_events", 5).rows
    assert (good["event_id"], poison["_problem"]) == ("e", "bad_encoding")
    with pytest.raises(FatalSourceError, match="deploying makes it"):
        KinesisExplorer(source, DEV, Shards(there=False)).check("web_events")


class Message:
    def __init__(self, value: bytes | None, offset: int) -> None:
        self._told = {"value": value, "offset": offset, "key": b"k", "topic": "events", "partition": 0, "headers": None}

    def __getattr__(self, name: str) -> Any:
        return lambda: self._told[name]

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_767_225_600_000

    def error(self) -> None:
        return None


class Topics:
    """A consumer of one topic that fails whoever would move anything."""

    def __init__(self, *values: bytes) -> None:
        self.messages = [Message(value, offset) for offset, value in enumerate(values)]
        self.read = 0

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics={"events": SimpleNamespace(error=None, partitions={0: None}), "__offsets": None})

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return 0, len(self.messages)

    def assign(self, places: Any) -> None:
        self.read = 0

    def unassign(self) -> None:
        pass

    def position(self, places: Any) -> Any:
        return [SimpleNamespace(partition=0, offset=self.read)]

    def poll(self, seconds: float) -> Any:
        self.read += 1
        return self.messages[self.read - 1]


def test_a_topic_is_read_by_assignment_and_nothing_is_committed() -> None:
    source = declared("kafka", KafkaSource)
    topics = Topics(*(json.dumps({"event_id": f"e{n}", "amount": n}).encode() for n in range(5)))
    explorer = KafkaExplorer(source, NO_SECRET, topics)
    assert explorer.check("events") == "topic events has 1 partitions"
    assert [record["offset"] for record in explorer.sample("events", 2).records or ()] == [3, 4]
    [found] = list(explorer.find())
    assert (found.key, found.declares) == (("event_id",), {"topic": "events", "format": "json"})


def test_a_topic_that_is_not_there_is_told_of_with_those_that_are() -> None:
    source = declared("kafka", KafkaSource)
    with pytest.raises(FatalSourceError, match="no topic orders_events; known: events"):
        KafkaExplorer(source, NO_SECRET, Topics()).check("orders_events")


def test_a_cluster_that_only_the_jobs_role_may_enter_is_told_of() -> None:
    secret = Secret({"bootstrap_servers": "b:9098"}, lambda new: None)
    with pytest.raises(FatalSourceError, match="security iam"), open_kafka(declared("kafka", KafkaSource), secret):
        pass


@pytest.mark.parametrize(
    ("avro", "spark"),
    [
        ("long", "bigint"),
        (["null", "string"], "string"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "timestamp"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 14, "scale": 2}, "decimal(14,2)"),
        ({"type": "int", "logicalType": "date"}, "date"),
        ({"type": "record", "name": "x", "fields": []}, "string"),
    ],
)
def test_an_avro_type_is_what_spark_reads_it_as(avro: Any, spark: str) -> None:
    [field] = kafka._avro_fields({"type": "record", "name": "r", "fields": [{"name": "f", "type": avro}]})
    assert (field.name, field.type) == ("f", spark)
