"""The HTTP client: retry, rate limit, paging, distrust, and secrets that stay secret."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.config import CursorPaging, OnePage, Rate, Retry
from headwater.errors import FatalSourceError, PagingError, RetriableSourceError, ThrottledError
from headwater.sources.http.client import (
    MALFORMED_TRIES,
    MAX_EMPTY_PAGES,
    MAX_REPEATED_PAGES,
    Backoff,
    Credentials,
    MalformedAnswerError,
    RateLimit,
    Request,
    Response,
    Wire,
    to_line,
)
from tests.support.http_fakes import FakeClock, FakeSend, always, answer, client

CURSOR = CursorPaging(kind="cursor", cursor="paging.after", more="paging.next")


def rows_of(answer: Any) -> list[Any]:
    return answer["data"]


def page_of(rows: list[Any], after: str | None = None, following: str = "/base/orders") -> Response:
    return answer({"data": rows, "paging": {"after": after, "next": following} if after else {}})


def read_all(send: FakeSend) -> list[Any]:
    return [row for page in client(send).pages("/orders", {}, CURSOR, rows_of) for row in page.rows]


# Retry


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
    with pytest.raises(FatalSourceError, match=f"HTTP {status}"):
        client(send).get("/orders")
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


@given(st.integers(1, 20), st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_waits_are_bounded_whatever_the_source_asks_for(attempts, longest, total, drawn, asked):
    retry = Retry(attempts=attempts, longest_wait_seconds=longest, total_wait_seconds=total)
    backoff = Backoff(retry, draw=lambda: drawn)
    waits: list[float] = []
    while (wait := backoff.wait(len(waits) + 1, sum(waits), asked)) is not None:
        waits.append(wait)
    assert len(waits) < attempts
    assert all(0 <= wait <= longest for wait in waits)
    assert sum(waits) <= total * 1.000001


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


# Numbers


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimals_come_through_exactly(number):
    line = to_line(answer(f'{{"rate": {number:f}, "name": "€ \\ud83d\\ude00"}}'.encode()).json())
    assert line == f'{{"name":"\\u20ac \\ud83d\\ude00","rate":{number:f}}}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=4))
def test_a_written_line_reads_back_as_the_row_it_was(row):
    line = to_line(row)
    assert "\n" not in line
    assert line.isascii()
    again = json.loads(line, parse_float=Decimal)
    assert again == row
    assert to_line(dict(reversed(again.items()))) == line


# Rate


@given(
    st.integers(1, 5),
    st.floats(0.1, 60),
    st.lists(st.tuples(st.floats(0, 5), st.none() | st.floats(0, 20)), max_size=40),
)
def test_no_stretch_of_time_sees_more_calls_than_allowed(calls, per_seconds, steps):
    clock = FakeClock()
    limit = RateLimit(Rate(calls=calls, per_seconds=per_seconds), 10.0, clock.sleep, clock)
    begun: list[float] = []
    quiet_until = 0.0
    for idle, pause in steps:
        clock.now += idle
        with limit:
            begun.append(clock.now)
            assert clock.now >= quiet_until - 1e-6
        if pause is not None:
            limit.pause(pause)
            quiet_until = max(quiet_until, clock.now + min(pause, 10.0))
    for first, last in zip(begun, begun[calls:], strict=False):
        assert last - first >= per_seconds - 1e-6


def test_at_most_the_allowed_number_of_requests_is_under_way():
    limit = RateLimit(Rate(calls=100, concurrent=2), 1.0)
    under_way, most = 0, 0
    lock = threading.Lock()
    both_in = threading.Barrier(2, timeout=5)

    def request() -> None:
        nonlocal under_way, most
        with limit:
            with lock:
                under_way += 1
                most = max(most, under_way)
            both_in.wait()
            with lock:
                under_way -= 1

    threads = [threading.Thread(target=request) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 2


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


# Paging


@given(st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=12))
def test_any_split_into_pages_gives_the_same_rows(split):
    rows = [{"id": number} for number in range(sum(map(len, split)))]
    pages, start = [], 0
    for number, part in enumerate(split):
        last = number == len(split) - 1
        pages.append(page_of(rows[start : start + len(part)], None if last else f"c{number}"))
        start += len(part)
    send = FakeSend(*pages)
    assert read_all(send) == rows
    assert [request.params.get("after") for request in send.requests] == [
        None,
        *(f"c{n}" for n in range(len(split) - 1)),
    ]


def test_a_cursor_on_the_last_page_is_not_followed():
    send = FakeSend(answer({"data": [1], "paging": {"after": "c1"}}))
    assert read_all(send) == [1]


def test_an_empty_page_with_a_next_one_goes_on():
    assert read_all(FakeSend(page_of([], "c1"), page_of([1], "c2"), page_of([]))) == [1]


def test_a_cursor_that_comes_twice_is_an_error():
    send = FakeSend(page_of([1], "c1"), page_of([2], "c2"), page_of([3], "c1"))
    with pytest.raises(PagingError, match="'c1' came twice"):
        read_all(send)


def endless(rows: Callable[[int], list[int]]) -> FakeSend:
    send = FakeSend()
    send.handler = lambda request: page_of(rows(len(send.requests)), f"c{len(send.requests)}")
    return send


def test_endless_empty_pages_end():
    send = endless(lambda number: [])
    with pytest.raises(PagingError, match="empty pages in a row"):
        read_all(send)
    assert len(send.requests) == MAX_EMPTY_PAGES


def test_one_page_under_ever_new_cursors_ends():
    send = endless(lambda number: [1, 2])
    with pytest.raises(PagingError, match="came again under new cursors"):
        read_all(send)
    assert len(send.requests) == MAX_REPEATED_PAGES + 1


def test_a_promise_of_more_without_a_cursor_is_an_error():
    send = FakeSend(answer({"data": [1], "paging": {"next": "/orders?page=2"}}))
    with pytest.raises(PagingError, match=r"`paging.after` is absent"):
        read_all(send)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/base/orders?after=c1",
        "http://api.example.com/base/orders",
        "https://api.example.com:8443/base/orders",
        "https://api.example.com:99999/base/orders",
        "https://api.example.com@evil.example.com/",
        "https://user:pass@api.example.com/base/orders",
        "//evil.example.com/orders",
        "https:\\\\evil.example.com/orders",
        "https://api.example.com\\.evil.example.com/",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_next_page_elsewhere_is_refused(url):
    send = FakeSend(page_of([1], "c1", url))
    with pytest.raises(PagingError, match="not at the configured origin"):
        read_all(send)
    assert len(send.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com/base/orders", "https://API.example.com:443/x", "/base/orders?after=c1", "?after=c1"],
)
def test_a_next_page_at_the_same_origin_is_read(url):
    assert read_all(FakeSend(page_of([1], "c1", url), page_of([2]))) == [1, 2]


def test_a_source_without_paging_is_asked_once():
    send = FakeSend(answer({"data": [1]}))
    assert [page.rows for page in client(send).pages("/orders", {}, OnePage(), rows_of)] == [[1]]


# Secrets

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=4, max_size=40).map("EAAB{}".format)


@given(SECRETS)
def test_no_secret_reaches_a_message_or_a_repr(secret):
    echo = json.dumps({"message": f"bad token {secret}", "url": f"/x?access_token={secret}&limit=1"})
    credentials = Credentials({"Authorization": f"Bearer {secret}"}, {"appsecret_proof": "0123abcd"}, (secret,))
    send = always(answer(echo.encode(), 401))
    shop = client(send, credentials=credentials)
    with pytest.raises(FatalSourceError) as caught:
        shop.get("/orders", {"limit": "1"})
    told = "".join(traceback.format_exception(caught.value)) + repr(shop) + repr(send.requests) + repr(credentials)
    assert secret not in told.replace("***", "")
    assert "0123abcd" not in told


@pytest.mark.parametrize("before", range(440, 520, 7))
def test_a_secret_is_struck_out_before_a_long_message_is_cut(before):
    send = always(answer(b"x" * before + b"s3cr3t-token-s3cr3t-token" + b"x" * 500, 400))
    with pytest.raises(FatalSourceError) as caught:
        client(send, credentials=Credentials(secrets=("s3cr3t-token-s3cr3t-token",))).get("/orders")
    assert "s3cr" not in str(caught.value)


def test_no_secret_reaches_the_log(caplog):
    credentials = Credentials({}, {"appsecret_proof": "0123abcd"}, ("s3cr3t/+token",))
    problem = RetriableSourceError("no connection to /x?t=s3cr3t%2F%2Btoken&appsecret_proof=0123abcd&passcode=open")
    client(FakeSend(problem, answer({})), credentials=credentials).get("/orders")
    assert "request failed" in caplog.text
    for secret in ("s3cr3t", "0123abcd", "open"):
        assert secret not in caplog.text


# The wire

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def request_of(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def server(*pieces: bytes, drip: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """Serves one connection: reads a request, sends the pieces, closes; with `drip` it repeats the last one slowly."""
    received: list[bytes] = []
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(request_of(connection))
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                    while drip and not stop.wait(0.02):
                        connection.sendall(pieces[-1])
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        finally:
            stop.set()
            thread.join(5)


def send_to(url: str, wire: Wire, method: str = "GET", **params: str) -> Response:
    try:
        return wire(Request(method, f"{url}/orders", params, {"Authorization": "Bearer right"}))  # type: ignore[arg-type]
    finally:
        wire.close()


def test_a_whole_answer_is_read():
    with server(HEAD + b"Content-Length: 7\r\n\r\n", b'{"a":', b"1}") as (url, received):
        response = send_to(url, Wire(5), limit="2")
    assert (response.status, response.json()) == (200, {"a": 1})
    assert received[0].startswith(b"GET /orders?limit=2 HTTP/1.1")


def test_parameters_of_a_post_stay_out_of_the_url():
    with server(HEAD + b"Content-Length: 2\r\n\r\n{}") as (url, received):
        send_to(url, Wire(5), "POST", level="ad")
    assert received[0].startswith(b"POST /orders HTTP/1.1")
    assert received[0].endswith(b"level=ad")


def test_a_compressed_answer_is_read():
    body = gzip.compress(b'{"a": "' + b"x" * 200_000 + b'"}')
    with server(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body), body) as (url, _):
        assert len(send_to(url, Wire(5)).body) == 200_009


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 100\r\n\r\n[1", b"Transfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n", b"Content-Length: 9\r\n\r\n"],
)
def test_a_body_that_breaks_off_is_malformed(rest):
    with server(HEAD + rest) as (url, _), pytest.raises(MalformedAnswerError, match="ended before"):
        send_to(url, Wire(5))


def test_a_body_in_another_encoding_than_announced_is_malformed():
    with (
        server(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}") as (url, _),
        pytest.raises(MalformedAnswerError, match="encoding"),
    ):
        send_to(url, Wire(5))


def test_a_body_that_drips_ends_with_the_deadline():
    with (
        server(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", drip=True) as (url, _),
        pytest.raises(RetriableSourceError, match="dripped in too slowly"),
    ):
        send_to(url, Wire(0.3))


def test_silence_ends_with_the_deadline():
    with (
        server(b"", b"", drip=True) as (url, _),
        pytest.raises(RetriableSourceError, match=r"no answer within 0\.2 s"),
    ):
        send_to(url, Wire(0.2))


def test_a_body_beyond_the_bound_is_refused():
    with (
        server(HEAD + b"\r\n", b"x" * 5000, drip=True) as (url, _),
        pytest.raises(FatalSourceError, match="larger than 1000 bytes"),
    ):
        send_to(url, Wire(5, max_bytes=1000))


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(b"0" * 50_000_000)
    with (
        server(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb), bomb) as (url, _),
        pytest.raises(FatalSourceError, match="larger than"),
    ):
        send_to(url, Wire(5, max_bytes=1_000_000))


def test_a_redirect_is_not_followed_on_the_wire():
    with server(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n") as (url, _):
        assert send_to(url, Wire(5)).status == 302


def test_a_closed_port_is_worth_another_try():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    secret = f"s3cr3t-{port}"
    with pytest.raises(RetriableSourceError, match="no connection") as caught:
        send_to(f"http://127.0.0.1:{port}", Wire(5), access_token=secret)
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_netrc_file_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with server(HEAD + b"Content-Length: 2\r\n\r\n{}") as (url, received):
        send_to(url, Wire(5))
    assert b"Authorization: Bearer right" in received[0]
