"""Dropped files that start runs: one for each source, once for each version of a file, and none beside one that is going on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headwater.config import Project
from headwater.ledger.landing import ARRIVALS, is_data
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.receive.drop import Starter

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:headwater-local-pipeline"
ORDERS = "s3_drops/partner_orders/a.csv"
CLICKS = "s3_drops/partner_clicks/a.jsonl"


class ExecutionAlreadyExists(Exception):  # noqa: N818 - Step Functions' name
    pass


class States:
    """Step Functions, as far as it is asked."""

    class exceptions:  # noqa: N801 - boto3's name
        ExecutionAlreadyExists = ExecutionAlreadyExists

    def __init__(self, *running: dict[str, Any]) -> None:
        self.running = running
        self.started: dict[str, dict[str, Any]] = {}

    def get_paginator(self, _name: str) -> States:
        return self

    def paginate(self, **_given: Any) -> list[dict[str, Any]]:
        return [{"executions": [{"name": f"run-{n}", "executionArn": str(n)}]} for n in range(len(self.running))]

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803 - boto3's name
        return {"input": json.dumps(self.running[int(executionArn)])}

    def start_execution(self, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803 - boto3's names
        if name in self.started:
            raise ExecutionAlreadyExists
        self.started[name] = json.loads(input)


@pytest.fixture
def opened(project: Project, ledger: Ledger) -> OpenProject:
    opened = OpenProject(project)
    vars(opened)["ledger"] = ledger
    return opened


def message(key: str, etag: str = "e1", size: int = 10, number: int = 1) -> dict[str, Any]:
    found = {"key": key, "etag": etag, "size": size, "sequencer": "1"}
    return {"messageId": f"m{number}", "body": json.dumps({"detail": {"bucket": {"name": "b"}, "object": found}})}


def start(opened: OpenProject, states: States, *messages: dict[str, Any]) -> list[str]:
    answer = Starter(opened, states, MACHINE).start({"Records": list(messages)})
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def registered(opened: OpenProject, stream: str = "partner_orders") -> list[dict[str, Any]]:
    bucket = opened.ledger.bucket
    keys = [key for key, _, _ in bucket.keys(f"s3_drops/{stream}/{ARRIVALS}/")]
    return [json.loads(bucket.read(key) or b"") for key in keys]


def test_a_file_starts_a_run_of_its_source_and_is_registered(opened: OpenProject) -> None:
    states = States()
    assert start(opened, states, message(ORDERS)) == []
    assert list(states.started.values()) == [{"sources": ["s3_drops"]}]
    assert registered(opened) == [{"key": ORDERS, "etag": "e1", "size": 10, "version": None}]


def test_the_same_event_again_starts_nothing(opened: OpenProject) -> None:
    states = States()
    start(opened, states, message(ORDERS))
    start(opened, states, message(ORDERS), message(ORDERS))
    assert len(states.started) == 1


def test_an_event_that_comes_again_before_it_was_registered_starts_nothing_either(
    opened: OpenProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = States()
    with monkeypatch.context() as patch:
        patch.setattr("headwater.ledger.bucket.Bucket.create", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            start(opened, states, message(ORDERS))
    start(opened, states, message(ORDERS))
    assert len(states.started) == 1
    assert len(registered(opened)) == 1


def test_a_new_version_of_a_file_starts_a_run(opened: OpenProject) -> None:
    states = States()
    start(opened, states, message(ORDERS))
    start(opened, states, message(ORDERS, etag="e2"))
    assert len(states.started) == 2


def test_files_that_come_together_start_one_run(opened: OpenProject) -> None:
    states = States()
    start(opened, states, message(ORDERS), message(CLICKS), message(f"{ORDERS}2"))
    assert len(states.started) == 1
    assert len(registered(opened)) == 2
    assert len(registered(opened, "partner_clicks")) == 1


@pytest.mark.parametrize("running", [{}, {"sources": []}, {"sources": ["fx_rates", "s3_drops"]}])
def test_a_run_that_is_going_on_is_not_doubled_and_the_file_is_registered(
    opened: OpenProject, running: dict[str, Any]
) -> None:
    states = States({"sources": ["fx_rates"]}, running)
    assert start(opened, states, message(ORDERS)) == []
    assert states.started == {}
    assert len(registered(opened)) == 1


def test_a_run_of_other_sources_is_in_nobodys_way(opened: OpenProject) -> None:
    states = States({"sources": ["fx_rates"]})
    start(opened, states, message(ORDERS))
    assert len(states.started) == 1


def test_what_is_no_data_or_nobodys_starts_nothing(opened: OpenProject) -> None:
    states = States()
    given = [
        message(ORDERS, size=0),
        message(f"{ORDERS}_tmp"),
        message("s3_drops/partner_orders/_SUCCESS"),
        message("elsewhere/a.csv"),
        message("http_push/pushed_events/a.json"),
    ]
    assert start(opened, states, *given) == []
    assert states.started == {}


def test_a_message_that_holds_no_event_is_reported(opened: OpenProject) -> None:
    states = States()
    stranger = {"messageId": "m9", "body": '{"Event": "s3:TestEvent"}'}
    assert start(opened, states, stranger, {"messageId": "m8", "body": "hello"}, message(ORDERS)) == ["m9", "m8"]
    assert len(states.started) == 1


@pytest.mark.parametrize(
    ("key", "size", "data"),
    [
        ("a.csv", 1, True),
        ("2018/01/a.csv", 1, True),
        ("a.csv", 0, False),
        ("folder/", 1, False),
        ("_SUCCESS", 1, False),
        (".a.csv", 1, False),
        ("_temporary/a.csv", 1, False),
        ("a.csv.tmp", 1, False),
        ("a.CSV_TMP", 1, False),
        ("a.csv.filepart", 1, False),
    ],
)
def test_a_name_tells_whether_a_file_is_finished(key: str, size: int, data: bool) -> None:
    assert is_data(key, size) is data
