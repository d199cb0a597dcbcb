"""The wire, against a server of a few lines: bodies that break off, drip, swell or are packed; silence; redirects."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headwater.errors import FatalSourceError, RetriableSourceError
from headwater.sources.http.messages import HttpRequest, HttpResponse, MalformedAnswerError
from headwater.sources.http.wire import Wire

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


def send_to(url: str, wire: Wire, method: str = "GET", **params: str) -> HttpResponse:
    try:
        return wire(HttpRequest(method, f"{url}/orders", params, {"Authorization": "Bearer right"}))  # type: ignore[arg-type]
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


def test_parameters_beside_a_json_body_are_in_the_url():
    with server(HEAD + b"Content-Length: 2\r\n\r\n{}") as (url, received):
        Wire(5)(HttpRequest("POST", f"{url}/orders", {"key": "a b"}, {}, b'{"q":1}'))
    assert received[0].startswith(b"POST /orders?key=a+b HTTP/1.1")
    assert received[0].endswith(b'\r\n\r\n{"q":1}')


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
    began = time.monotonic()
    with (
        server(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", drip=True) as (url, _),
        pytest.raises(RetriableSourceError, match=r"no whole answer within 0\.3 s"),
    ):
        send_to(url, Wire(0.3))
    assert time.monotonic() - began < 2


def test_silence_ends_with_the_deadline():
    with (
        server(b"", b"", drip=True) as (url, _),
        pytest.raises(RetriableSourceError, match=r"no whole answer within 0\.2 s"),
    ):
        send_to(url, Wire(0.2))


@pytest.mark.parametrize(
    ("begun", "dripped"),
    [
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
)
def test_whatever_part_of_an_answer_drips_the_deadline_ends_it(begun: bytes, dripped: bytes):
    began = time.monotonic()
    with (
        server(begun, dripped, drip=True) as (url, _),
        pytest.raises(RetriableSourceError, match=r"no whole answer within 0\.5 s"),
    ):
        send_to(url, Wire(0.5))
    assert time.monotonic() - began < 3


def test_a_connection_that_is_kept_has_the_whole_time_again():
    answer = HEAD + b"Content-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(3):
                    request_of(connection)
                    for byte in (answer[:20], answer[20:]):
                        time.sleep(0.2)
                        connection.sendall(byte)

        thread = threading.Thread(target=serve)
        thread.start()
        wire = Wire(1.0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/orders"
        answers = [wire(HttpRequest("GET", url, {}, {})).body for _ in range(3)]
        thread.join(5)
        wire.close()
    assert answers == [b"{}"] * 3


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


def test_a_name_that_leads_to_this_machine_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = socket.getaddrinfo

    def rebound(host: str, *args: object, **kwargs: object) -> object:
        return resolved("127.0.0.1" if host == "api.example" else host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with server(HEAD + b"Content-Length: 2\r\n\r\n{}") as (url, received):
        wire = Wire(5)
        away = url.replace("127.0.0.1", "api.example")
        for scheme in ("http", "https"):
            with pytest.raises(FatalSourceError, match="name leads to"):
                wire(HttpRequest("GET", away.replace("http", scheme, 1), {}, {"Authorization": "Bearer canary"}))
        wire.close()
        time.sleep(0.05)
    assert b"canary" not in b"".join(received)
