"""The HTTP client: what it tries again, how long it waits, and what it refuses."""

from __future__ import annotations

import pytest

from headwater.config import Rate
from headwater.errors import FatalSourceError, RetriableSourceError, SourceError, ThrottledError
from headwater.sources.http.limits import MALFORMED_TRIES, RateLimit
from headwater.sources.http.messages import MalformedAnswerError
from tests.support.http_fakes import FakeClock, FakeSend, always, answer, client


def test_a_failure_that_passes_is_tried_again():
    clock = FakeClock()
    send = FakeSend(answer({}, 500), answer({}, 502), answer({"ok": 1}))
    assert client(send, clock).get("/orders") == {"ok": 1}
    assert clock.slept == [1.0, 2.0]


def test_a_failure_that_stays_ends_after_bounded_tries_and_bounded_waiting():
    clock = FakeClock()
    send = always(answer({}, 500))
    with pytest.raises(RetriableSourceError, match=r"shop: GET /orders: HTTP 500.*gave up after 8 tries"):
        client(send, clock).get("/orders")
    assert len(send.requests) == 8
    assert sum(clock.slept) == 1 + 2 + 4 + 8 + 16 + 32 + 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_refusal_that_needs_a_person_is_not_tried_again(status):
    send = always(answer({"message": "no"}, status))
    with pytest.raises(SourceError, match=f"HTTP {status}") as refused:
        client(send).get("/orders")
    assert isinstance(refused.value, FatalSourceError)
    assert len(send.requests) == 1


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": "Mon, 01 Jan 2018 00:01:00 GMT", "date": "Mon, 01 Jan 2018 00:00:15 GMT"}, 45.0),
        ({"retry_after": "99999999"}, 300.0),
        ({"retry_after": "Mon, 01 Jan 2001 00:00:00 GMT", "date": "Mon, 01 Jan 2018 00:00:15 GMT"}, 1.0),
        ({"retry_after": "-5"}, 1.0),
        ({"retry_after": "soon"}, 1.0),
        ({"retry_after": "0"}, 1.0),
        ({}, 1.0),
    ],
)
def test_retry_after_is_honoured_within_bounds(headers, waited):
    clock = FakeClock()
    send = FakeSend(answer({}, 429, **headers), answer({"ok": 1}))
    client(send, clock).get("/orders")
    assert clock.slept == [waited]


def test_an_endless_throttle_ends_with_the_total_wait():
    clock = FakeClock()
    with pytest.raises(ThrottledError, match="after 4 tries and 900 s"):
        client(always(answer({}, 429, retry_after="99999999")), clock).get("/orders")
    assert sum(clock.slept) == 900


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"data": [{"id": 1}, {"i', "not whole JSON"),
        (b"", "not whole JSON"),
        (b'{"cost": NaN}', "not whole JSON"),
        (b"\xff\xfe", "not whole JSON"),
        (b"[" * 100_000, "not whole JSON"),
        (b"<!doctype html><title>Log in</title>", "HTML page instead of JSON"),
    ],
)
def test_a_body_that_is_no_json_is_tried_a_few_times_and_then_needs_a_person(body, said):
    send = always(answer(body))
    with pytest.raises(FatalSourceError, match=said):
        client(send).get("/orders")
    assert len(send.requests) == MALFORMED_TRIES


def test_a_body_that_was_cut_once_is_read_again():
    send = FakeSend(answer(b'{"data": [1'), MalformedAnswerError("the body ended early"), answer({"data": [1, 2]}))
    assert client(send).get("/orders") == {"data": [1, 2]}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused(status):
    send = always(answer(b"", status, location="https://evil.example.com/"))
    with pytest.raises(FatalSourceError, match="redirects"):
        client(send).get("/orders")
    assert len(send.requests) == 1


def test_paths_are_joined_under_a_base_url_that_has_a_path():
    send = always(answer({}))
    client(send, base_url="http://127.0.0.1:4570/facebook").get("/v26.0/act_1/ads")
    assert send.requests[0].url == "http://127.0.0.1:4570/facebook/v26.0/act_1/ads"


def test_the_client_keeps_quiet_as_long_as_usage_says():
    clock = FakeClock()
    send = always(answer({}))
    limit = RateLimit(Rate(calls=100), 300, clock.sleep, clock)
    shop = client(send, clock, limit=limit, usage=lambda response: 7.0)
    shop.get("/orders")
    shop.get("/orders")
    assert clock.slept == [7.0]


def test_a_path_with_a_limit_of_its_own_waits_for_no_other_path():
    clock = FakeClock()
    limit, own = (RateLimit(Rate(calls=calls, per_seconds=10), 300, clock.sleep, clock) for calls in (2, 1))
    shop = client(always(answer({})), clock, limit=limit, limits={"/search": own})
    shop.get("/orders/search?q=1")
    shop.get("/orders")
    shop.get("/orders")
    assert clock.slept == []
    shop.get("/orders/search")
    assert clock.slept == [pytest.approx(10.2)]
