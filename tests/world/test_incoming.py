"""The data of the entrances: the web site's records, pushed events, dropped files; the same for the same seed, with counted defects."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import psycopg
import pytest

from headwater.config import FilesStream
from headwater.deploy.project import load_project
from headwater.ledger.landing import is_data
from headwater.ledger.untrusted import read_object
from headwater.receive.event import PushRequest, RefusedError, _event
from headwater.sources.files.formats import rows_of
from headwater.sources.files.rows import BadFileError
from local import world
from local.postgres import PostgresServer
from local.stack import ROOT

QUERIES = {
    "web": "select step, stream, partition_key, data from web.records order by number",
    "push": "select step, sender, idempotency_key, content_type, body, status, duplicate from push.requests order by number",
    "drops": "select step, key, body from drops.files order by number",
}


def rows(dsn: str, part: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(QUERIES[part]).fetchall()


@pytest.mark.parametrize("part", ["web", "push"])
def test_the_same_seed_sends_the_same(
    small_shop: str, server: PostgresServer, another_database: str, part: str
) -> None:
    world.advance(small_shop, 3, 11)
    world.seed(another_database, 7, households=50)
    world.advance(another_database, 3, 11)
    assert rows(small_shop, part) == rows(another_database, part)
    assert {step for step, *_ in rows(small_shop, part)} == {0, 1}


def read(dsn: str, key: str, body: bytes, folder: Any) -> tuple[str, list[Any]]:
    _, stream, *_ = key.split("/")
    declared = load_project(ROOT, "local").sources["s3_drops"].streams[stream]
    assert isinstance(declared, FilesStream)
    path = folder / "file"
    path.write_bytes(body)
    try:
        return stream, list(rows_of(path, declared))
    except BadFileError as bad:
        return stream, [bad.problem]


def test_the_same_seed_drops_the_same_rows_and_every_bad_one_is_counted(small_shop: str, tmp_path: Any) -> None:
    world.advance(small_shop, 3, 11)
    found: Counter[tuple[str, str]] = Counter()
    for _, key, body in rows(small_shop, "drops"):
        if is_data(key, len(body)):
            stream, read_rows = read(small_shop, key, bytes(body), tmp_path)
            problems = [row if isinstance(row, str) else row.problem for row in read_rows]
            found.update((f"s3_drops.{stream}", problem) for problem in problems if problem)
    planted = {
        name: number
        for name, number in world.defects(small_shop).items()
        if name[0].startswith("s3_drops.") and name[1] != "quantity_positive"
    }
    assert found == planted


def test_every_step_drops_files_that_nobody_must_take(small_shop: str) -> None:
    unfinished = [key for _, key, body in rows(small_shop, "drops") if not is_data(key, len(body))]
    assert len(unfinished) == 3


def test_records_that_cannot_be_read_are_counted(small_shop: str) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for _, stream, _, data in rows(small_shop, "web"):
        try:
            problem = "too_large" if len(data) > 262_144 else read_object(bytes(data).decode())[1]
        except UnicodeDecodeError:
            problem = "bad_encoding"
        if problem:
            found[f"kinesis.{stream}", problem] += 1
    planted = world.defects(small_shop)
    assert found == {name: planted[name] for name in found}
    assert {problem for _, problem in found} == {"not_json", "not_an_object", "bad_encoding", "too_large"}


def test_purchases_have_the_totals_of_their_orders(small_shop: str) -> None:
    with psycopg.connect(small_shop) as connection:
        totals = dict(connection.execute("select order_id, total_amount::text from shop.orders").fetchall())
    events = [json.loads(bytes(data)) for _, _, key, data in rows(small_shop, "web") if not key.startswith("planted")]
    bought = {event["order_id"]: event["amount"] for event in events if event["event_type"] == "purchase"}
    assert bought
    assert all(totals[order] == amount for order, amount in bought.items())


def test_every_request_says_which_answer_it_must_get(small_shop: str) -> None:
    source = load_project(ROOT, "local").sources["http_push"]
    assert source.kind == "files"
    assert source.entrance.kind == "http"
    stream = source.streams["pushed_events"]
    statuses = Counter()
    for _, _, key, kind, body, status, _ in rows(small_shop, "push"):
        statuses[status] += 1
        request = PushRequest("http_push", "pushed_events", {"content-type": kind}, bytes(body))
        if status in {202, 409}:
            assert _event(request, stream, source.entrance)["event_id"]
        elif status in {400, 413, 415, 422} and key is not None:
            with pytest.raises(RefusedError) as refused:
                _event(request, stream, source.entrance)
            assert refused.value.answer.status == status
    assert set(statuses) == {202, 400, 401, 409, 413, 415, 422}
