"""What the Lambda `receive_event` decides: whether a pushed event is accepted, and the answer to its sender.

An event that is taken is one file in the landing bucket, named after its sender and its idempotency key and created only if it is not
there: of two requests with one key, one makes the file, and the other learns whether its content was the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import fastjsonschema

from headwater.callers import Fresh, caller_of
from headwater.config import FilesSource, FilesStream, HttpEntrance
from headwater.config.files_source import PUSHED
from headwater.errors import HeadwaterError, LedgerError
from headwater.ledger.bucket import Bucket
from headwater.ledger.raw import to_line
from headwater.ledger.untrusted import read_json, read_object
from headwater.log import get_logger, shortened
from headwater.open_project import OpenProject

_LONGEST_KEY = 255
_LONGEST_MESSAGE = 1000
_JSON = "application/json"

log = get_logger(__name__)


@dataclass(frozen=True)
class Answer:
    """The answer to the sender: a status and a JSON document."""

    status: int
    document: dict[str, Any]

    def render(self) -> dict[str, Any]:
        """Writes the answer as API Gateway takes it."""
        return {"statusCode": self.status, "headers": {"content-type": _JSON}, "body": json.dumps(self.document)}


class RefusedError(HeadwaterError):
    """The event is not taken; the sender learns why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(status, {"error": code, "message": shortened(message, _LONGEST_MESSAGE)})


@dataclass(frozen=True)
class PushRequest:
    """One call of the API."""

    source: str
    stream: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> PushRequest:
        """Takes a call as API Gateway hands it over (payload format 2.0)."""
        named = event["pathParameters"]
        text = event.get("body") or ""
        body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
        headers = {name.lower(): value for name, value in event["headers"].items()}
        return cls(named["source"], named["stream"], headers, body)


@dataclass(frozen=True)
class PushReceiver:
    """Accepts or refuses the events of one environment; `keys` reads the senders' keys of a source by sender's name."""

    opened: OpenProject
    keys: Callable[[FilesSource], Mapping[str, str]]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def deployed(cls, projects: Fresh[OpenProject], secrets: Fresh[dict[str, str]]) -> PushReceiver:
        """Opens the deployed project; it and the keys are read again when they are no longer fresh."""
        opened = projects.get("project", OpenProject.deployed)
        return cls(opened, lambda source: secrets.get(source.name, lambda: opened.secret(source.secret)))

    def receive(self, request: PushRequest) -> Answer:
        """Accepts one event, or answers why not."""
        try:
            return self._receive(request)
        except RefusedError as refused:
            log.info("refused", source=request.source, stream=request.stream, **refused.answer.document)
            return refused.answer

    def _receive(self, request: PushRequest) -> Answer:
        source, entrance = self._source(request)
        # A caller without a key learns nothing, not even which streams there are.
        sender = self._sender(source, request.headers.get("x-api-key", ""))
        if source is None or request.stream not in source.streams:
            raise RefusedError(404, "unknown_stream", f"there is no stream {request.source}/{request.stream}")
        stream = source.streams[request.stream]
        key = _idempotency_key(request)
        event = _event(request, stream, entrance)
        return self._store(stream, sender, key, event)

    def _source(self, request: PushRequest) -> tuple[FilesSource | None, HttpEntrance]:
        source = self.opened.project.sources.get(request.source)
        if isinstance(source, FilesSource) and isinstance(source.entrance, HttpEntrance):
            return source, source.entrance
        return None, HttpEntrance(kind="http")

    def _sender(self, source: FilesSource | None, given: str) -> str:
        sender = caller_of(given, self.keys(source) if source else {})
        if sender is None:
            raise RefusedError(401, "unauthorized", "the header x-api-key holds no key of a known sender")
        return sender

    def _store(self, stream: FilesStream, sender: str, key: str, event: dict[str, Any]) -> Answer:
        landing = self.opened.project.environment.bucket("landing")
        bucket = Bucket(self.opened.ledger.bucket.s3, landing)
        name = hashlib.sha256(f"{sender}\n{key}".encode()).hexdigest()
        path = f"{stream.prefix}{name}.json"
        added = dict(zip(PUSHED, (self.now().isoformat(timespec="milliseconds"), sender, key), strict=True))
        line = to_line({**event, **added})
        # Read as Extract will: what it could not is refused while somebody listens.
        if (problem := read_object(line, PUSHED)[1]) is not None:
            raise RefusedError(
                422, problem, "the event could not be read again; it has more fields than a row may have"
            )
        try:
            if bucket.create(path, f"{line}\n".encode()):
                return Answer(202, {"accepted": True, "duplicate": False, "id": name})
            stored = bucket.read(path)
        except LedgerError:
            stored = None
        if stored is None:
            # Others with this key were being written at the same moment, and none of them could be read.
            raise RefusedError(
                409, "in_progress", "another request with this Idempotency-Key is being taken; try again"
            )
        before, _ = read_object(stored.decode(), PUSHED)
        if to_line({field: value for field, value in before.items() if field not in PUSHED}) == to_line(event):
            return Answer(202, {"accepted": True, "duplicate": True, "id": name})
        raise RefusedError(
            409,
            "idempotency_key_reused",
            "another event was sent with this Idempotency-Key; use a new key for a new event",
        )


def _idempotency_key(request: PushRequest) -> str:
    key = request.headers.get("idempotency-key", "").strip()
    if not key:
        raise RefusedError(
            400, "no_idempotency_key", "the header Idempotency-Key is missing: a name of your own for this event"
        )
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise RefusedError(
            400, "bad_idempotency_key", f"Idempotency-Key must be printable, {_LONGEST_KEY} characters at most"
        )
    return key


def _event(request: PushRequest, stream: FilesStream, entrance: HttpEntrance) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != _JSON:
        raise RefusedError(415, "not_json_type", f"Content-Type must be {_JSON}, not {content_type or 'absent'}")
    if len(request.body) > entrance.largest_bytes:
        raise RefusedError(
            413, "too_large", f"the event has {len(request.body)} bytes; {entrance.largest_bytes} are the most"
        )
    try:
        event = read_json(request.body.decode())
    except ValueError as error:
        raise RefusedError(400, "not_json", f"the body is not JSON in UTF-8: {error}") from None
    reserved = sorted(name for name in event if name.startswith("_")) if isinstance(event, dict) else []
    if reserved:
        raise RefusedError(422, "schema", f"{', '.join(reserved)}: names that begin with _ are reserved")
    try:
        _validator(json.dumps(stream.accepts))(event)
    except fastjsonschema.JsonSchemaValueException as error:
        raise RefusedError(422, "schema", error.message.replace("data", "event", 1)) from None
    if not isinstance(event, dict):
        raise RefusedError(422, "schema", "event must be object")
    return event


@lru_cache(maxsize=64)
def _validator(schema: str) -> Callable[[Any], Any]:
    compiled: Callable[[Any], Any] = fastjsonschema.compile(json.loads(schema), use_default=False)
    return compiled
