"""The query API's parts: counting, keeping and writing answers, and what comes of it when Athena refuses or forgets."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import Project
from headwater.config.environment import Consumer, QueryApi
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.serve.answers import Answers, gold_version
from headwater.serve.api import Call, QueryAnswerer
from headwater.serve.problems import ProblemError, Reply
from headwater.serve.quota import PREFIX, Quota
from headwater.serve.rows import Page

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = {"reports": "key-of-the-reports", "screen": "key-of-the-screen", "gone": "key-of-the-gone"}
MOMENT = datetime(2018, 1, 2, 23, 59, 30, tzinfo=UTC)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "-")


@dataclass
class FakeAthena:
    """Athena, whose executions end as it is told; `started` has what each was asked."""

    states: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    busy: bool = False

    def start_query_execution(self, **asked: Any) -> dict[str, str]:
        if self.busy:
            raise refused("TooManyRequestsException")
        self.started.append(asked)
        return {"QueryExecutionId": f"e{len(self.started)}"}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        if QueryExecutionId in self.lost:
            raise refused("InvalidRequestException")
        state = self.states.pop(0) if self.states else "SUCCEEDED"
        return {"QueryExecution": {"Status": {"State": state, "StateChangeReason": "secret reason"}}}

    def get_query_results(self, QueryExecutionId: str, **asked: Any) -> dict[str, Any]:  # noqa: N803
        if f"result of {QueryExecutionId}" in self.lost:
            raise refused("InvalidRequestException")
        columns = [{"Name": "segment", "Type": "varchar"}]
        rows = [{"Data": [{"VarCharValue": text}]} for text in ("segment", QueryExecutionId)]
        return {"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}}


@dataclass
class Asked:
    """An API in this process, whose clock goes on when it is told."""

    opened: OpenProject
    athena: FakeAthena
    lake: Bucket
    results: Bucket
    moment: datetime = MOMENT
    patience: float = 0.0

    def ask(self, parameters: str = "", query: str = "customers_by_segment", key: str = KEYS["reports"]) -> Reply:
        answers = Answers(self.athena, self.results, self.opened.project.environment)  # type: ignore[arg-type]
        answerer = QueryAnswerer(self.opened, lambda: KEYS, answers, self.patience, lambda: self.moment)
        self.calls = getattr(self, "calls", 0) + 1
        return answerer.answer(Call(f"call {self.calls}", "GET", query, key, parameters))

    def rows(self, parameters: str = "") -> Any:
        return json.loads(self.ask(parameters).body)["rows"]

    def commit(self, number: int) -> None:
        self.lake.write(f"gold/customer_analytics/_delta_log/{number:020d}.json", b"{}")


@pytest.fixture
def api(project: Project, ledger: Ledger, s3: S3Client) -> Asked:
    consumers = {
        "reports": Consumer(calls_a_minute=4, executions_a_day=2),
        "screen": Consumer(queries=("customers_by_segment",)),
    }
    own = {"query_api": QueryApi(consumers=consumers)}
    environment = project.environment.model_copy(update=own)
    for purpose in ("lake", "logs"):
        location = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket=environment.bucket(purpose), CreateBucketConfiguration=location)  # type: ignore[arg-type, typeddict-item]
    opened = OpenProject(project.model_copy(update={"environment": environment}))
    vars(opened)["ledger"] = ledger
    buckets = (Bucket(s3, environment.bucket(purpose)) for purpose in ("lake", "logs"))  # type: ignore[arg-type]
    asked = Asked(opened, FakeAthena(), *buckets)
    asked.commit(0)
    return asked


def told(reply: Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body).get("type", "").removeprefix("urn:headwater:")


def test_the_same_question_is_executed_once_for_each_version_of_gold(api: Asked) -> None:
    assert [api.rows(), api.rows("least_orders=1"), api.rows("format=json")] == [[{"segment": "e1"}]] * 3
    api.commit(1)
    assert api.rows() == [{"segment": "e2"}]
    assert [asked["ExecutionParameters"] for asked in api.athena.started] == [["1"], ["1"]]
    assert len({asked["ClientRequestToken"] for asked in api.athena.started}) == 2


def test_an_answer_is_one_to_its_own_values(api: Asked) -> None:
    assert (api.rows("least_orders=1"), api.rows("least_orders=2")) == ([{"segment": "e1"}], [{"segment": "e2"}])


def test_a_consumer_asks_what_it_may_and_nobody_without_a_key_anything(api: Asked) -> None:
    assert told(api.ask(key=KEYS["screen"]))[0] == 200
    assert told(api.ask(query="monthly_revenue", key=KEYS["screen"])) == (404, "unknown-query")
    assert [told(api.ask(key=key)) for key in ("", "made up", KEYS["gone"])] == [(401, "no-key")] * 3


def test_what_may_be_a_key_is_not_repeated(api: Asked) -> None:
    for parameters in ("canary-5f1d=1", "least_orders=canary-5f1d", "page=canary-5f1d", "format=canary-5f1d"):
        reply = api.ask(parameters, key=KEYS["screen"])
        assert (reply.status, "canary" in reply.body) == (400, False)


def test_a_table_that_is_made_anew_is_another_version_though_its_number_is_the_same(api: Asked) -> None:
    keys = [("k/00.json", datetime(2018, 1, day, tzinfo=UTC), 1) for day in (1, 2)]

    class Listed:
        def __init__(self, *keys: Any) -> None:
            self._keys = keys

        def keys(self, _prefix: str) -> Any:
            return iter(self._keys)

    one, other, again = (gold_version(Listed(key), ["t"]) for key in (*keys, keys[0]))  # type: ignore[arg-type]
    assert one == again != other


def test_what_gold_has_not_computed_is_asked_for_later(api: Asked) -> None:
    assert told(api.ask(query="monthly_revenue")) == (503, "not-computed")


def test_an_execution_that_came_to_nothing_is_not_kept(api: Asked) -> None:
    api.athena.states = ["FAILED"]
    failed = api.ask()
    assert told(failed) == (500, "failed")
    assert "secret reason" not in failed.body
    # The kept one is looked at first.
    api.athena.states = ["FAILED"]
    assert api.rows() == [{"segment": "e2"}]
    assert len({asked["ClientRequestToken"] for asked in api.athena.started}) == 2


def test_an_execution_that_athena_has_forgotten_is_done_again(api: Asked) -> None:
    assert api.rows() == [{"segment": "e1"}]
    api.athena.lost = {"e1"}
    assert api.rows() == [{"segment": "e2"}]


def test_a_result_that_is_no_longer_there_is_done_again_the_next_time(api: Asked) -> None:
    assert api.rows() == [{"segment": "e1"}]
    api.athena.lost = {"result of e1"}
    assert told(api.ask()) == (410, "gone")
    assert api.rows() == [{"segment": "e2"}]


def test_what_is_running_is_asked_for_by_its_token(api: Asked) -> None:
    api.patience = -1.0
    api.athena.states = ["RUNNING"]
    running = api.ask("least_orders=3&page=")
    assert told(running) == (400, "bad-page")
    running = api.ask("least_orders=3")
    assert (running.status, running.headers["location"].partition("page=")[0]) == (202, "?least_orders=3&")
    api.commit(1)
    assert told(api.ask(running.headers["location"].removeprefix("?")))[0] == 200
    assert len(api.athena.started) == 1


def test_athena_that_is_busy_is_asked_later(api: Asked) -> None:
    api.athena.busy = True
    busy = api.ask()
    assert (told(busy), busy.headers["retry-after"]) == ((503, "busy"), "5")


def test_limits_hold_within_their_window_and_say_when_it_ends(api: Asked) -> None:
    assert [told(api.ask(f"least_orders={number}"))[0] for number in range(5)] == [200, 200, 429, 429, 429]
    refused = api.ask()
    assert (told(refused), refused.headers["retry-after"]) == ((429, "too-many"), "30")
    assert "calls_a_minute: 4" in refused.body
    api.moment += timedelta(seconds=30)
    assert api.ask("least_orders=0").status == 200
    assert api.ask("least_orders=9").status == 200


class _OneAtATime(Bucket):
    """Makes an object only if it is not there, as S3 does; the double looks and writes in two steps."""

    _making = Lock()

    def create(self, key: str, body: bytes) -> bool:
        with self._making:
            return super().create(key, body)


def test_those_who_count_at_the_same_moment_take_no_more_than_there_is(s3: S3Client) -> None:
    bucket = _OneAtATime(s3, "raw")
    with ThreadPoolExecutor(8) as callers:
        taken = list(callers.map(lambda call: Quota(bucket, "c", str(call)).take("w", 5), range(12)))
    assert sorted(taken) == [False] * 7 + [True] * 5
    assert sum(1 for _ in bucket.keys(f"{PREFIX}c/w/")) == 5


@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServerException"])
def test_what_is_nobodys_fault_is_not_told_as_a_problem(api: Asked, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> Any:
        raise refused(code)

    monkeypatch.setattr(api.athena, "start_query_execution", fail)
    with pytest.raises(ClientError, match=code):
        api.ask()


KINDS = {"text": "varchar", "number": "decimal", "truth": "boolean"}
CELLS = st.tuples(
    st.none() | st.text(), st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.sampled_from([None, "true", "false"]),
)  # fmt: skip


@given(st.lists(CELLS, max_size=4))
def test_a_page_reads_back_as_it_was(rows: list[tuple[str | None, ...]]) -> None:
    page = Page(KINDS, rows, None)
    told = json.loads(page.as_json({"query": "q"}, None), parse_float=Decimal, parse_int=Decimal)
    assert (told["query"], told["next"], [column["name"] for column in told["columns"]]) == ("q", None, list(KINDS))
    for row, (text, number, truth) in zip(told["rows"], rows, strict=True):
        assert row["text"] == text
        assert (row["number"] is None and number is None) or str(row["number"]) == str(Decimal(str(number)))
        assert row["truth"] == {"true": True, "false": False, None: None}[truth]
    lines = list(csv.reader(io.StringIO(page.as_csv(), newline="")))
    assert lines == [list(KINDS), *([cell or "" for cell in row] for row in rows)]


def test_an_empty_text_is_told_from_none_and_what_is_no_number_is_null() -> None:
    page = Page({"a": "varchar", "b": "double"}, [("", "NaN"), (None, "1.0E10")], "token")
    assert page.as_csv() == '"a","b"\r\n"",NaN\r\n,1.0E10\r\n'
    assert [row["b"] for row in json.loads(page.as_json({}, "n"))["rows"]] == [None, 1e10]


def test_a_problem_has_the_form_of_rfc_9457() -> None:
    reply = ProblemError(429, "too-many", "said", "do", retry_after="3").reply
    assert json.loads(reply.body) == {
        "type": "urn:headwater:too-many",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "said",
        "hint": "do",
    }
    assert reply.render()["headers"] == {"content-type": "application/problem+json", "retry-after": "3"}
