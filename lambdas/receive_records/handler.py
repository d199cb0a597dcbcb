"""Receives the records of the Kinesis streams, from their shards or from the queues behind them."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.receive.records import receive_records


def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Returns the records that could not be stored and must come again."""
    return receive_records(OpenProject.deployed(), event, context.aws_request_id)
