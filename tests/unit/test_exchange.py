"""Tokens of weeks are exchanged in time, and their end is told in time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import LongLivedToken, Retry
from headwater.log import EXPIRING
from headwater.sources.http import exchange
from headwater.sources.http.auth import Auth
from headwater.sources.http.exchange import exchanged
from headwater.sources.http.messages import HttpResponse
from tests.support.http_fakes import FakeClock, FakeSend, answer, client

AUTH = LongLivedToken(kind="long_lived", token_url="/token", grant_type="fb_exchange_token")
SECRET = {"access_token": "token-of-old", "client_id": "id-of-app", "client_secret": "secret-of-app"}
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LIFE = 60 * 86_400
REFUSED = answer({"error": {"message": "no token-of-old for you"}}, 400)


class Kept:
    """A secret that is kept, and read again at each run; the provider answers by `send`."""

    def __init__(self, *script: HttpResponse, secret: Mapping[str, str] = SECRET) -> None:
        self.secret = secret
        self.saves = 0
        self.send = FakeSend(*script)

    def save(self, secret: Mapping[str, str]) -> None:
        self.secret = secret
        self.saves += 1

    def run(self, now: datetime) -> str:
        """The token that a run reads with."""
        held = Auth(secrets=tuple(self.secret.values()))
        asking = client(self.send, FakeClock(), Retry(attempts=2), auth=held)
        signed_with = exchanged(asking, AUTH, self.secret, self.save, now)
        assert signed_with == self.secret
        return signed_with["access_token"]

    @property
    def asked(self) -> int:
        return len(self.send.requests)


def new(number: int = 1, seconds: float | None = LIFE) -> HttpResponse:
    life = {} if seconds is None else {"expires_in": seconds}
    return answer({"access_token": f"token-{number}", "token_type": "bearer", **life})


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the exchange logged; a line that is no JSON would be heard by no alarm."""
    return [json.loads(record.message) for record in caplog.records if record.name == exchange.__name__]


def test_a_token_of_unknown_age_is_exchanged_and_the_new_one_is_written_back():
    kept = Kept(new())
    assert kept.run(NOW) == "token-1"
    [request] = kept.send.requests
    assert request.method == "GET"
    assert request.params == {
        "grant_type": "fb_exchange_token",
        "client_id": "id-of-app",
        "client_secret": "secret-of-app",
        "fb_exchange_token": "token-of-old",
    }
    assert {name: kept.secret[name] for name in SECRET} == SECRET | {"access_token": "token-1"}
    assert "token-" not in kept.secret["access_token_life"]


def test_it_is_exchanged_again_when_less_than_half_of_its_life_is_left():
    kept = Kept(new(1), new(2))
    for days in (0, 1, 29, 30):
        assert kept.run(NOW + days * DAY) == "token-1"
    assert kept.run(NOW + 30 * DAY + timedelta(seconds=1)) == "token-2"
    assert (kept.asked, kept.saves) == (2, 2)


@given(st.integers(1, 400), st.lists(st.integers(0, 200 * 24), max_size=40))
def test_a_token_that_is_looked_at_often_enough_never_runs_out(days, hours):
    kept = Kept(*(new(number, days * 86_400) for number in range(1, 50)))
    for hour in sorted(hours):
        now = NOW + timedelta(hours=hour)
        before, asked = kept.secret.get("access_token_life"), kept.asked
        kept.run(now)
        known = json.loads(kept.secret["access_token_life"])
        until, since = (datetime.fromisoformat(known[name]) for name in ("until", "since"))
        # What is left is half of the life at least, or the provider was asked less than a day ago.
        assert until - now >= (until - since) / 2 or now - datetime.fromisoformat(known["asked"]) < DAY
        assert kept.asked - asked == (before != kept.secret["access_token_life"])


@pytest.mark.parametrize("seconds", [None, 0])
def test_a_token_that_does_not_run_out_is_left_alone(seconds):
    kept = Kept(new(1, seconds))
    for days in (0, 1, 100, 1000):
        assert kept.run(NOW + days * DAY) == "token-of-old"
    assert kept.asked == 1


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
def test_without_the_apps_id_and_secret_nothing_is_exchanged(missing):
    kept = Kept(secret=SECRET | {missing: ""})
    assert kept.run(NOW) == "token-of-old"
    assert (kept.asked, kept.saves) == (0, 0)


def test_a_token_that_somebody_puts_in_has_an_age_of_its_own():
    kept = Kept(new(1, None), new(2))
    kept.run(NOW)
    kept.secret = {**kept.secret, "access_token": "token-by-hand"}
    assert kept.run(NOW + timedelta(minutes=1)) == "token-2"
    assert kept.send.requests[-1].params["fb_exchange_token"] == "token-by-hand"


WITHOUT_A_ZONE = json.dumps(
    {
        "token": hashlib.sha256(b"token-of-old").hexdigest()[:12],
        "asked": "2026-11-29T12:00:00",
        "since": "2026-11-29T12:00:00",
    }
)


@pytest.mark.parametrize("text", ["", "forever", "{}", '{"token": 1}', WITHOUT_A_ZONE])
def test_what_is_remembered_and_cannot_be_read_is_not_known(text):
    kept = Kept(new(), secret=SECRET | {"access_token_life": text})
    assert kept.run(NOW) == "token-1"


def test_a_failed_exchange_is_told_and_tried_again_after_a_day(caplog):
    kept = Kept(new(1), REFUSED, new(2))
    kept.run(NOW)
    later = NOW + 40 * DAY
    assert [kept.run(later), kept.run(later + timedelta(hours=1))] == ["token-1", "token-1"]
    assert kept.asked == 2
    assert kept.run(later + DAY) == "token-2"
    told = [(line["level"], line["event"], line["days_left"]) for line in lines(caplog)]
    assert told == [
        ("info", "token exchanged", 60),
        ("warning", "token not exchanged", 20),
        ("info", "token exchanged", 60),
    ]


@pytest.mark.parametrize(("after", "left"), [(46, 14), (47, 13), (59, 1), (61, 0)])
def test_the_alarms_word_is_logged_when_few_days_are_left(caplog, after, left):
    kept = Kept(new(1), REFUSED)
    kept.run(NOW)
    assert kept.run(NOW + after * DAY) == "token-1"
    line = lines(caplog)[-1]
    assert line["days_left"] == left
    assert (line["event"] == EXPIRING) is (left < 14)
    assert ("docs/secrets.md" in line.get("hint", "")) is (left < 14)


@pytest.mark.parametrize("reply", [REFUSED, answer({}), answer({"access_token": ""}), answer([]), answer(b"<html>")])
def test_a_token_of_unknown_age_that_cannot_be_exchanged_raises_the_alarm(caplog, reply):
    kept = Kept(reply, reply, reply)
    assert kept.run(NOW) == "token-of-old"
    line = lines(caplog)[-1]
    assert (line["event"], line["days_left"]) == (EXPIRING, "unknown")


def test_no_token_and_no_secret_reaches_the_log(caplog):
    sent = SECRET | {"access_token": "token-1"}
    echoed = answer({"error": sent, "said": [f"{value}!" for value in sent.values()]}, 400)
    kept = Kept(new(1), echoed, secret=SECRET)
    kept.run(NOW)
    kept.run(NOW + 50 * DAY)
    assert lines(caplog)[-1]["event"] == EXPIRING
    told = caplog.text
    assert not [value for value in (*SECRET.values(), "token-1") if value in told]
