"""Opening a client: what it needs of the secret, and where the secret goes."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

import pytest

from headwater.errors import FatalSourceError
from headwater.sources.http.connect import open_client
from headwater.sources.http.pages import Ask
from tests.support.http_fakes import FakeSend, answer, never_saved, source


def test_a_secret_without_the_token_needs_a_person():
    declared = source(auth={"kind": "bearer"}, secret="shop/token")
    with (
        pytest.raises(FatalSourceError, match="'shop/token' has no 'access_token'"),
        open_client(declared, {}, never_saved),
    ):
        pass


def test_the_token_goes_into_the_header_and_not_into_the_address():
    with open_client(
        source(auth={"kind": "bearer"}, secret="shop/token"), {"access_token": "s3cr3t-token"}, never_saved
    ) as opened:
        assert opened.auth.headers == {"Authorization": "Bearer s3cr3t-token"}
        assert opened.auth.params == {}
        assert "s3cr3t" not in repr(opened)


# What each kind of auth signs with, and what of it may be seen

WAYS: list[tuple[dict[str, Any], dict[str, str], dict[str, str], dict[str, str]]] = [
    ({"kind": "bearer"}, {"access_token": "s3cr3t-token"}, {"Authorization": "Bearer s3cr3t-token"}, {}),
    (
        {"kind": "headers", "headers": {"X-Id": "id", "X-Key": "key"}},
        {"id": "account-id", "key": "s3cr3t-key"},
        {"X-Id": "account-id", "X-Key": "s3cr3t-key"},
        {},
    ),
    ({"kind": "query", "params": {"api_key": "key"}}, {"key": "s3cr3t+key/="}, {}, {"api_key": "s3cr3t+key/="}),
    (
        {"kind": "basic", "user": "{user}", "password": "{password}"},
        {"user": "somebody", "password": "s3cr3t-word"},
        {"Authorization": "Basic c29tZWJvZHk6czNjcjN0LXdvcmQ="},
        {},
    ),
    (
        {"kind": "basic", "user": "{email}/token", "password": "{api_token}"},
        {"email": "a@example.com", "api_token": "s3cr3t-token"},
        {"Authorization": "Basic YUBleGFtcGxlLmNvbS90b2tlbjpzM2NyM3QtdG9rZW4="},
        {},
    ),
    (
        {"kind": "basic", "user": "anystring", "password": "{key}"},
        {"key": "s3cr3t-key-us1"},
        {"Authorization": "Basic YW55c3RyaW5nOnMzY3IzdC1rZXktdXMx"},
        {},
    ),
    ({"kind": "basic", "user": "{key}"}, {"key": "s3cr3t-key"}, {"Authorization": "Basic czNjcjN0LWtleTo="}, {}),
]


@pytest.mark.parametrize(("auth", "secret", "headers", "params"), WAYS)
def test_each_kind_signs_every_page_and_nothing_of_it_can_be_read(auth, secret, headers, params, caplog):
    declared = source(auth=auth, secret="shop/key", paging={"kind": "next_url", "url": "next"})
    told = [*secret.values(), *params.values(), *headers.values()]
    echo = {"message": " ".join([*told, *map(quote_plus, told)])}
    with open_client(declared, secret, never_saved) as opened:
        following = "https://api.example.com/orders?page=2"
        send = FakeSend(answer({"data": [1], "next": following}), answer(echo, 500), answer(echo, 400))
        shop = replace(opened, send=send, sleep=lambda _: None)
        with pytest.raises(FatalSourceError, match="HTTP 400") as caught:
            list(shop.pages(Ask("/orders"), declared.paging, lambda content: content["data"]))
    for request in send.requests:
        assert headers.items() <= request.headers.items()
        assert params.items() <= request.params.items()
    seen = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(shop) + repr(send.requests)
    for value in {value.removeprefix("Basic ").removeprefix("Bearer ") for value in told} - {"somebody", "account-id"}:
        assert value not in seen
        assert quote_plus(value) not in seen


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ({"kind": "query", "params": {"api_key": "key"}}, "'key'"),
        ({"kind": "basic", "user": "{email}/token", "password": "{api_token}"}, "'email'"),
        ({"kind": "headers", "headers": {"X-Key": "key"}}, "'key'"),
    ],
)
def test_a_secret_that_lacks_a_key_needs_a_person(auth, missing):
    with (
        pytest.raises(FatalSourceError, match=rf"secret 'shop/key' has no {missing}. hint: add it"),
        open_client(source(auth=auth, secret="shop/key"), {}, never_saved),
    ):
        pass
