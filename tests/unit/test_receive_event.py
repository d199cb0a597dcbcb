"""Pushed events: who may push, what is taken, and what the sender is told."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from headwater.callers import Fresh
from headwater.config import FilesSource, Project
from headwater.config.files_source import PUSHED
from headwater.errors import LedgerError
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger
from headwater.ledger.untrusted import MOST_FIELDS, read_object
from headwater.open_project import OpenProject
from headwater.receive.event import Answer, PushReceiver, PushRequest
from tests.support.poison import POISON

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LANDING = "headwater-local-landing"
KEYS = {"stores": "key-of-the-stores", "old": "", "others": "key-of-the-others"}
EVENT = {
    "event_id": "e1",
    "event_type": "coupon_redeemed",
    "occurred_at": "2018-01-01T10:00:00Z",
    "customer_id": 7,
    "store_id": 300,
}


@pytest.fixture
def receiver(project: Project, ledger: Ledger, s3: S3Client) -> PushReceiver:
    s3.create_bucket(Bucket=LANDING, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    opened = OpenProject(project)
    vars(opened)["ledger"] = ledger
    # Each request comes a millisecond after the last.
    moments = count()
    return PushReceiver(
        opened, lambda _: KEYS, lambda: datetime(2018, 1, 2, tzinfo=UTC) + timedelta(milliseconds=next(moments))
    )


def request(body: Any = EVENT, **changes: Any) -> PushRequest:
    given: dict[str, Any] = {
        "source": "http_push",
        "stream": "pushed_events",
        "key": "k1",
        "api_key": "key-of-the-stores",
        "content_type": "application/json",
        **changes,
    }
    headers = {"content-type": given["content_type"], "x-api-key": given["api_key"], "idempotency-key": given["key"]}
    return PushRequest(
        given["source"],
        given["stream"],
        {name: value for name, value in headers.items() if value is not None},
        body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.document.get("error", "")


def stored(s3: S3Client) -> list[dict[str, Any]]:
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=LANDING).get("Contents", [])]
    return [json.loads(s3.get_object(Bucket=LANDING, Key=key)["Body"].read()) for key in keys]


def test_an_event_is_stored_with_when_from_whom_and_under_which_key_it_came(
    receiver: PushReceiver, s3: S3Client
) -> None:
    answer = receiver.receive(request())
    assert (answer.status, answer.document["duplicate"]) == (202, False)
    assert stored(s3) == [
        {
            **EVENT,
            "_received_at": "2018-01-02T00:00:00.000+00:00",
            "_sender": "stores",
            "_idempotency_key": "k1",
        }
    ]
    [item] = s3.list_objects_v2(Bucket=LANDING)["Contents"]
    assert item["Key"] == f"http_push/pushed_events/{answer.document['id']}.json"


@pytest.mark.parametrize("data", POISON, ids=range(len(POISON)))
def test_what_extract_could_not_read_is_not_accepted(receiver: PushReceiver, s3: S3Client, data: bytes) -> None:
    assert receiver.receive(request(data)).status in {400, 413, 422}
    nested = json.dumps(EVENT)[:-1].encode() + b',"answers":' + data + b"}"
    if POISON[data] in {"not_json", "bad_encoding"} and data:
        assert receiver.receive(request(nested)).status in {400, 413}
    assert stored(s3) == []


def test_of_ten_thousand_events_those_that_are_poison_are_refused_and_all_others_can_be_read(
    receiver: PushReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []

    def create(_: Bucket, key: str, body: bytes) -> bool:
        assert key.startswith("http_push/pushed_events/")
        kept.append(body.decode())
        return True

    # S3 itself would take a minute for so many.
    monkeypatch.setattr(Bucket, "create", create)
    poison = [*POISON]
    bodies: list[Any] = [{**EVENT, "event_id": f"e{number}"} for number in range(10_000)]
    bodies[7::100] = [poison[number % len(poison)] for number in range(100)]
    statuses = [receiver.receive(request(body, key=f"k{number}")).status for number, body in enumerate(bodies)]
    assert [status == 202 for status in statuses] == [isinstance(body, dict) for body in bodies]
    assert {status for status in statuses if status != 202} <= {400, 413, 422}
    read = [read_object(line, PUSHED) for line in kept]
    assert {problem for _, problem in read} == {None}
    assert [fields["event_id"] for fields, _ in read] == [body["event_id"] for body in bodies if isinstance(body, dict)]


def test_a_sender_is_told_no_more_than_can_be_read(receiver: PushReceiver) -> None:
    answer = receiver.receive(request({**EVENT, "x" * 100_000: 1}))
    assert answer.status == 422
    assert len(answer.document["message"]) < 1100


def test_an_event_with_more_fields_than_a_row_may_have_is_not_accepted(receiver: PushReceiver, s3: S3Client) -> None:
    source = receiver.opened.project.sources["http_push"]
    assert isinstance(source, FilesSource)
    anything = source.streams["pushed_events"].model_copy(update={"accepts": {"type": "object"}})
    sources = {
        **receiver.opened.project.sources,
        "http_push": source.model_copy(update={"streams": {"pushed_events": anything}}),
    }
    vars(receiver.opened)["project"] = receiver.opened.project.model_copy(update={"sources": sources})
    assert receiver.receive(request(dict.fromkeys(map(str, range(MOST_FIELDS - len(PUSHED)))))).status == 202
    assert told(receiver.receive(request(dict.fromkeys(map(str, range(MOST_FIELDS))), key="k2"))) == (422, "too_large")
    assert len(stored(s3)) == 1


def test_the_same_again_is_a_duplicate_and_changes_nothing(receiver: PushReceiver, s3: S3Client) -> None:
    receiver.receive(request())
    before = stored(s3)
    for body in (EVENT, dict(reversed(EVENT.items())), json.dumps(EVENT, indent=3).encode()):
        answer = receiver.receive(request(body))
        assert (answer.status, answer.document["duplicate"]) == (202, True)
    assert stored(s3) == before


def test_another_event_under_a_used_key_is_refused(receiver: PushReceiver, s3: S3Client) -> None:
    receiver.receive(request())
    assert told(receiver.receive(request({**EVENT, "store_id": 301}))) == (409, "idempotency_key_reused")
    assert [event["store_id"] for event in stored(s3)] == [300]


def test_keys_of_two_senders_do_not_meet(receiver: PushReceiver, s3: S3Client) -> None:
    receiver.receive(request())
    answer = receiver.receive(request({**EVENT, "store_id": 301}, api_key="key-of-the-others"))
    assert answer.status == 202
    assert len(stored(s3)) == 2


def test_of_two_at_the_same_moment_the_one_that_cannot_see_the_other_is_told_to_try_again(
    receiver: PushReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(*_: Any) -> bool:
        raise LedgerError("other writes were going on at each try")

    monkeypatch.setattr(Bucket, "create", conflict)
    assert told(receiver.receive(request())) == (409, "in_progress")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"api_key": "wrong"}, 401, "unauthorized"),
        ({"api_key": ""}, 401, "unauthorized"),
        ({"api_key": None}, 401, "unauthorized"),
        ({"source": "s3_drops", "api_key": "key-of-the-stores"}, 401, "unauthorized"),
        ({"stream": "others"}, 404, "unknown_stream"),
        ({"key": None}, 400, "no_idempotency_key"),
        ({"key": "  "}, 400, "no_idempotency_key"),
        ({"key": "k" * 256}, 400, "bad_idempotency_key"),
        ({"key": "a\x00b"}, 400, "bad_idempotency_key"),
        ({"content_type": None}, 415, "not_json_type"),
        ({"content_type": "text/plain"}, 415, "not_json_type"),
        ({"body": b" " * 262_145}, 413, "too_large"),
        ({"body": b"{"}, 400, "not_json"),
        ({"body": b"\xff"}, 400, "not_json"),
        ({"body": b'{"points": NaN}'}, 400, "not_json"),
        ({"body": b"[" * 100_000}, 400, "not_json"),
        ({"body": {}}, 422, "schema"),
        ({"body": [EVENT]}, 422, "schema"),
        ({"body": {**EVENT, "store_id": "300"}}, 422, "schema"),
        ({"body": {**EVENT, "event_type": "other"}}, 422, "schema"),
        ({"body": {**EVENT, "colour": "blue"}}, 422, "schema"),
        ({"body": {**EVENT, "_sender": "others"}}, 422, "schema"),
        ({"body": {**EVENT, "occurred_at": "yesterday"}}, 422, "schema"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_the_reason(
    receiver: PushReceiver, s3: S3Client, changes: dict[str, Any], status: int, error: str
) -> None:
    body = changes.pop("body", EVENT)
    answer = receiver.receive(request(body, **changes))
    assert told(answer) == (status, error)
    assert answer.document["message"]
    assert stored(s3) == []


def test_a_refusal_says_where_the_event_differs_from_the_schema(receiver: PushReceiver) -> None:
    answer = receiver.receive(request({**EVENT, "store_id": "300"}))
    assert answer.document["message"] == "event.store_id must be integer"


def test_nobody_without_a_key_learns_which_streams_there_are(receiver: PushReceiver) -> None:
    known = receiver.receive(request(api_key="wrong"))
    unknown = receiver.receive(request(api_key="wrong", stream="others", source="others"))
    assert known == unknown


def test_keys_are_not_in_the_log(receiver: PushReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headwater")
    receiver.receive(request(api_key="secret-canary"))
    receiver.receive(request(stream="others"))
    said = caplog.text
    assert "unknown_stream" in said
    assert "secret-canary" not in said
    assert "key-of-the-stores" not in said


def test_a_call_is_read_as_api_gateway_hands_it_over() -> None:
    event = {
        "pathParameters": {"source": "http_push", "stream": "pushed_events"},
        "headers": {"Content-Type": "application/json"},
        "body": base64.b64encode(b"\xff{}").decode(),
        "isBase64Encoded": True,
    }
    found = PushRequest.of(event)
    assert (found.stream, found.headers["content-type"], found.body) == ("pushed_events", "application/json", b"\xff{}")


def test_a_flood_of_wrong_keys_asks_aws_for_nothing_while_the_function_is_warm(project: Project) -> None:
    projects, secrets, asked = Fresh[OpenProject](60), Fresh[dict[str, str]](60), list[str]()
    opened = OpenProject(project)
    vars(opened)["secret"] = lambda name: asked.append(name) or KEYS
    projects.get("project", lambda: opened)
    answers = [
        PushReceiver.deployed(projects, secrets).receive(request(api_key=f"wrong-{number}")) for number in range(100)
    ]
    assert {told(answer) for answer in answers} == {(401, "unauthorized")}
    assert asked == ["http_push"]


def test_what_is_kept_is_read_again_after_its_time() -> None:
    now = [0.0]
    fresh = Fresh[int](60, lambda: now[0])
    values = iter([1, 2])
    assert [fresh.get("a", lambda: next(values)) for _ in range(2)] == [1, 1]
    now[0] = 61
    assert fresh.get("a", lambda: next(values)) == 2


def test_only_sources_that_take_events_have_keys_asked_for(project: Project, ledger: Ledger) -> None:
    asked: list[str] = []

    def keys(source: FilesSource) -> dict[str, str]:
        asked.append(source.name)
        return {}

    PushReceiver(OpenProject(project), keys).receive(request(source="s3_drops"))
    assert asked == []
