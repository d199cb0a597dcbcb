from __future__ import annotations

import json
import urllib.error
import urllib.request
from email.message import Message

import pytest

from headwater.errors import ConfigError, FatalSourceError, RetriableSourceError
from headwater.run.slack import post

WEBHOOK = "https://hooks.slack.com/services/T0/B0/canary"


class Slack:
    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: list[urllib.request.Request] = []

    def __call__(self, request: urllib.request.Request) -> int:
        self.requests.append(request)
        if self.status >= 400:
            raise urllib.error.HTTPError(request.full_url, self.status, "refused", Message(), None)
        return self.status


def test_an_alert_becomes_one_message_with_its_subject_and_text() -> None:
    slack = Slack()
    post(WEBHOOK, "run r1 failed", "source: fx_rates\n<!channel> & <https://evil.example|here>", slack)
    [request] = slack.requests
    assert isinstance(request.data, bytes)
    sent = json.loads(request.data)
    assert sent["text"] == "run r1 failed"
    assert sent["blocks"][1]["text"] == {
        "type": "plain_text",
        "text": "source: fx_rates\n<!channel> & <https://evil.example|here>",
    }


def test_a_long_alert_is_cut_to_what_slack_takes() -> None:
    slack = Slack()
    post(WEBHOOK, "subject", "x" * 10_000, slack)
    assert isinstance(slack.requests[0].data, bytes)
    assert len(json.loads(slack.requests[0].data)["blocks"][1]["text"]["text"]) <= 3000


@pytest.mark.parametrize(
    "address", ["http://hooks.slack.com/x", "https://hooks.slack.com.evil.example/x", "https://a@b/"]
)
def test_nothing_is_sent_to_another_address(address: str) -> None:
    slack = Slack()
    with pytest.raises(ConfigError):
        post(address, "s", "t", slack)
    assert slack.requests == []


@pytest.mark.parametrize(
    ("status", "error"), [(429, RetriableSourceError), (503, RetriableSourceError), (404, FatalSourceError)]
)
def test_a_refusal_says_who_acts_and_holds_no_secret(status: int, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        post(WEBHOOK, "s", "t", Slack(status))
    assert "canary" not in str(refused.value)
