"""The entrances, on the gateway: a record, an event, a file, each through its real entrance to where the pipeline takes it up."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from headwater.deploy.deployment import Deployment
from headwater.deploy.project import restricted
from headwater.ledger.bucket import Bucket
from headwater.ledger.positions import RecordsPosition, ShardsPosition
from headwater.ledger.stream import Ledger, StreamLedger
from local import deploy
from local.deploy_access import deploy_access
from local.deploy_buckets import deploy_buckets
from local.deploy_entrances import deploy_entrances
from local.deploy_lambdas import deploy_lambdas
from local.stack import ROOT
from tests.support import declared
from tests.support.aws import ROLE, Aws
from tests.support.waiting import wait_for

SOURCES = frozenset({"kinesis", "http_push", "s3_drops"})
KEY = "key-of-the-stores"
EVENT = {
    "event_id": "e1",
    "event_type": "survey_answered",
    "occurred_at": "2018-01-01T10:00:00Z",
    "customer_id": 7,
    "store_id": 300,
}


class Entered:
    """One environment's entrances, deployed, with a state machine that ends when it is told to."""

    def __init__(self, aws: Aws, deployment: Deployment) -> None:
        self.aws = aws
        self.deployment = deployment
        environment = deployment.project.environment
        self.landing = environment.bucket("landing")
        self.ledger = Ledger(Bucket(aws.client("s3"), environment.bucket("raw")))

    def deploy(self) -> None:
        keys = deploy_access(self.deployment)
        deploy_buckets(self.deployment, keys["data"])
        deploy._artifacts(self.deployment)
        deploy.put_secrets(self.deployment.prefix, {"http_push": {"stores": KEY}})
        deploy_lambdas(self.deployment, keys["data"])
        deploy_entrances(self.deployment, keys)

    def machine(self) -> None:
        definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 4, "End": True}}}
        self.aws.client("stepfunctions").create_state_machine(
            name=self.deployment.state_machine, definition=json.dumps(definition), roleArn=ROLE
        )

    def runs(self) -> list[dict[str, Any]]:
        answer = self.aws.client("stepfunctions").list_executions(stateMachineArn=self.deployment.state_machine_arn)
        found: list[dict[str, Any]] = answer["executions"]
        return found

    def stream(self, name: str, source: str = "kinesis") -> StreamLedger:
        return self.ledger.stream(source, name)

    def put(self, stream: str, *bodies: bytes) -> None:
        name = self.deployment.entrances.record_stream("kinesis", stream).name
        records = [{"Data": body, "PartitionKey": str(number)} for number, body in enumerate(bodies)]
        self.aws.client("kinesis").put_records(StreamName=name, Records=records)

    def rows(self, stream: StreamLedger) -> list[dict[str, Any]]:
        found = []
        for manifest in stream.since(0):
            for file in manifest.files:
                body = stream.bucket.read(file.key)
                assert body is not None
                found += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        return found

    def wait_rows(self, stream: str, number: int) -> list[dict[str, Any]]:
        ledger = self.stream(stream)
        wait_for(lambda: len(self.rows(ledger)) >= number, 60)
        return self.rows(ledger)

    def push(self, body: Any = EVENT, **headers: str) -> requests.Response:
        apis = self.aws.client("apigatewayv2").get_apis()["Items"]
        [api_id] = [found["ApiId"] for found in apis if found["Name"] == self.deployment.entrances.events_api]
        url = f"{self.aws.endpoint}/_aws/execute-api/{api_id}/events/http_push/pushed_events"
        given = {"x-api-key": KEY, "idempotency-key": "k1", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return requests.post(url, json=body, headers=given, timeout=30)

    def drop(self, key: str, body: bytes) -> None:
        self.aws.client("s3").put_object(Bucket=self.landing, Key=key, Body=body)


@pytest.fixture(scope="module")
def entered(gateway: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entered]:
    endpoint, home = gateway
    project = restricted(declared.project("local"), SOURCES)
    environment = project.environment.model_copy(update={"prefix": "headwater-entered"})
    deployment = Deployment(project.model_copy(update={"environment": environment}), ROOT)
    entered = Entered(Aws(endpoint, home, "headwater-entered-artifacts"), deployment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        entered.deploy()
        entered.machine()
        # A second time, as after a change.
        entered.deploy()
    yield entered
    client = entered.aws.client("lambda")
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_deploying_twice_makes_nothing_twice(entered: Entered) -> None:
    own = "headwater-entered"
    mappings = entered.aws.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert len([found for found in mappings if own in found["FunctionArn"]]) == 3
    apis = entered.aws.client("apigatewayv2").get_apis()["Items"]
    assert len([found for found in apis if found["Name"].startswith(own)]) == 1


def test_records_of_every_shard_are_stored_once_each_and_poison_with_its_problem(entered: Entered) -> None:
    bodies = [json.dumps({"event_id": f"e{number}"}).encode() for number in range(40)]
    entered.put("web_events", *bodies, b"{not json", b"\xff")
    rows = entered.wait_rows("web_events", 42)
    assert sorted(row["event_id"] for row in rows if "event_id" in row) == sorted(f"e{n}" for n in range(40))
    assert sorted(row["_problem"] for row in rows if "_problem" in row) == ["bad_encoding", "not_json"]
    position = entered.stream("web_events").position()
    assert isinstance(position, ShardsPosition)
    assert set(position.shards) == {f"shardId-00000000000{number}" for number in range(4)}


def test_records_through_the_queue_are_stored_too(entered: Entered) -> None:
    entered.put("web_events_queued", *[json.dumps({"event_id": f"q{number}"}).encode() for number in range(5)])
    rows = entered.wait_rows("web_events_queued", 5)
    assert sorted(row["event_id"] for row in rows) == [f"q{number}" for number in range(5)]
    assert entered.stream("web_events_queued").position() == RecordsPosition(records=5)


def test_a_message_that_is_no_record_does_not_hold_up_the_queue(entered: Entered) -> None:
    before = len(entered.rows(entered.stream("web_events_queued")))
    [queue] = [queue for queue in entered.deployment.entrances.queues() if "web_events" in queue.name]
    url = entered.aws.client("sqs").get_queue_url(QueueName=queue.name)["QueueUrl"]
    entered.aws.client("sqs").send_message(QueueUrl=url, MessageBody="hello")
    rows = entered.wait_rows("web_events_queued", before + 1)
    assert rows[-1]["_value"] == "hello"


def test_an_event_is_taken_once_and_whoever_has_no_key_is_not_heard(entered: Entered) -> None:
    assert entered.push(x_api_key="wrong").status_code == 401
    first, again = entered.push(), entered.push()
    assert (first.status_code, first.json()["duplicate"]) == (202, False)
    assert (again.status_code, again.json()["duplicate"]) == (202, True)
    assert entered.push({**EVENT, "store_id": 301}).status_code == 409
    refused = entered.push({**EVENT, "store_id": "x"}, idempotency_key="k2")
    assert (refused.status_code, refused.json()["message"]) == (422, "event.store_id must be integer")
    listed = entered.aws.client("s3").list_objects_v2(Bucket=entered.landing, Prefix="http_push/")
    assert [item["Key"] for item in listed["Contents"]] == [f"http_push/pushed_events/{first.json()['id']}.json"]


def _started(entered: Entered, before: int) -> Callable[[], bool]:
    return lambda: len(entered.runs()) > before


def test_a_dropped_file_starts_one_run_however_often_it_is_told_of(entered: Entered) -> None:
    entered.drop("s3_drops/partner_orders/a.csv", b"order_id\n")
    wait_for(_started(entered, 0), 60)
    [run] = entered.runs()
    assert run["name"].startswith("drop-s3_drops-")
    described = entered.aws.client("stepfunctions").describe_execution(executionArn=run["executionArn"])
    assert json.loads(described["input"]) == {"sources": ["s3_drops"]}
    # While it goes on, a new file waits for the next one; a marker and a file of nobody's start nothing.
    entered.drop("s3_drops/partner_orders/b.csv", b"order_id\n")
    entered.drop("s3_drops/partner_orders/_SUCCESS", b"done")
    entered.drop("elsewhere/c.csv", b"x")
    arrivals = "s3_drops/partner_orders/arrivals/"
    wait_for(lambda: len(list(entered.ledger.bucket.keys(arrivals))) == 2, 60)
    wait_for(lambda: all(found["status"] == "SUCCEEDED" for found in entered.runs()), 60)
    # S3 may send the events of both twice.
    for name in ("a.csv", "b.csv"):
        entered.drop(f"s3_drops/partner_orders/{name}", b"order_id\n")
    entered.drop("s3_drops/partner_clicks/c.jsonl", b"{}")
    wait_for(_started(entered, 1), 60)
    assert len(entered.runs()) == 2


def test_the_function_of_a_stream_fits_into_its_queue(entered: Entered) -> None:
    folders = entered.deployment.entrances.folders()
    timeout = max(function.timeout_seconds for function in entered.deployment.lambdas() if function.folder in folders)
    assert all(queue.visibility_seconds >= 6 * timeout for queue in entered.deployment.entrances.queues())
