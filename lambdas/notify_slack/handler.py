"""Passes alerts on to a Slack channel."""

import os
from typing import Any

from headwater.brief import told_briefly
from headwater.run.slack import post
from headwater.secrets import read_secret


@told_briefly()
def handler(event: dict[str, Any], _context: object) -> dict[str, int]:
    """Posts each alert that the topic delivers; an alert that Slack refuses is delivered again."""
    webhook = read_secret(os.environ["SLACK_SECRET"])["url"]
    alerts = [record["Sns"] for record in event["Records"]]
    for alert in alerts:
        post(webhook, alert.get("Subject") or "Headwater", alert["Message"])
    return {"posted": len(alerts)}
