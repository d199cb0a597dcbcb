"""The Kafka source on a real broker and a simulated schema registry, from the topic to rows that are judged."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import fastavro
import pytest
import requests
import uvicorn
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions
from confluent_kafka.cimpl import TopicPartition
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from headwater.config import KafkaSource, Table
from headwater.errors import FatalSourceError, LostOffsetsError
from headwater.lake.columns import REASONS
from headwater.lake.tables import Lake
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Manifest
from headwater.ledger.positions import OffsetsPosition
from headwater.ledger.shape import MOST_NEW
from headwater.ledger.stream import StreamLedger
from headwater.ledger.untrusted import MOST_FIELDS
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed
from headwater.sources.kafka import records as kafka_records
from headwater.sources.kafka import stream as kafka_stream
from headwater.sources.kafka.offsets import FIRST_TIME, LAST_TIME, NO_TIME
from local.counterparts.kafka import Broker
from local.postgres import free_port
from local.simulators.registry import PASSWORD, USERNAME, SchemaRegistry
from tests.support.draws import drawn
from tests.support.poison import POISON

SALES = Table.model_validate(
    {
        "table": "sales",
        "owner": "Shop",
        "note": "One row for each sale.",
        "key": ["id"],
        "version": "offset",
        "columns": {
            "id": {"type": "string"},
            "amount": {"type": "decimal(12,2)"},
            "offset": {"type": "bigint"},
            "deleted_at": {"type": "timestamp"},
        },
    }
)
COLUMNS = {
    "id": "coalesce(id, _key)",
    "offset": "_offset",
    "deleted_at": "if(_tombstone = 'true', _timestamp, NULL)",
}
V1 = {
    "type": "record",
    "name": "Sale",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    ],
}
V2 = {**V1, "fields": [*V1["fields"], {"name": "coupon", "type": ["null", "string"], "default": None}]}


class Folder(Bucket):
    """A bucket that is a folder: what S3 does with a ledger is not the question here."""

    def __init__(self, root: Path) -> None:
        super().__init__(cast("Any", None), str(root))

    @property
    def uri(self) -> str:
        return f"file://{self.name}"

    def create(self, key: str, body: bytes) -> bool:
        path = Path(self.name, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(body)
        return True

    def read(self, key: str) -> bytes | None:
        path = Path(self.name, key)
        return path.read_bytes() if path.exists() else None

    def keys(self, prefix: str, page: int = 1000) -> Iterator[tuple[str, datetime, int]]:
        root = Path(self.name)
        for path in sorted(root.rglob("*")):
            key = path.relative_to(root).as_posix()
            if path.is_file() and key.startswith(prefix):
                yield key, datetime.now(UTC), path.stat().st_size


@dataclass
class Stream:
    """A topic of its own, and a stream that reads it."""

    spark: SparkSession
    broker: Broker
    registry: str
    root: Path
    topic: str
    changes: dict[str, Any] = field(default_factory=dict)
    batches: list[Manifest] = field(default_factory=list)

    @property
    def source(self) -> KafkaSource:
        stream = {
            "table": "sales",
            "topic": self.topic,
            "format": "json",
            "raw": ["id", "amount"],
            "columns": COLUMNS,
            **self.changes,
        }
        return KafkaSource.model_validate(
            {
                "kind": "kafka",
                "name": "kafka",
                "secret": "kafka",
                "security": {"kind": "plaintext"},
                "streams": {"sales": stream},
            }
        )

    def extract(
        self, run_id: str = "run", window: tuple[date, date] | None = None, *, flag: bool = False
    ) -> Manifest | None:
        """Extracts one batch, as the job does."""
        secret = {
            "bootstrap_servers": self.broker.address,
            "registry_url": self.registry,
            "registry_username": USERNAME,
            "registry_password": PASSWORD,
        }
        ledger = StreamLedger(Folder(self.root), "kafka", "sales")
        writer = BatchWriter.begin(ledger, run_id, self.source.streams["sales"].raw_fields, window, flag=flag)
        manifest = kafka_stream.extract(self.spark, self.source, "sales", writer, window, secret)
        self.batches += [manifest] if manifest else []
        return manifest

    def rows(self, **options: Any) -> list[dict[str, Any]]:
        """Extracts one batch and reads its raw rows, in the topic's order."""
        manifest = self.extract(**options)
        if manifest is None:
            return []
        lines = [line for file in manifest.files for line in _lines(self.root / file.key)]
        assert len(lines) == manifest.rows
        return sorted(map(json.loads, lines), key=lambda row: (row["_partition"], row["_offset"]))

    def judged(self) -> dict[str, list[str]]:
        """Takes the newest batch to bronze and judges it: the reasons for each row, by id."""
        declared = self.source.streams["sales"]
        lake = Lake(self.spark, f"file://{self.root}/lake")
        lake.append_bronze(f"file://{self.root}", [self.batches[-1]], declared, evolves=True)
        shaped = typed(declared, SALES, lake.batches([self.batches[-1]], declared))
        judged = judge_rows(shaped, row_predicates(declared, SALES, None), {})
        lake.write_quarantine(SALES, [self.batches[-1]], judged.where(F.size(REASONS) > 0))
        return {row.id: row[REASONS] for row in judged.collect()}

    def quarantined(self) -> dict[str, dict[str, Any]]:
        """Reads the rows in quarantine as they came, by key."""
        rows = Lake(self.spark, f"file://{self.root}/lake").table("quarantine", "sales").read().select("raw").collect()
        return {row["_key"]: row for row in (json.loads(raw) for (raw,) in rows)}

    def send(self, *records: Mapping[str, Any]) -> None:
        producer = Producer({"bootstrap.servers": self.broker.address, "linger.ms": 0})
        for record in records:
            producer.produce(self.topic, **record)
        assert producer.flush(20) == 0

    def put(self, *values: Any, partition: int = 0, at: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> None:
        """Sends JSON values with their place as key."""
        self.send(
            *[
                {
                    "key": f"k{number}",
                    "value": json.dumps(value).encode(),
                    "partition": partition,
                    "timestamp": int(at.timestamp() * 1000),
                }
                for number, value in enumerate(values)
            ]
        )


def _lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("kafka"), free_port(), free_port())
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    app = SchemaRegistry(tmp_path_factory.mktemp("registry")).app()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def stream(spark: SparkSession, broker: Broker, registry: str, tmp_path: Path) -> Callable[..., Stream]:
    def make(partitions: int = 1, **changes: Any) -> Stream:
        topic = f"t-{uuid4().hex}"
        broker.make_topic(topic, partitions)
        return Stream(spark, broker, registry, tmp_path, topic, changes)

    return make


Make = Callable[..., Stream]


def test_a_record_is_read_once_with_all_that_it_carries(stream: Make) -> None:
    sales = stream()
    at = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    text = '{ "id": "ü🎉", "amount": 12.50, "id": "last",\n\t"more": {"a": [1]} }  '
    sales.send(
        {
            "key": b"\xff\x00",
            "value": text.encode(),
            "headers": {"who": b"me", "raw": b"\xfe"},
            "timestamp": int(at.timestamp() * 1000),
        }
    )
    [row] = sales.rows()
    assert (row["id"], row["amount"], row["more"]) == ("last", 12.5, {"a": [1]})
    assert (row["_topic"], row["_partition"], row["_offset"]) == (sales.topic, 0, 0)
    assert (row["_key"], row["_key_encoding"]) == ("/wA=", "base64")
    assert row["_headers"] == [
        {"key": "who", "value": "me", "encoding": None},
        {"key": "raw", "value": "/g==", "encoding": "base64"},
    ]
    assert row["_timestamp"] == "2024-05-06T07:08:09.123000Z"
    assert sales.extract() is None
    sales.put({"id": "next"})
    assert [row["id"] for row in sales.rows(run_id="r2")] == ["next"]


def test_batches_are_bounded_and_a_run_ends_where_the_topic_ended_when_it_began(stream: Make) -> None:
    sales = stream(partitions=2, max_records=4)
    sales.put(*({"id": f"a{n}"} for n in range(5)), partition=0)
    sales.put({"id": "b"}, partition=1)
    first = [row["id"] for row in sales.rows(run_id="r1")]
    assert sorted(first) == ["a0", "a1", "a2", "b"]
    sales.put({"id": "late"}, partition=1)
    second = [row["id"] for row in sales.rows(run_id="r1")]
    assert second == ["a3", "a4"]
    assert sales.extract("r1") is None
    assert [row["id"] for row in sales.rows(run_id="r2")] == ["late"]


def test_a_partition_that_was_added_is_read_from_its_beginning(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a"})
    sales.rows()
    admin = sales.broker.admin()
    admin.create_partitions([NewPartitions(sales.topic, 2)])[sales.topic].result(20)
    sales.put({"id": "b"}, partition=1)
    assert [(row["id"], row["_partition"]) for row in sales.rows(run_id="r2")] == [("b", 1)]


def test_what_was_aborted_never_happened(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a"})
    with suppress(ZeroDivisionError), sales.broker.transaction("fails") as producer:
        producer.produce(sales.topic, value=b'{"id":"aborted"}')
        raise ZeroDivisionError
    assert [row["id"] for row in sales.rows()] == ["a"]
    with suppress(ZeroDivisionError), sales.broker.transaction("fails") as producer:
        producer.produce(sales.topic, value=b'{"id":"aborted"}')
        producer.flush()
        raise ZeroDivisionError
    assert sales.extract("r2") is None
    sales.put({"id": "b"})
    assert [row["id"] for row in sales.rows(run_id="r3")] == ["b"]


def test_a_gap_longer_than_a_batch_is_stepped_over(stream: Make) -> None:
    sales = stream(max_records=2)
    for _ in range(4):
        with suppress(ZeroDivisionError), sales.broker.transaction("fails") as producer:
            producer.produce(sales.topic, value=b'{"id":"aborted"}')
            producer.flush()
            raise ZeroDivisionError
    sales.put({"id": "a"})
    assert [row["id"] for row in sales.rows()] == ["a"]


def test_records_that_were_deleted_unread_stop_the_stream_until_a_person_says_where_to_go_on(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a"})
    sales.rows()
    sales.put({"id": "b"}, {"id": "c"}, {"id": "d"})
    admin = sales.broker.admin()
    [deleted] = admin.delete_records([TopicPartition(sales.topic, 0, 3)]).values()
    deleted.result(20)
    with pytest.raises(LostOffsetsError, match="records 1 to 2 were deleted"):
        sales.extract("r2")
    assert len(sales.batches) == 1
    position = sales.batches[0].position_after
    assert isinstance(position, OffsetsPosition)
    topic_id = position.topic_id
    sales.changes["resume"] = {"topic_id": topic_id, "offsets": {"0": 3}, "reason": "retention was too short, said Ana"}
    assert [row["id"] for row in sales.rows(run_id="r3")] == ["d"]


def test_a_topic_made_anew_under_its_old_name_is_found_out(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a"})
    sales.rows()
    admin = sales.broker.admin()
    admin.delete_topics([sales.topic])[sales.topic].result(20)
    deadline = time.monotonic() + 20
    while sales.topic in admin.list_topics(timeout=5).topics:
        assert time.monotonic() < deadline
    sales.broker.make_topic(sales.topic, 1)
    sales.put({"id": "b"}, {"id": "c"})
    with pytest.raises(LostOffsetsError, match="was made anew"):
        sales.extract("r2")


def test_a_topic_that_does_not_exist_is_named(stream: Make) -> None:
    sales = stream()
    sales.topic = "no-such-topic"
    with pytest.raises(FatalSourceError, match=r"UnknownTopicOrPartition.*hint: is the topic's name right"):
        sales.extract()


def test_a_backfill_reads_the_days_that_were_asked_for_and_leaves_the_position(stream: Make) -> None:
    sales = stream()
    # Out of order; the marks of the transactions are of today, and come before later days' records.
    for day in (1, 3, 4, 2):
        at = int(datetime(2024, 1, day, 23, 59, tzinfo=UTC).timestamp() * 1000)
        with sales.broker.transaction("days") as producer:
            producer.produce(sales.topic, value=f'{{"id":"d{day}"}}'.encode(), timestamp=at)
    sales.rows()
    at = int(datetime(2024, 1, 5, tzinfo=UTC).timestamp() * 1000)
    sales.send({"value": b'{"id":"d5"}', "timestamp": at})
    window = (date(2024, 1, 2), date(2024, 1, 3))
    assert [row["id"] for row in sales.rows(run_id="backfill", window=window)] == ["d3", "d2"]
    assert sales.batches[1].position_after == sales.batches[0].position_after
    assert sales.rows(run_id="backfill", window=(date(2025, 1, 1), date(2025, 1, 2))) == []
    assert [row["id"] for row in sales.rows(run_id="next")] == ["d5"]


MANGLED = {
    "truncated": (b'{"id": "x', "not_json"),
    "trailing": b'{"id": "x"} {"id": "y"}',
    "python": b"{'id': 'x'}",
    "nan": b'{"id": NaN}',
    "empty": b"",
    "nul": b'{"id": "\0"}',
    "deep": b'{"id":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "spaces": b'{"id": 1' + b" " * 500_000,
    "array": (b'[{"id": "x"}]', "not_an_object"),
    "null": (b"null", "not_an_object"),
    "latin-1": (b'{"id": "\xe9"}', "bad_encoding"),
    "tombstone": (None, "tombstone"),
}


def test_a_value_that_cannot_be_read_goes_to_quarantine_as_it_came_and_the_others_go_on(stream: Make) -> None:
    sales = stream()
    sent = {name: poison if isinstance(poison, tuple) else (poison, "not_json") for name, poison in MANGLED.items()}
    sales.send({"key": "good", "value": b'{"id":"good","amount":"1.10"}'})
    sales.send(*({"key": name, "value": value} for name, (value, _) in sent.items()))
    sales.send({"key": "lone", "value": b'{"id":"lone","amount":null,"text":"\\ud800"}'})
    sales.send({"key": "sly", "value": b'{"id":"sly","_problem":"not_json","_offset":-1,"_tombstone":true}'})
    found = {row["_key"]: row for row in sales.rows()}
    assert {name: row["_problem"] for name, row in found.items() if row["_problem"]} == {
        name: problem for name, (_, problem) in sent.items()
    }
    assert found["truncated"]["_value"] == '{"id": "x'
    assert (found["latin-1"]["_value"], found["latin-1"]["_value_encoding"]) == ("eyJpZCI6ICLpIn0=", "base64")
    assert sales.judged() == {
        "good": [],
        "lone": ["bad_encoding"],
        "sly": [],
        **{name: [problem] for name, (_, problem) in sent.items()},
    }
    kept = sales.quarantined()
    assert kept.keys() == {*sent, "lone"}
    assert kept["truncated"]["_value"] == '{"id": "x'
    assert kept["latin-1"]["_value"] == "eyJpZCI6ICLpIn0="


def test_a_tombstone_that_deletes_is_a_row_with_its_key_and_its_time_alone(stream: Make) -> None:
    sales = stream(tombstones="delete")
    sales.send(
        {"key": "a", "value": b'{"id":"a","amount":"1.10"}'}, {"key": "a", "value": None, "timestamp": 1704067200000}
    )
    _, row = sales.rows()
    assert (row["_key"], row["_tombstone"], row["_problem"]) == ("a", True, None)
    sales.judged()
    lake = Lake(sales.spark, f"file://{sales.root}/lake")
    declared = sales.source.streams["sales"]
    shaped = typed(declared, SALES, lake.batches([sales.batches[-1]], declared)).orderBy("offset").collect()
    assert [(row.id, row.amount, row.deleted_at) for row in shaped] == [
        ("a", Decimal("1.10"), None),
        ("a", None, datetime(2024, 1, 1)),  # noqa: DTZ001 - Spark's session is in UTC
    ]


NOW = 1_700_000_000_000
TIMES = st.one_of(
    st.sampled_from([NO_TIME, 1, NOW // 1000, NOW * 1000, NOW * 1_000_000, FIRST_TIME - 1, FIRST_TIME, LAST_TIME]),
    st.sampled_from([LAST_TIME + 1, 2**63 // 1000, 2**63 // 1000 + 1, 2**63 - 1]),
    st.integers(FIRST_TIME, LAST_TIME),
    st.integers(1, 2**63 - 1),
    # Around each other, so that they go back and forth.
    st.integers(NOW - 7_200_000, NOW),
    st.integers(NOW - 7_200_000, NOW),
)


def test_whatever_the_times_and_the_order_of_records_are_the_last_of_a_key_is_its_newest(stream: Make) -> None:
    sales = stream(tombstones="delete", max_records=150)
    keys = st.sampled_from(["a", "b", "c", "d"])
    sent = drawn(st.tuples(keys, st.one_of(st.none(), st.integers(0, 9)), TIMES), 300)
    sales.send(
        *(
            {
                "key": key,
                "value": None if amount is None else json.dumps({"id": key, "amount": amount}).encode(),
                "timestamp": at,
                "headers": [("h", None), ("h", b"\x00"), ("ü", key.encode())],
            }
            for key, amount, at in sent
        )
    )
    rows = [*sales.rows(run_id="r1"), *sales.rows(run_id="r1")]
    assert [(row["_key"], row.get("amount")) for row in rows] == [(key, amount) for key, amount, _ in sent]
    for row, (key, _, at) in zip(rows, sent, strict=True):
        assert row["_headers"] == [
            {"key": "h", "value": None, "encoding": None},
            {"key": "h", "value": "\0", "encoding": None},
            {"key": "ü", "value": key, "encoding": None},
        ]
        if at == NO_TIME:
            assert row["_timestamp"] is None
        elif FIRST_TIME <= at <= LAST_TIME:
            read = datetime.fromisoformat(row["_timestamp"])
            assert (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == at
        else:
            assert row["_timestamp"] == str(at)
    versions = [(row["_reached"], row["_offset"]) for row in rows]
    assert versions == sorted(versions)
    assert versions[-1][0] < datetime.now(UTC).isoformat()
    sales.judged()
    refused = Lake(sales.spark, f"file://{sales.root}/lake").table("quarantine", "sales").read()
    erased = [at for _, amount, at in sent[150:] if amount is None and at != NO_TIME]
    assert {row.reasons[0] for row in refused.select("reasons").collect()} == {"deleted_at_readable"}
    assert refused.count() == len([at for at in erased if not FIRST_TIME <= at <= LAST_TIME])


def test_a_key_that_moves_to_another_partition_is_newer_there_though_a_record_claimed_to_be_of_the_far_future(
    stream: Make,
) -> None:
    sales = stream()
    sales.put({"id": "odd"}, at=datetime(9998, 1, 1, tzinfo=UTC))
    sales.put({"id": "a"}, at=datetime(2024, 1, 2, tzinfo=UTC))
    before = sales.rows(run_id="r1")
    admin = sales.broker.admin()
    admin.create_partitions([NewPartitions(sales.topic, 2)])[sales.topic].result(20)
    sales.put({"id": "a"}, partition=1, at=datetime(2024, 1, 3, tzinfo=UTC))
    [after] = sales.rows(run_id="r2")
    assert all(after["_reached"] > row["_reached"] for row in before)


def test_a_backfill_orders_records_as_the_first_read_did(stream: Make) -> None:
    sales = stream()
    for day in (2, 4, 3, 3):
        sales.put({"id": "a"}, at=datetime(2024, 1, day, tzinfo=UTC))
    first = {row["_offset"]: row["_reached"] for row in sales.rows()}
    again = sales.rows(run_id="backfill", window=(date(2024, 1, 3), date(2024, 1, 3)))
    assert {row["_offset"]: row["_reached"] for row in again} == {2: first[2], 3: first[3]}
    assert first[2] == first[3] == first[1]


def test_new_missing_and_retyped_fields_are_learned_from_the_values(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a", "amount": "1.10", "gone": True}, {"id": "b", "amount": None, "gone": False})
    sales.rows()
    assert sales.batches[0].fields == {"amount": "string", "gone": "boolean", "id": "string"}
    sales.put({"id": "c", "amount": 1.1, "list": [1]}, {"id": "d", "amount": 1.2, "list": []})
    sales.rows(run_id="r2")
    assert sorted(map(str, sales.batches[1].drift)) == [
        "field amount was string and is number",
        "field gone (boolean) is missing",
        "new field list (array)",
    ]


def test_rows_of_another_shape_are_marked_where_drift_means_quarantine(stream: Make) -> None:
    sales = stream()
    sales.put({"id": "a", "amount": "1.10", "note": None})
    sales.rows()
    sales.put(
        {"id": "same", "amount": "2.20", "note": "x"},
        {"id": "null", "amount": None, "note": None},
        {"id": "new", "amount": "1", "note": "", "extra": 1},
        {"id": "missing", "amount": "1"},
        {"id": "retyped", "amount": 1, "note": ""},
    )
    rows = sales.rows(run_id="r2", flag=True)
    assert {row["id"] for row in rows if row["_problem"] == "schema_drift"} == {"new", "missing", "retyped"}
    assert all("_value" not in row or row["_value"] is None for row in rows)


def register(registry: str, schema: Mapping[str, Any]) -> int:
    answer = requests.post(
        f"{registry}/subjects/sales-value/versions",
        json={"schema": json.dumps(schema)},
        auth=(USERNAME, PASSWORD),
        timeout=20,
    )
    return int(answer.json()["id"])


def avro(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bytes:
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return written.getvalue()


def framed(schema_id: int, body: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + body


def test_avro_is_read_by_the_schema_it_was_written_with(stream: Make, registry: str) -> None:
    sales = stream(format="avro")
    one, two = register(registry, V1), register(registry, V2)
    old = framed(one, avro(V1, {"id": "old 🎉", "amount": Decimal("12345678.90")}))
    new = framed(two, avro(V2, {"id": "new", "amount": Decimal("-0.01"), "coupon": "X"}))
    bare = framed(two, avro(V2, {"id": "bare", "amount": Decimal(0), "coupon": None}))
    sales.send(*({"key": "k", "value": value} for value in (old, new, bare)))
    rows = sales.rows()
    assert [(row["id"], row.get("coupon"), row["_schema_id"]) for row in rows] == [
        ("old 🎉", None, one),
        ("new", "X", two),
        ("bare", None, two),
    ]
    assert all(row["_value_encoding"] == "base64" for row in rows)
    sales.judged()
    lake = Lake(sales.spark, f"file://{sales.root}/lake")
    declared = sales.source.streams["sales"]
    shaped = typed(declared, SALES, lake.batches([sales.batches[-1]], declared)).orderBy("offset").collect()
    assert [row.amount for row in shaped] == [Decimal("12345678.90"), Decimal("-0.01"), Decimal("0.00")]


def test_avro_that_cannot_be_read_goes_to_quarantine_with_the_reason(stream: Make, registry: str) -> None:
    sales = stream(format="avro")
    known = register(registry, V1)
    body = avro(V1, {"id": "x", "amount": Decimal("1.00")})
    huge = b"\xfe\xff\xff\xff\x0f"
    sent = {
        "good": (framed(known, body), None),
        "cut": (framed(known, body[:-1]), "bad_avro"),
        "longer": (framed(known, body + b"\0"), "bad_avro"),
        "empty": (framed(known, b""), "bad_avro"),
        "huge": (framed(known, huge + body), "bad_avro"),
        "json": (b'{"id":"x"}', "not_framed"),
        "short": (b"\0\0\0", "not_framed"),
        "unknown": (framed(424242, body), "unknown_schema"),
        "guid": (body, "schema_by_guid"),
        "tombstone": (None, "tombstone"),
    }
    for name, (value, _) in sent.items():
        headers = {"__value_schema_id": b"\1" + uuid4().bytes} if name == "guid" else {}
        sales.send({"key": name, "value": value, "headers": headers})
    found = {row["_key"]: row["_problem"] for row in sales.rows()}
    assert found == {name: problem for name, (_, problem) in sent.items()}


RECURSIVE = {
    **V1,
    "name": "Tree",
    "fields": [{"name": "id", "type": "string"}, {"name": "up", "type": ["null", "Tree"]}],
}
CLASHING = {**V1, "name": "headwater_value_and_end"}
WIDE = {**V1, "name": "Wide", "fields": [{"name": f"f{n}", "type": ["null", "int"]} for n in range(MOST_FIELDS + 1)]}


def test_a_schema_that_nothing_can_read_by_is_the_problem_of_its_own_records(
    stream: Make, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_records, "MOST_SCHEMAS", 6)
    sales = stream(format="avro")
    body = avro(V1, {"id": "x", "amount": Decimal("1.00")})
    good = framed(register(registry, V1), body)
    odd = [framed(register(registry, schema), body) for schema in (RECURSIVE, CLASHING, WIDE)]
    strangers = [framed(number, body) for number in range(2**31, 2**31 + 20)]
    # What most records name is looked up first, whatever is said by the others.
    sent = [good, *odd * 2, *strangers, good, good]
    sales.send(*({"key": "k", "value": value} for value in sent))
    found = [row["_problem"] for row in sales.rows()]
    assert (found[0], *found[-2:]) == (None, None, None)
    assert found[1:7] == ["bad_schema"] * 6
    assert set(found[7:-2]) == {"unknown_schema", "too_many_schemas"}
    assert found.count("unknown_schema") == 2


def test_of_many_records_those_that_are_poison_have_their_reasons_and_all_others_arrive(stream: Make) -> None:
    sales = stream()
    # Numbers beyond every type keep their text here, and are their column's problem; how long a value may be the topic says.
    elsewhere = (b'{"amount"', b'{"a":', b'{"event_id"', b'{"page"')
    poison = [data for data in POISON if data and not data.startswith(elsewhere)]
    good = [b'{"id":"e%d"}' % number for number in range(10_000)]
    good[7::100] = [poison[number % len(poison)] for number in range(100)]
    sales.send(*({"key": "k", "value": value} for value in good))
    rows = sales.rows()
    assert [row["_problem"] for row in rows] == [POISON.get(value) for value in good]
    manifest = sales.batches[-1]
    assert len(manifest.fields) < 100


def test_a_value_with_ever_new_fields_teaches_no_more_than_there_is_room_for(stream: Make) -> None:
    sales = stream()
    strange = [{f"r{row}f{name}": 1 for name in range(150)} for row in range(2)]
    sales.put({"id": "a", "amount": 1}, *strange, {"id": "b", "colour": "red"}, {"id": "c", "colour": "red"})
    rows = sales.rows()
    assert [len([name for name in row if name.startswith("r")]) for row in rows] == [0, 150, 150, 0, 0]
    manifest = sales.batches[-1]
    assert {"id", "amount", "colour"} <= manifest.fields.keys()
    assert len(manifest.drift) == MOST_NEW
    assert manifest.left_out
