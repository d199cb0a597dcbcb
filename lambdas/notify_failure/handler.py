"""Alerts people about a failed run."""

import os
from typing import Any

import boto3

from headwater.run.alert import alert_of
from headwater.run.ended import note_end
from headwater.run.undone import undone_if_readable


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Publishes one alert for one failed run, and notes its end for the next audit."""
    subject, message = alert_of(os.environ["ENVIRONMENT"], event, undone_if_readable(event))
    sent = boto3.client("sns").publish(TopicArn=os.environ["TOPIC_ARN"], Subject=subject, Message=message)
    note_end(event)
    return {"message_id": sent["MessageId"]}
