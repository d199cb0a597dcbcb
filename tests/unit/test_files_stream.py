"""New files of the landing bucket: each version once, however it was found; good rows and bad files in one batch."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.config import FilesSource, Project
from headwater.errors import ConfigError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Manifest, TakenFile
from headwater.ledger.positions import ModifiedPosition
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.sources.files import stream as files_stream
from headwater.sources.files.stream import LandedFile, extract, not_taken
from tests.support.poison import LARGEST, POISON

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LANDING = "headwater-local-landing"
HEADER = "order_id;ordered_at;sku;quantity;unit_price;currency;customer;note\n"
ROW = "{};2018-01-01T00:00:00Z;SKU-1;1;1.00;EUR;Zoë;\n"


class Landing:
    """The landing bucket, the ledger, and a bookmark that shows what a test registers."""

    def __init__(self, project: Project, ledger: Ledger, s3: S3Client, stream: str, source: str = "s3_drops") -> None:
        self.s3 = s3
        declared = project.sources[source]
        assert isinstance(declared, FilesSource)
        self.source, self.name, self.declared = declared, stream, declared.streams[stream]
        self.registered: list[str] = []
        self.ledger: StreamLedger = ledger.stream(source, stream)
        s3.create_bucket(Bucket=LANDING, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def new_values(self, uri: str, field: str, context: str) -> list[str]:
        assert (uri, field) == (f"s3://{self.ledger.bucket.name}/{self.ledger.prefix}/arrivals/", "key")
        assert context == f"{self.name}_arrivals"
        return self.registered

    def put(self, name: str, body: str | bytes) -> str:
        key = f"{self.declared.prefix}{name}"
        self.s3.put_object(Bucket=LANDING, Key=key, Body=body.encode() if isinstance(body, str) else body)
        return key

    def extract(self) -> Manifest | None:
        writer = BatchWriter.begin(self.ledger, "run", self.declared.raw_fields)
        return extract(self.source, self.name, writer, None, LANDING, self.new_values)

    def rows(self, manifest: Manifest | None) -> list[dict[str, Any]]:
        assert manifest is not None
        found = []
        for file in manifest.files:
            body = self.ledger.bucket.read(file.key)
            assert body is not None
            found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        assert len(found) == manifest.rows
        return found


@pytest.fixture
def orders(project: Project, ledger: Ledger, s3: S3Client) -> Landing:
    return Landing(project, ledger, s3, "partner_orders")


def csv(*numbers: str) -> bytes:
    return (HEADER + "".join(ROW.format(number) for number in numbers)).encode("utf-8-sig")


def test_a_file_is_taken_once_with_the_key_and_number_of_each_row(orders: Landing) -> None:
    key = orders.put("a.csv", csv("1", "2"))
    rows = orders.rows(orders.extract())
    assert [(row["order_id"], row["_file_key"], row["_row"]) for row in rows] == [("1", key, "1"), ("2", key, "2")]
    assert orders.extract() is None


def test_of_ten_thousand_rows_those_that_are_poison_have_their_reasons_and_all_others_arrive(
    project: Project, ledger: Ledger, s3: S3Client
) -> None:
    clicks = Landing(project, ledger, s3, "partner_clicks")
    # A line that ends early is another line; one of other bytes is the file's problem; how long one may be the file says.
    elsewhere = {
        data for data in POISON if b"\n" in data or not data or POISON[data] == "bad_encoding" or len(data) > LARGEST
    }
    poison = [data for data in POISON if data not in elsewhere]
    data = [b'{"click_id":"e%d","cost":0.10}' % number for number in range(10_000)]
    data[7::100] = [poison[number % len(poison)] for number in range(100)]
    for number in range(4):
        clicks.put(f"{number}.jsonl", b"\n".join(data[2_500 * number : 2_500 * (number + 1)]))
    aside = clicks.put("latin.jsonl", '{"click_id":"é"}'.encode("latin-1"))
    manifest = clicks.extract()
    read = [row for row in clicks.rows(manifest) if row["_file_key"] != aside]
    rows = sorted(read, key=lambda row: (row["_file_key"], int(row["_row"])))
    assert [row.get("_problem") for row in rows] == [POISON.get(body) for body in data]
    assert [row.get("click_id") for row in rows if "_problem" not in row] == [
        f"e{number}" for number in range(10_000) if number % 100 != 7
    ]
    assert manifest is not None
    assert [(file.key, file.problem) for file in manifest.set_aside] == [(aside, "bad_encoding")]


def test_the_same_content_again_is_nothing_new_and_other_content_is(orders: Landing) -> None:
    orders.put("a.csv", csv("1"))
    orders.extract()
    orders.put("a.csv", csv("1"))
    assert orders.extract() is None
    orders.put("a.csv", csv("2"))
    assert [row["order_id"] for row in orders.rows(orders.extract())] == ["2"]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None, suppress_health_check=[*HealthCheck])
def test_a_key_that_is_sent_again_and_again_is_taken_whenever_it_says_something_else(
    orders: Landing, contents: list[str]
) -> None:
    name = f"{uuid4().hex}.csv"
    for before, content in zip([None, *contents], contents, strict=False):
        orders.put(name, csv(content))
        manifest = orders.extract()
        assert ([row["order_id"] for row in orders.rows(manifest)] if manifest else None) == (
            None if content == before else [content]
        )


def test_the_same_content_under_another_name_is_another_file(orders: Landing) -> None:
    orders.put("a.csv", csv("1"))
    orders.extract()
    orders.put("b.csv", csv("1"))
    assert len(orders.rows(orders.extract())) == 1


def test_a_bad_file_is_one_row_with_its_reason_and_the_good_ones_go_on(orders: Landing) -> None:
    orders.put("a.csv", csv("1"))
    bad = orders.put("b.csv", csv("2", "3") + b"\xff")
    orders.put("c.csv", csv("4"))
    manifest = orders.extract()
    rows = orders.rows(manifest)
    assert manifest is not None
    assert [(file.key, file.problem) for file in manifest.set_aside] == [(bad, "bad_encoding")]
    assert [row.get("order_id") for row in rows] == ["1", None, "4"]
    assert (rows[1]["_problem"], rows[1]["_file_key"]) == ("bad_encoding", bad)
    assert rows[1]["_value"].startswith("not utf-8-sig")
    assert orders.extract() is None


def refusing(s3: S3Client, status: int, key: str = "") -> Any:
    """An S3 that does not hand out the objects that end so, though it tells of them."""

    def get_object(**asked: Any) -> Any:
        if asked["Key"].endswith(key):
            told = {"Error": {"Code": "Refused", "Message": "m" * 5000}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(told, "GetObject")  # type: ignore[arg-type]
        return s3.get_object(**asked)

    return SimpleNamespace(head_object=s3.head_object, get_object=get_object, get_paginator=s3.get_paginator)


@pytest.mark.parametrize("status", [400, 403])
def test_a_file_that_s3_does_not_hand_out_is_set_aside_and_the_others_go_on(
    orders: Landing, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    locked = orders.put("locked.csv", csv("1"))
    orders.put("open.csv", csv("2"))
    landing = refusing(orders.s3, status, "locked.csv")
    monkeypatch.setattr(files_stream, "Bucket", lambda _, name: Bucket(landing, name))
    manifest = orders.extract()
    assert [row.get("order_id") for row in orders.rows(manifest)] == [None, "2"]
    assert manifest is not None
    [aside] = manifest.set_aside
    assert (aside.key, aside.problem) == (locked, "unreadable_file")
    assert aside.message.startswith("S3 does not hand it out: Refused")
    assert len(aside.message) < 1100


def test_an_archived_file_is_set_aside_and_the_others_go_on(orders: Landing) -> None:
    orders.put("open.csv", csv("2"))
    key = f"{orders.declared.prefix}cold.csv"
    orders.s3.put_object(Bucket=LANDING, Key=key, Body=csv("1"), StorageClass="GLACIER")
    manifest = orders.extract()
    assert manifest is not None
    assert [(aside.key, manifest.rows) for aside in manifest.set_aside] == [(key, 2)]


def test_a_reader_that_may_read_nothing_sets_nothing_aside(orders: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    orders.put("a.csv", csv("1"))
    landing = refusing(orders.s3, 403)
    landing.head_object = landing.get_object
    monkeypatch.setattr(files_stream, "Bucket", lambda _, name: Bucket(landing, name))
    with pytest.raises(ClientError):
        orders.extract()
    assert orders.ledger.latest() is None


def test_a_batch_takes_no_other_file_once_it_has_read_for_long_and_the_next_one_does(
    orders: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_stream, "MOST_SECONDS", 0.0)
    orders.put("a.csv", csv("1"))
    orders.put("b.csv", csv("2"))
    assert [orders.extract() is None for _ in range(3)] == [False, False, True]


def test_a_bad_row_is_kept_as_text_with_its_problem(orders: Landing) -> None:
    orders.put("a.csv", csv("1") + b"2;cut off\n")
    bad = orders.rows(orders.extract())[1]
    assert (bad["_problem"], bad["_value"], bad["_row"]) == ("bad_row", "2;cut off", "2")


def test_what_is_no_data_is_left_alone(orders: Landing) -> None:
    for name in ("a.csv_tmp", "_SUCCESS", "_temporary/b.csv", ".hidden.csv"):
        orders.put(name, csv("1"))
    orders.put("empty.csv", b"")
    assert orders.extract() is None
    assert orders.ledger.latest() is None


def test_a_batch_takes_a_bounded_number_of_files_and_the_next_one_the_rest(
    orders: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_stream, "MOST_FILES", 2)
    for number in range(5):
        orders.put(f"{number}.csv", csv(str(number)))
    found = []
    while (manifest := orders.extract()) is not None:
        found.append([row["order_id"] for row in orders.rows(manifest)])
    assert sorted(number for rows in found for number in rows) == ["0", "1", "2", "3", "4"]
    assert [len(rows) for rows in found] == [2, 2, 1]


def test_a_batch_takes_a_bounded_number_of_bytes_and_one_file_at_least(
    orders: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_stream, "MOST_BYTES", 10)
    orders.put("a.csv", csv("1"))
    orders.put("b.csv", csv("2"))
    assert [orders.extract() is None for _ in range(3)] == [False, False, True]


def test_a_position_is_as_small_after_many_files_as_after_one(orders: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_stream, "MOST_FILES", 1)
    for number in range(4):
        orders.put(f"{number}.csv", csv(str(number)))
    while orders.extract():
        pass
    assert isinstance(orders.ledger.position(), ModifiedPosition)


def test_a_file_that_the_listing_passed_is_found_by_its_registration_and_taken_once(orders: Landing) -> None:
    # An upload in parts has the time of its beginning, which may lie days behind when it is complete.
    old = orders.put("old.csv", csv("1"))
    orders.put("new.csv", csv("2"))
    manifest = orders.extract()
    late = orders.put("late.csv", csv("3"))
    ahead = ModifiedPosition(until=datetime.now(UTC) + timedelta(days=9))
    assert manifest is not None
    body = manifest.model_copy(update={"batch": 2, "position_after": ahead, "taken": ()})
    orders.ledger.commit(body)
    assert orders.extract() is None
    orders.registered = [old, late, f"{late}-gone"]
    assert [row["_file_key"] for row in orders.rows(orders.extract())] == [late]
    assert orders.extract() is None


def test_a_file_that_was_replaced_while_others_were_read_is_left_for_the_next_batch(
    orders: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.put("a.csv", csv("1"))
    orders.put("b.csv", csv("2"))
    take = files_stream._Intake.take

    def replaced(self: Any, files: list[LandedFile]) -> list[LandedFile]:
        orders.put("a.csv", csv("3"))
        return take(self, files)

    with monkeypatch.context() as patch:
        patch.setattr(files_stream._Intake, "take", replaced)
        assert [row["order_id"] for row in orders.rows(orders.extract())] == ["2"]
    assert [row["order_id"] for row in orders.rows(orders.extract())] == ["3"]


def test_a_backfill_is_refused(orders: Landing) -> None:
    day = date(2018, 1, 1)
    with pytest.raises(ConfigError, match="files come by themselves"):
        extract(orders.source, orders.name, SimpleNamespace(), (day, day), LANDING, orders.new_values)  # type: ignore[arg-type]


def test_a_pushed_event_keeps_what_the_api_knew_of_it(project: Project, ledger: Ledger, s3: S3Client) -> None:
    events = Landing(project, ledger, s3, "pushed_events", "http_push")
    event = {"event_id": "e", "_received_at": "2018-01-01", "_sender": "stores", "_idempotency_key": "k"}
    events.put("a.json", json.dumps(event))
    manifest = events.extract()
    [row] = events.rows(manifest)
    assert {**row, **event} == row
    assert manifest is not None
    assert "_sender" not in manifest.fields


def test_many_small_files_become_one_raw_file(project: Project, ledger: Ledger, s3: S3Client) -> None:
    events = Landing(project, ledger, s3, "pushed_events", "http_push")
    for number in range(30):
        events.put(f"{number}.json", json.dumps({"event_id": str(number)}))
    manifest = events.extract()
    assert manifest is not None
    assert (len(manifest.files), manifest.rows, len(manifest.taken)) == (1, 30, 30)


def test_only_manifests_that_may_hold_a_file_are_read(orders: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_stream, "MOST_FILES", 1)
    for number in range(3):
        orders.put(f"{number}.csv", csv(str(number)))
    while orders.extract():
        pass
    read: list[int] = []
    original = StreamLedger.manifest
    monkeypatch.setattr(
        StreamLedger,
        "manifest",
        lambda self, batch: read.append(batch) or original(self, batch),  # type: ignore[func-returns-value]
    )
    tomorrow = LandedFile(datetime.now(UTC) + timedelta(days=1), "k", "e", 1)
    assert not_taken(orders.ledger, {tomorrow}, timedelta(hours=1)) == {tomorrow}
    assert read == [3, 3]
    assert tomorrow.taken == TakenFile(key="k", etag="e")
