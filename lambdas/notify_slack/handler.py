"""Passes alerts on to a Slack channel."""

import json
import os
from typing import Any

import boto3

from headwater.run.slack import post


def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Posts each alert that the topic delivers; an alert that Slack refuses is delivered again."""
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SLACK_SECRET"])
    webhook = json.loads(secret["SecretString"])["url"]
    alerts = [record["Sns"] for record in event["Records"]]
    for alert in alerts:
        post(webhook, alert.get("Subject") or "Headwater", alert["Message"])
    return {"posted": len(alerts)}
