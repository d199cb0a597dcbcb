"""Asks the API, page by page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tests.terraform.inventory.shapes import snake

Listed = Iterator[dict[str, Any]]
Listing = Callable[[], Listed]


def pages(service: str, call: str, field: str, **given: Any) -> Iterator[Any]:
    """Yields what a call answers in one of its fields, of all pages."""
    client = _client(service)
    answers = (
        client.get_paginator(call).paginate(**given) if client.can_paginate(call) else [ask(service, call, **given)]
    )
    for answer in answers:
        yield from answer.get(field, [])


def plainly(service: str, call: str, field: str, **given: Any) -> Listing:
    """Makes a listing of a call whose answers need no more than Terraform's names."""
    return lambda: (snake(told) for told in pages(service, call, field, **given))


def ask(service: str, call: str, **given: Any) -> dict[str, Any]:
    """Returns what a call answers, whole."""
    client = _client(service)
    answer: dict[str, Any] = getattr(client, call)(**given)
    return answer


def asked(service: str, call: str, **given: Any) -> dict[str, Any]:
    """Returns what a call answers, empty where there is nothing of the kind."""
    with suppress(ClientError):
        return ask(service, call, **given)
    return {}


def _client(service: str) -> Any:
    return _client_at(service, os.environ["AWS_ENDPOINT_URL"])


@cache
def _client_at(service: str, endpoint: str) -> Any:
    return boto3.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]
