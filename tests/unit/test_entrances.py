"""The entrances: derived from the declared sources, and none for sources that need none."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headwater.config import FilesSource, Project, Scd2Write
from headwater.deploy.deployment import Deployment
from headwater.deploy.entrances import Entrances
from headwater.deploy.project import restricted
from tests.support.paths import ROOT

ACCOUNT = "eu-west-1:123456789012"


def without(project: Project, *sources: str) -> Entrances:
    kept = {name: source for name, source in project.sources.items() if name not in sources}
    return Entrances(project.model_copy(update={"sources": kept}))


def test_a_stream_is_read_from_its_shards_or_through_a_pipe_and_a_queue(project: Project) -> None:
    entrances = Entrances(project)
    direct, queued = "headwater-local-kinesis-web_events", "headwater-local-kinesis-web_events_queued"
    assert [stream.name for stream in entrances.record_streams()] == [direct, queued]
    assert [pipe.name for pipe in entrances.pipes()] == [queued]
    assert [queue.name for queue in entrances.queues()] == [queued, "headwater-local-drops"]
    read = {mapping.source_arn: mapping.function for mapping in entrances.mappings()}
    assert read == {
        f"arn:aws:kinesis:{ACCOUNT}:stream/{direct}": "headwater-local-receive_records",
        f"arn:aws:sqs:{ACCOUNT}:{queued}": "headwater-local-receive_records",
        f"arn:aws:sqs:{ACCOUNT}:headwater-local-drops": "headwater-local-start_on_drop",
    }


def test_only_dropped_files_are_told_of(project: Project) -> None:
    [rule] = Entrances(project).drop_rules()
    keys = [key["prefix"] for key in rule.pattern["detail"]["object"]["key"]]
    assert keys == sorted(f"s3_drops/{stream}/" for stream in project.sources["s3_drops"].streams)


def test_what_no_source_needs_is_not_there(project: Project) -> None:
    nothing = without(project, "kinesis", "http_push", "s3_drops")
    assert [*nothing.record_streams(), *nothing.queues(), *nothing.pipes(), *nothing.mappings()] == []
    assert [*nothing.drop_rules(), *nothing.pushed_secrets] == []
    # Queries are asked of gold, whatever comes in.
    assert ([api.name for api in nothing.apis()], nothing.folders()) == (["headwater-local-queries"], ["answer_query"])
    assert not nothing.landing
    assert without(project, "s3_drops").landing
    assert without(project, "kinesis").folders() == ["receive_event", "start_on_drop", "answer_query"]


@pytest.mark.parametrize("field", ["queries", "query_api"])
def test_there_is_a_query_api_where_there_are_queries_and_whoever_may_ask_them(project: Project, field: str) -> None:
    environment = project.environment.model_copy(update={"query_api": None})
    without = {"queries": {}} if field == "queries" else {"environment": environment}
    one, other = Entrances(project), Entrances(project.model_copy(update=without))
    assert (one.query_secret, other.query_secret) == ("headwater-local/query_api", None)
    assert {api.name for api in one.apis()} - {api.name for api in other.apis()} == {"headwater-local-queries"}
    assert {*one.folders()} - {*other.folders()} == {"answer_query"}
    assert Deployment(other.project, ROOT).gold_readers() == []
    assert Deployment(project, ROOT).gold_readers() == ["headwater-local-answer_query"]


def test_a_project_without_the_sources_of_a_query_has_no_such_query(project: Project) -> None:
    assert restricted(project, frozenset({"fx_rates", "kinesis"})).queries == {}
    shop = restricted(project, frozenset({"fx_rates", "rds_postgres"}))
    assert {*shop.queries} >= {"monthly_revenue"}
    assert "campaign_days" not in shop.queries


def test_the_functions_are_deployed(project: Project) -> None:
    names = {function.name for function in Deployment(project, ROOT).lambdas()}
    assert {f"headwater-local-{folder}" for folder in ("receive_records", "receive_event", "start_on_drop")} <= names


def test_an_environment_may_wait_for_less_time(project: Project) -> None:
    assert {mapping.window_seconds for mapping in Entrances(project).mappings()} == {1}
    elsewhere = project.model_copy(update={"environment": project.environment.model_copy(update={"sources": {}})})
    assert {mapping.window_seconds for mapping in Entrances(elsewhere).mappings()} == {60}


def changed(source: Any, stream: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = source.model_dump(mode="json", by_alias=True)
    document["streams"][stream] |= changes
    return document


@pytest.mark.parametrize(
    ("stream", "changes", "message"),
    [
        ("partner_orders", {"accepts": {"type": "object"}}, "only pushed events"),
        ("partner_orders", {"prefix": "s3_drops/partner_clicks/more/"}, "read twice"),
        ("partner_orders", {"raw": ["order_id", "_row"]}, "there anyway"),
        ("partner_orders", {"format": {"kind": "csv", "delimiter": ";;"}}, "at most 1 character"),
        ("partner_orders", {"format": {"kind": "csv", "encoding": "ebcdic"}}, "utf-8"),
    ],
)
def test_a_files_source_that_cannot_work_is_refused(
    project: Project, stream: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        FilesSource.model_validate(changed(project.sources["s3_drops"], stream, **changes))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (None, "need `accepts`"),
        ({"type": "strange"}, "accepts"),
        ({"properties": {"a": {"$ref": "http://169.254.169.254/schema"}}}, "leaves the schema"),
        ({"allOf": [{"$ref": "other.json"}]}, "leaves the schema"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(project: Project, schema: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilesSource.model_validate(changed(project.sources["http_push"], "pushed_events", accepts=schema))


def test_events_without_a_secret_for_their_senders_are_refused(project: Project) -> None:
    document = changed(project.sources["http_push"], "pushed_events") | {"secret": None}
    with pytest.raises(ValidationError, match="senders' keys"):
        FilesSource.model_validate(document)


def test_versions_cannot_be_kept_of_records_without_order(project: Project) -> None:
    kept = project.tables["web_events"].model_copy(update={"write": Scd2Write(kind="scd2"), "version": "occurred_at"})
    queued = project.sources["kinesis"].streams["web_events_queued"]
    assert "a queue gives neither" in dict(queued.disagreements(kept))["delivery"]
