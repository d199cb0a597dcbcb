"""A Kinesis receiver whose manifest is stored, and whose reply is lost."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from headwater.deploy.entrances import Entrances
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.receive.records import receive_records
from tests.support import declared
from tests.support.aws import Aws


@pytest.mark.parametrize("action", ["drop_reply", "error"])
def test_a_manifest_whose_reply_is_lost_keeps_its_rows(aws: Aws, action: str) -> None:
    """boto3 sends the write again by itself, and finds its own object there."""
    project = declared.project("local")
    opened = OpenProject(project)
    vars(opened)["ledger"] = Ledger(Bucket(aws.client("s3"), aws.bucket))
    arn = Entrances(project).record_stream("kinesis", "web_events").arn

    def record(number: int) -> dict[str, Any]:
        return {
            "eventSource": "aws:kinesis",
            "eventID": f"shardId-000000000000:{number}",
            "eventSourceARN": arn,
            "kinesis": {
                "sequenceNumber": str(number),
                "partitionKey": "p",
                "approximateArrivalTimestamp": datetime.now(UTC).timestamp(),
                "data": base64.b64encode(json.dumps({"event_id": f"e{number}"}).encode()).decode(),
            },
        }

    aws.own("faults", "POST", {"method": "PUT", "path": "/manifests/", "action": action, "when": "after"})
    answer = receive_records(opened, {"Records": [record(n) for n in (1, 2, 3)]}, "r1", sleep=lambda _: None)
    assert [fault["fired"] for fault in aws.own("faults")["faults"]] == [1]
    assert answer == {"batchItemFailures": []}
    stream = opened.ledger.stream("kinesis", "web_events")
    latest = stream.latest()
    assert latest is not None
    assert (latest.batch, latest.rows) == (1, 3)
    [file] = latest.files
    body = stream.bucket.read(file.key)
    assert body is not None, "the manifest names a file that is gone"
    assert [json.loads(line)["event_id"] for line in gzip.decompress(body).splitlines()] == ["e1", "e2", "e3"]
