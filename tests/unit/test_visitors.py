"""A server of the stack answers programs that ask for it by its own name, and no page of another origin."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from local.visitors import Door, refusal

OURS = (
    "127.0.0.1:4566",
    "localhost:4566",
    "LOCALHOST",
    "[::1]:4566",
    "bucket.localhost:4566",
    "localhost.localstack.cloud:4566",
    "abc123.execute-api.localhost.localstack.cloud:4566",
)
OTHERS = (
    "",
    "evil.example:4566",
    "127.0.0.1.evil.example",
    "evil.example#127.0.0.1",
    "evil.example@127.0.0.1:4566",
    "127.0.0.1,evil.example",
    "127.0.0.1, evil.example",
    "localhost.evil.example",
    "evillocalhost",
    "localstack.cloud",
    "169.254.169.254",
    "0.0.0.0:4566",
    "[::1",
    "127.0.0.1:4566:80",
)


@pytest.mark.parametrize("host", OURS)
def test_a_program_that_asks_by_one_of_our_names_is_answered(host: str) -> None:
    assert refusal({"host": host}) is None
    assert refusal({"host": host, "sec-fetch-site": "none"}) is None
    assert refusal({"host": host, "sec-fetch-site": "same-origin", "origin": f"http://{host}"}) is None


@pytest.mark.parametrize("host", OTHERS)
def test_whoever_asks_by_another_name_is_refused_whatever_else_he_says(host: str) -> None:
    for others in ({}, {"origin": f"http://{host}"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert refusal({"host": host, **others}) is not None


@given(st.sampled_from(OURS), st.text(min_size=1, max_size=30))
def test_no_other_origin_is_answered(host: str, origin: str) -> None:
    for other in (
        origin,
        f"http://{origin}",
        "null",
        f"https://{host}",
        f"http://{host}.evil.example",
        "http://127.0.0.1:8000",
    ):
        if other != f"http://{host}":
            assert refusal({"host": host, "origin": other}) is not None
    for site in ("cross-site", "same-site", origin):
        if site not in {"none", "same-origin"}:
            assert refusal({"host": host, "sec-fetch-site": site}) is not None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"127.0.0.1:4570")], 200),
        ([(b"host", b"rebound.example:4570")], 403),
        ([(b"host", b"127.0.0.1:4570"), (b"host", b"rebound.example")], 403),
        ([(b"host", b"127.0.0.1:4570"), (b"origin", b"https://evil.example")], 403),
        ([(b"host", b"127.0.0.1:4570"), (b"sec-fetch-site", b"cross-site")], 403),
    ],
)
def test_the_door_of_an_asgi_server_lets_the_same_through(headers: list[tuple[bytes, bytes]], status: int) -> None:
    answered: list[MutableMapping[str, Any]] = []

    async def nothing() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: MutableMapping[str, Any]) -> None:
        answered.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(Door(PlainTextResponse("in"))(scope, nothing, keep))
    assert answered[0]["status"] == status
