"""The query API on the gateway, as its consumers see it: from the key to the last page, and what comes of wrong calls."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import boto3
import pyarrow as pa
import pytest
import requests
import schemathesis
from deltalake import write_deltalake
from hypothesis import settings
from hypothesis import strategies as st

from headwater.config import Project
from headwater.config.environment import Consumer, QueryApi
from headwater.deploy.deployment import Deployment
from headwater.deploy.openapi import openapi
from headwater.open_project import OpenProject
from headwater.serve.api import Call, QueryAnswerer
from headwater.serve.problems import PROBLEM, Reply
from local import deploy, query_api
from local.deploy_access import deploy_access
from local.deploy_buckets import deploy_buckets
from local.deploy_entrances import deploy_entrances
from local.deploy_grants import deploy_grants
from local.deploy_lambdas import deploy_lambdas
from local.stack import ROOT
from tests.support import declared
from tests.support.aws import Aws

KEYS = {"reports": "key-of-the-reports", "screen": "key-of-the-screen", "poor": "key-of-the-poor", "gone": "key-of-old"}
CONSUMERS = {
    "reports": Consumer(calls_a_minute=1000, executions_a_day=10_000),
    "screen": Consumer(queries=("customers_by_segment",)),
    "poor": Consumer(executions_a_day=1),
}
ROWS = 2300
# The gateway gives up after thirty seconds of a function that runs, but loading its code may take long on a busy machine.
PATIENCE_SECONDS = 120
# JSON Schema cannot say that dates have bounds.
schemathesis.openapi.format("date", st.dates(date(2000, 1, 1), date(2100, 1, 1)).map(str))


def without_pages() -> dict[str, Any]:
    """The API's document without `page`: that a token must be one that the API gave, JSON Schema cannot say either."""
    document = openapi(declared.checkout())
    for path in document["paths"].values():
        path["get"]["parameters"] = [given for given in path["get"]["parameters"] if given["name"] != "page"]
    return document


DOCUMENT = schemathesis.openapi.from_dict(without_pages())


def own_project() -> Project:
    project = declared.project("local")
    own = {"prefix": "headwater-queries", "query_api": QueryApi(consumers=CONSUMERS)}
    return project.model_copy(update={"environment": project.environment.model_copy(update=own)})


@dataclass(frozen=True)
class Api:
    """A deployed query API, asked over HTTP."""

    aws: Aws
    deployment: Deployment
    url: str

    def ask(self, query: str = "monthly_revenue", key: str | None = "reports", **given: Any) -> requests.Response:
        headers = {} if key is None else {"x-api-key": KEYS.get(key, key)}
        return requests.get(f"{self.url}/{query}", params=given, headers=headers, timeout=PATIENCE_SECONDS)

    def executions(self) -> int:
        listed = self.aws.client("athena").list_query_executions(WorkGroup=self.deployment.prefix)
        return len(listed["QueryExecutionIds"])

    def write(self, table: str, rows: pa.Table) -> None:
        """Writes a gold table anew, and puts it into the catalog, as Gold and a crawler do."""
        environment = self.deployment.project.environment
        location = f"s3://{environment.bucket('lake')}/gold/{table}"
        options = {"AWS_ENDPOINT_URL": self.aws.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        options |= {"AWS_REGION": "eu-west-1", "AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag"}
        write_deltalake(location, rows, mode="overwrite", storage_options=options)
        glue = self.aws.client("glue")
        columns = [{"Name": name, "Type": "string"} for name in rows.column_names]
        storage = {"Columns": columns, "Location": location, "SerdeInfo": {}}
        entry = {"Name": table, "StorageDescriptor": storage, "Parameters": {"table_type": "delta"}}
        database = environment.database("gold")
        if table not in [found["Name"] for found in glue.get_tables(DatabaseName=database)["TableList"]]:
            glue.create_table(DatabaseName=database, TableInput=entry)

    def inside(self, patience_seconds: float) -> QueryAnswerer:
        """What the function runs, in this process and with its own patience."""
        opened = OpenProject(self.deployment.project)
        answerer = QueryAnswerer.of(opened, lambda: KEYS)
        return QueryAnswerer(opened, answerer.keys, answerer.answers, patience_seconds)


def metrics(rows: int) -> pa.Table:
    """Rows of business_metrics, in the order in which the query gives them."""
    return pa.table(
        {
            "month": [date(2018, 1, 1)] * rows,
            "category": [f"category {number:05d}" for number in range(rows)],
            "revenue": pa.array([Decimal(number) + Decimal("0.10") for number in range(rows)], pa.decimal128(18, 2)),
            "orders": range(rows),
            "customers": [1] * rows,
            "units": [None, *range(1, rows)],
        }
    )


CAMPAIGNS = pa.table(
    {
        "date": [date(2018, 1, 1)],
        "platform": ["google"],
        "account_id": ["1"],
        "campaign_id": ["2"],
        "impressions": [100],
        "clicks": [3],
        "cost_reporting": pa.array([None], pa.decimal128(18, 2)),
        "conversions": pa.array([Decimal("1.00")], pa.decimal128(18, 2)),
        "conversion_value_reporting": pa.array([Decimal("7.50")], pa.decimal128(18, 2)),
        "roas": pa.array([None], pa.decimal128(18, 4)),
    }
)


@pytest.fixture(scope="module")
def api(gateway: tuple[str, Any]) -> Iterator[Api]:
    endpoint, home = gateway
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "-")):
            environment.setenv(f"AWS_{name}", value)
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        environment.setattr(boto3, "DEFAULT_SESSION", None)
        deployment = Deployment(own_project(), ROOT)
        keys = deploy_access(deployment)
        deploy_buckets(deployment, keys["data"])
        deploy._artifacts(deployment)
        deploy._databases(deployment)
        deploy.put_secrets(deployment.prefix, {QueryApi.secret: KEYS})
        deploy_lambdas(deployment, keys["data"])
        deploy_entrances(deployment, keys)
        deploy._athena(deployment, keys["data"])
        deploy_grants(deployment)
        aws = Aws(endpoint, home, "-")
        api = Api(aws, deployment, query_api.address(endpoint, deployment) or "")
        api.write("business_metrics", metrics(ROWS))
        segments = {"customer_id": [1, 2, 3], "segment": ["VIP", "Low", "Low"], "orders": [9, 1, 0]}
        spent = pa.array([Decimal("11000.00"), Decimal("5.25"), Decimal("0.00")], pa.decimal128(18, 2))
        api.write("customer_analytics", pa.table({**segments, "lifetime_value": spent}))
        api.write("marketing_performance", CAMPAIGNS)
        yield api


def problem(answer: requests.Response) -> tuple[int, str]:
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["status"] == answer.status_code
    assert told["detail"]
    assert told["hint"]
    return answer.status_code, told["type"].removeprefix("urn:headwater:")


class Report:
    """The M script of docs/query-api.md, function by function, without its waits; `answer` is Web.Contents."""

    def __init__(self, answer: Callable[[str | None], tuple[int, str]]) -> None:
        self._answer = answer

    def _ask(self, page: str | None) -> dict[str, Any]:
        status, body = self._answer(page)
        told = json.loads(body)
        if status == 200:
            return {"rows": told["rows"], "next": told["next"], "wait": False}
        if status == 202:
            return {"rows": [], "next": told["next"], "wait": True}
        assert status in {429, 503}
        return {"rows": [], "next": page, "wait": True}

    def _patiently(self, page: str | None, tries: int) -> dict[str, Any]:
        found = self._ask(page)
        if not found["wait"]:
            return found
        assert tries < 12
        return self._patiently(found["next"], tries + 1)

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        found: dict[str, Any] | None = self._patiently(None, 0)
        while found is not None:
            yield found["rows"]
            found = None if found["next"] is None else self._patiently(found["next"], 0)


def test_money_stays_exact_and_what_is_not_there_is_null(api: Api) -> None:
    answer = api.ask(category="category 00000")
    assert answer.headers["content-type"] == "application/json"
    assert '"revenue": 0.10,' in answer.text
    told = answer.json()
    assert told["columns"][:3] == [
        {"name": "month", "type": "date"},
        {"name": "category", "type": "varchar"},
        {"name": "revenue", "type": "decimal"},
    ]
    row = {
        "month": "2018-01-01",
        "category": "category 00000",
        "revenue": 0.1,
        "orders": 0,
        "customers": 1,
        "units": None,
    }
    assert (told["rows"], told["next"]) == ([row], None)


def test_a_report_follows_the_pages_to_the_end_and_athena_is_asked_once(api: Api) -> None:
    before = api.executions()

    def answer(page: str | None) -> tuple[int, str]:
        got = api.ask(last_month="2018-01-01", **({"page": page} if page else {}))
        return got.status_code, got.text

    found = list(Report(answer).pages())
    assert [len(rows) for rows in found] == [999, 1000, 301]
    assert [row["orders"] for rows in found for row in rows] == list(range(ROWS))
    assert api.executions() == before + 1


def test_a_report_comes_through_what_is_not_there_yet(api: Api) -> None:
    """The function itself waits for twenty seconds, so here it runs with less patience, and says first that it is busy."""
    statuses: list[int] = []
    busy = Reply(429, PROBLEM, "{}")

    def answer(page: str | None) -> tuple[int, str]:
        patience = 20.0 if len(statuses) > 2 else -1.0
        asked = urlencode({"last_month": "2018-01-02", **({"page": page} if page else {})})
        call = Call(str(len(statuses)), "GET", "monthly_revenue", KEYS["reports"], asked)
        reply = api.inside(patience).answer(call) if statuses else busy
        statuses.append(reply.status)
        return reply.status, reply.body

    assert sum(len(rows) for rows in Report(answer).pages()) == ROWS
    assert (statuses[:2], statuses[-3:]) == ([429, 202], [200, 200, 200])


def test_csv_has_the_same_rows_and_links_to_the_page_that_follows(api: Api) -> None:
    first = api.ask(format="csv")
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(first.text, newline="")))
    assert first.text.startswith('"month","category","revenue","orders","customers","units"\r\n"2018-01-01",')
    assert (len(rows), rows[0]["revenue"], rows[0]["units"]) == (999, "0.10", "")
    second = requests.get(
        requests.compat.urljoin(first.url, first.links["next"]["url"]),
        headers={"x-api-key": KEYS["reports"]},
        timeout=PATIENCE_SECONDS,
    )
    assert second.text.splitlines()[1].startswith('"2018-01-01","category 00999",')


def test_the_same_question_at_the_same_version_of_gold_asks_athena_nothing(api: Api) -> None:
    given = {"category": "category 00007"}
    first = api.ask(**given).json()
    asked = api.executions()
    assert api.ask(**given).json() == first
    assert api.ask(**given, format="csv").status_code == 200
    assert api.executions() == asked
    assert api.ask(category="category 00008").json()["rows"] != first["rows"]
    assert api.executions() == asked + 1


def test_a_commit_to_gold_is_seen_at_once_and_pages_of_before_stay_as_they_were(api: Api) -> None:
    first = api.ask().json()
    api.write("business_metrics", metrics(3))
    try:
        assert len(api.ask().json()["rows"]) == 3
        second = api.ask(page=first["next"]).json()
        assert (second["version"], len(second["rows"])) == (first["version"], 1000)
    finally:
        api.write("business_metrics", metrics(ROWS))


@pytest.mark.parametrize("value", ["it's", "' OR 1=1 --", "?", ":category", "%27", "ü 漢", "NULL", "", "\\"])
def test_a_value_is_a_value_whatever_it_looks_like(api: Api, value: str) -> None:
    assert api.ask(category=value).json()["rows"] == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"key": None}, (401, "no-key")),
        ({"key": "made up"}, (401, "no-key")),
        ({"key": ""}, (401, "no-key")),
        ({"key": "gone"}, (401, "no-key")),
        ({"query": "SELECT 1"}, (404, "unknown-query")),
        ({"query": "monthly_revenue", "key": "screen"}, (404, "unknown-query")),
        ({"categori": "x"}, (400, "unknown-parameter")),
        ({"category": ["a", "b"]}, (400, "bad-parameter")),
        ({"category": "x" * 257}, (400, "bad-parameter")),
        ({"first_month": "2018-02-30"}, (400, "bad-parameter")),
        ({"first_month": "1999-12-31"}, (400, "bad-parameter")),
        ({"query": "customers_by_segment", "least_orders": "1 OR 1=1"}, (400, "bad-parameter")),
        ({"query": "campaign_days"}, (400, "bad-parameter")),
        ({"format": "xml"}, (400, "bad-parameter")),
        ({"page": "made up"}, (400, "bad-page")),
        ({"page": "e30"}, (400, "bad-page")),
    ],
)
def test_what_is_wrong_is_said_in_one_form(api: Api, given: dict[str, Any], told: tuple[int, str]) -> None:
    assert problem(api.ask(**given)) == told


def test_other_methods_are_refused_with_the_one_that_is_answered(api: Api) -> None:
    answer = requests.post(
        f"{api.url}/monthly_revenue", headers={"x-api-key": KEYS["reports"]}, timeout=PATIENCE_SECONDS
    )
    assert problem(answer) == (405, "method")
    assert answer.headers["allow"] == "GET"


def test_a_page_token_is_good_for_nothing_but_its_own_query_and_values(api: Api) -> None:
    token = api.ask().json()["next"]
    assert api.ask(page=token).status_code == 200
    others: list[dict[str, Any]] = [
        {"query": "customers_by_segment"},
        {"query": "customers_by_segment", "key": "screen"},
        {"category": "category 00001"},
        {"first_month": "2018-01-01"},
    ]
    assert [problem(api.ask(page=token, **other)) for other in others] == [(410, "gone")] * 4
    assert problem(api.ask(page=token, key="screen")) == (404, "unknown-query")


def test_the_day_of_a_consumer_is_used_up_by_executions_and_not_by_pages(api: Api) -> None:
    first = api.ask(key="poor", category="all", last_month="2018-02-01")
    assert first.status_code == 200
    assert api.ask(key="poor", last_month="2018-02-01", page=first.json()["next"]).status_code == 200
    assert api.ask(key="poor", last_month="2018-02-01").status_code == 200
    refused = api.ask(key="poor", last_month="2018-03-01")
    assert problem(refused) == (429, "too-many")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert api.ask(last_month="2018-03-01").status_code == 200


def test_what_takes_longer_is_asked_for_again_where_the_answer_says(api: Api) -> None:
    """The function itself waits for twenty seconds, so here it runs with less patience."""

    def told(parameters: str) -> Reply:
        return api.inside(-1.0).answer(Call("-", "GET", "monthly_revenue", KEYS["reports"], parameters))

    reply = told("last_month=2018-05-01")
    body = json.loads(reply.body)
    assert (reply.status, body["status"]) == (202, "running")
    assert int(reply.headers["retry-after"]) > 0
    asked = api.executions()
    answer = requests.get(
        f"{api.url}/monthly_revenue{reply.headers['location']}",
        headers={"x-api-key": KEYS["reports"]},
        timeout=PATIENCE_SECONDS,
    )
    assert (answer.status_code, len(answer.json()["rows"])) == (200, 999)
    assert api.executions() == asked


def test_no_key_is_in_any_log(api: Api) -> None:
    canary = "canary-5f1d"
    api.ask(key=canary)
    api.ask(**{canary: "x", "api_key": canary})
    api.ask(query=canary)
    api.ask(page=canary, category=canary)
    written = [path for path in (api.aws.home / "logs").rglob("*") if path.is_file()]
    logs = api.aws.client("logs")
    group = f"/aws/lambda/{api.deployment.prefix}-answer_query"
    told = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    texts = [*told, *(path.read_text(errors="replace") for path in written)]
    assert any('"event": "not answered"' in text for text in texts)
    assert [text for text in texts for word in (canary, *KEYS.values()) if word in text] == []


@DOCUMENT.parametrize()
@settings(max_examples=3, deadline=None)
def test_it_answers_as_its_document_says(api: Api, case: schemathesis.Case) -> None:
    base = api.url.removesuffix("/queries")
    case.call_and_validate(base_url=base, headers={"x-api-key": KEYS["reports"]}, timeout=PATIENCE_SECONDS)
