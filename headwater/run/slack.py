"""Slack: one alert as one message of a channel's webhook."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable

from headwater.errors import ConfigError, FatalSourceError, RetriableSourceError
from headwater.log import shortened

_HOST = "hooks.slack.com"
_WEBHOOK = re.compile(rf"https://{re.escape(_HOST)}/[A-Za-z0-9/_-]+")
_SECONDS = 10
# Slack cuts a section's text at 3000 characters.
_MOST_CHARACTERS = 2900

Send = Callable[[urllib.request.Request], int]


def message(subject: str, text: str) -> dict[str, object]:
    """The Slack message of an alert; nothing in it can mention or link."""
    return {
        "text": subject,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": subject[:150]}},
            {"type": "section", "text": {"type": "plain_text", "text": shortened(text, _MOST_CHARACTERS)}},
        ],
    }


def _send(request: urllib.request.Request) -> int:
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - post() lets https alone through
        return int(answer.status)


def post(webhook: str, subject: str, text: str, send: Send = _send) -> None:
    """Posts one alert to a webhook.

    Raises ConfigError when the address is no Slack webhook, RetriableSourceError when a retry may succeed and
    FatalSourceError when it never will. No message holds the address, which is a secret.
    """
    if not _WEBHOOK.fullmatch(webhook):
        raise ConfigError(
            f"the secret's url is no webhook of https://{_HOST}. hint: put Slack's webhook into the secret"
        )
    body = json.dumps(message(subject, text)).encode()
    request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    try:
        send(request)
    except urllib.error.HTTPError as error:
        if error.code == 429 or error.code >= 500:
            raise RetriableSourceError(f"slack: HTTP {error.code}") from None
        raise FatalSourceError(f"slack: HTTP {error.code}. hint: make a new webhook, put it into the secret") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise RetriableSourceError(f"slack: no answer ({type(error).__name__})") from None
