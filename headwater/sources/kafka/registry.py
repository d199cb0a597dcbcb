"""The Confluent schema registry: which Avro schema an id stands for."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from headwater.config import Rate, Retry
from headwater.config.address import checked_url
from headwater.errors import FatalSourceError, HandledSourceError, SourceError
from headwater.ledger.raw import Problem
from headwater.ledger.untrusted import MOST_FIELDS, read_json
from headwater.sources.http.auth import Auth
from headwater.sources.http.classify import classify_by_status
from headwater.sources.http.client import HttpClient
from headwater.sources.http.limits import Backoff, RateLimit
from headwater.sources.http.messages import HttpResponse
from headwater.sources.http.wire import Wire
from headwater.sources.kafka.cluster import needed

_JSON = "application/vnd.schemaregistry.v1+json"
# Characters: of the longest that people write, some ten thousand.
_LONGEST_SCHEMA = 262_144
_RETRY = Retry(attempts=6, longest_wait_seconds=60, total_wait_seconds=180)
# An answer without this code, such as a proxy's, says nothing of the schema.
_UNKNOWN_SCHEMA = re.compile(rb'"error_code"\s*:\s*40403\b')


@dataclass(frozen=True)
class Registry:
    """A Confluent schema registry."""

    client: HttpClient

    def schema(self, schema_id: int) -> dict[str, Any] | Problem:
        """Fetches the Avro schema of a record, or says why no value can be read by the schema of this id.

        What one record was written by says nothing of the others: no schema stops the stream. One that refers to others is bad,
        since these are not fetched.
        """
        try:
            answer = self.client.get(f"/schemas/ids/{schema_id}", headers={"Accept": _JSON})
        except UnknownSchemaError:
            return "unknown_schema"
        if not isinstance(answer, dict) or answer.get("schemaType", "AVRO") != "AVRO":
            return "unknown_schema"
        text = answer.get("schema")
        if answer.get("references") or not isinstance(text, str) or len(text) > _LONGEST_SCHEMA:
            return "bad_schema"
        try:
            read = read_json(text)
        except ValueError:
            return "bad_schema"
        if not isinstance(read, dict) or read.get("type") != "record":
            return "not_an_object"
        return read if len(read.get("fields") or ()) <= MOST_FIELDS else "bad_schema"


class UnknownSchemaError(HandledSourceError):
    """The registry has no schema with the id that was asked for."""


def classify(response: HttpResponse) -> SourceError | None:
    """Classifies an answer: an unknown schema fails one record, any other refusal the whole stream."""
    if response.status == 404 and _UNKNOWN_SCHEMA.search(response.body):
        return UnknownSchemaError("unknown schema")
    return classify_by_status(response)


@contextmanager
def open_registry(
    where: str, secret: Mapping[str, str], retry: Retry = _RETRY, timeout_seconds: float = 30
) -> Iterator[Registry]:
    """Opens the registry that a source's secret names."""
    headers: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    if secret.get("registry_username"):
        password = needed(where, secret, "registry_password")
        token = base64.b64encode(f"{secret['registry_username']}:{password}".encode()).decode()
        headers, secrets = {"Authorization": f"Basic {token}"}, (password, token)
    wire = Wire(timeout_seconds)
    try:
        yield Registry(
            HttpClient(
                name=f"{where}: schema registry",
                base_url=_address(where, needed(where, secret, "registry_url")),
                send=wire,
                limit=RateLimit(Rate(calls=20), retry.longest_wait_seconds),
                backoff=Backoff(retry),
                auth=Auth(headers, secrets=secrets),
                classify=classify,
            )
        )
    finally:
        wire.close()


def _address(where: str, url: str) -> str:
    try:
        return checked_url(url)
    except ValueError as error:
        raise FatalSourceError(f"{where}: registry_url in the secret {error}") from None
