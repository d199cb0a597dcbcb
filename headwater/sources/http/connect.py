"""Opens the client of a source as its YAML says."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from headwater.config import (
    BasicAuth,
    BearerAuth,
    ClientCredentials,
    HeadersAuth,
    HttpSource,
    LongLivedToken,
    NoAuth,
    OAuth,
    QueryAuth,
    Rate,
    Retry,
)
from headwater.errors import FatalSourceError
from headwater.sources.apis import api_of
from headwater.sources.http.auth import Auth
from headwater.sources.http.classify import classify_by_status
from headwater.sources.http.client import HttpClient
from headwater.sources.http.exchange import exchanged
from headwater.sources.http.limits import Backoff, Monotonic, RateLimit, Sleep
from headwater.sources.http.oauth import Save, TokenAuth
from headwater.sources.http.wire import Wire

_ACCOUNT = "{account}"
_TOKEN_RATE = Rate(calls=5)
# What an exchange may wait for: the token that is there still lives, and tomorrow is another day.
_EXCHANGE_RETRY = Retry(attempts=2, longest_wait_seconds=30)


@contextmanager
def open_client(
    source: HttpSource,
    secret: Mapping[str, str],
    save: Save,
    sleep: Sleep = time.sleep,
    clock: Monotonic = time.monotonic,
) -> Iterator[HttpClient]:
    """Opens a client for a source; FatalSourceError when the secret lacks what its auth needs.

    `save` gets the whole secret when the provider has rotated a part of it.
    """
    api = api_of(source.name)
    wire = Wire(source.timeout_seconds)

    def limit(rate: Rate) -> RateLimit:
        return RateLimit(rate, source.retry.longest_wait_seconds, sleep, clock)

    if isinstance(source.auth, LongLivedToken):
        path = source.auth.token_url.replace("{api_version}", source.api_version)
        exchanging = HttpClient(
            name=source.name,
            base_url=source.base_url,
            send=wire,
            limit=limit(_TOKEN_RATE),
            backoff=Backoff(_EXCHANGE_RETRY),
            auth=Auth(secrets=tuple(map(str, secret.values()))),
            sleep=sleep,
            clock=clock,
        )
        auth = source.auth.model_copy(update={"token_url": path})
        secret = exchanged(exchanging, auth, secret, save, datetime.now(UTC))
    signed = _signed(source, secret)
    headers = {**signed.headers, **(api.headers(secret) if api.headers else {})}
    params = {**signed.params, **(api.sign(secret) if api.sign else {})}
    secrets = (*(str(value) for value in secret.values()), *signed.secrets)
    client = HttpClient(
        name=source.name,
        base_url=source.base_url,
        send=wire,
        limit=limit(source.rate),
        limits={ending: limit(rate) for ending, rate in source.rates.items()},
        backoff=Backoff(source.retry),
        auth=Auth(headers, params, secrets),
        classify=api.classify,
        usage=api.usage,
        sleep=sleep,
        clock=clock,
    )
    if isinstance(source.auth, OAuth | ClientCredentials):
        url = urlsplit(source.auth.token_url)
        asking = replace(
            client,
            base_url=f"{url.scheme}://{url.netloc}" if url.netloc else source.base_url,
            limit=limit(_TOKEN_RATE),
            auth=Auth(secrets=secrets),
            classify=classify_by_status,
        )
        grant = source.auth.model_copy(update={"token_url": url.path})
        renewing = TokenAuth(headers, params, secrets, client=asking, grant=grant, secret=secret, save=save)
        client = replace(client, auth=renewing)
    try:
        yield client
    finally:
        wire.close()


def for_account(client: HttpClient, source: HttpSource, secret: Mapping[str, str], account: str) -> HttpClient:
    """The client whose requests have the headers that are an account's own, too."""
    return replace(client, headers={**client.headers, **_headers_of_account(source, secret, account)})


def _headers_of_account(source: HttpSource, secret: Mapping[str, str], account: str) -> dict[str, str]:
    """Headers from the secret that are an account's own."""
    if not isinstance(source.auth, HeadersAuth):
        return {}
    own = {header: key for header, key in source.auth.headers.items() if _ACCOUNT in key}
    return {header: _of(source, secret, key.replace(_ACCOUNT, account)) for header, key in own.items()}


def _signed(source: HttpSource, secret: Mapping[str, str]) -> Auth:
    """What every request has of the secret: headers and parameters that stay as they are."""
    match source.auth:
        case NoAuth() | OAuth() | ClientCredentials():
            return Auth()
        case BearerAuth(token=key) | LongLivedToken(token=key):
            return Auth({"Authorization": f"Bearer {_of(source, secret, key)}"})
        case HeadersAuth(headers=headers):
            return Auth({name: _of(source, secret, key) for name, key in headers.items() if _ACCOUNT not in key})
        case QueryAuth(params=params):
            return Auth(params={name: _of(source, secret, key) for name, key in params.items()})
        case BasicAuth() as basic:
            given = basic.filled(lambda key: _of(source, secret, key))
            encoded = base64.b64encode(given.encode()).decode()
            return Auth({"Authorization": f"Basic {encoded}"}, secrets=(encoded,))


def _of(source: HttpSource, secret: Mapping[str, str], key: str) -> str:
    if not secret.get(key):
        raise FatalSourceError(f"{source.name}: secret {source.secret!r} has no {key!r}. hint: add it")
    return secret[key]
