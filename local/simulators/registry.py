"""A Confluent schema registry: the few calls with which producers register schemas and readers look them up."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import fastavro
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule

USERNAME = "headwater"
PASSWORD = "local-registry-password"  # noqa: S105 - the simulator's


class RegistryResponse(JSONResponse):
    """JSON under the registry's own media type."""

    media_type = "application/vnd.schemaregistry.v1+json"


class RegistryError(Exception):
    """What the registry refuses: the HTTP status is the first three digits of its error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def response(self) -> Response:
        """Words the refusal as the registry does."""
        return RegistryResponse({"error_code": self.code, "message": str(self)}, int(str(self.code)[:3]))


class SchemaRegistry:
    """The API; its schemas outlive a restart in a file. An id stands for the same schema in every subject."""

    source = "schema_registry"
    mount = "/schema-registry"
    kinds: frozenset[str] = frozenset({"revoke"})

    def __init__(self, state: Path) -> None:
        self._file = state / "schema_registry.json"
        self._lock = threading.Lock()
        self._schemas: list[str] = []
        self._subjects: dict[str, list[int]] = {}
        if self._file.exists():
            kept = json.loads(self._file.read_text())
            self._schemas, self._subjects = kept["schemas"], kept["subjects"]

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(
            routes=[
                Route("/schemas/ids/{id}", self._schema),
                Route("/subjects/{subject}/versions", self._register, methods=["POST"]),
                Route("/subjects/{subject}/versions/latest", self._latest),
                Route("/{path:path}", self._nothing),
            ]
        )

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal."""
        match rule.kind:
            case "status":
                body = {"error_code": rule.status * 100 + 1, "message": "Error in the backend data store"}
                return RegistryResponse(body, rule.status)
            case "throttle":
                wait = {"Retry-After": str(round(rule.seconds))}
                return RegistryResponse({"error_code": 429, "message": "Too Many Requests"}, 429, wait)
            case "revoke":
                return RegistryError(401, "Unauthorized").response()
            case _:
                return None

    def admin(self) -> list[Route]:
        """None: there is nothing to switch."""
        return []

    async def _schema(self, request: Request) -> Response:
        def find() -> dict[str, Any]:
            asked = request.path_params["id"]
            if not asked.isdecimal():
                raise RegistryError(404, "HTTP 404 Not Found")
            with self._lock:
                if not 0 < int(asked) <= len(self._schemas):
                    raise RegistryError(40403, f"Schema {asked} not found")
                return {"schema": self._schemas[int(asked) - 1]}

        return await self._answer(request, find)

    async def _register(self, request: Request) -> Response:
        body = await request.body()

        def register() -> dict[str, Any]:
            schema = _canonical(body)
            with self._lock:
                if schema not in self._schemas:
                    self._schemas.append(schema)
                schema_id = self._schemas.index(schema) + 1
                versions = self._subjects.setdefault(request.path_params["subject"], [])
                if schema_id not in versions:
                    versions.append(schema_id)
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps({"schemas": self._schemas, "subjects": self._subjects}))
            return {"id": schema_id}

        return await self._answer(request, register)

    async def _latest(self, request: Request) -> Response:
        def find() -> dict[str, Any]:
            subject = request.path_params["subject"]
            with self._lock:
                versions = self._subjects.get(subject)
                if not versions:
                    raise RegistryError(40401, f"Subject '{subject}' not found.")
                schema_id, version = versions[-1], len(versions)
                return {"subject": subject, "version": version, "id": schema_id, "schema": self._schemas[schema_id - 1]}

        return await self._answer(request, find)

    async def _nothing(self, _: Request) -> Response:
        return RegistryError(404, "HTTP 404 Not Found").response()

    async def _answer(self, request: Request, call: Any) -> Response:
        try:
            _authorize(request)
            return RegistryResponse(await run_in_threadpool(call))
        except RegistryError as error:
            return error.response()


def _authorize(request: Request) -> None:
    token = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {token}":
        raise RegistryError(401, "Unauthorized")


def _canonical(body: bytes) -> str:
    """Reads the schema that is to be registered, which must be Avro, and writes it without spaces."""
    try:
        schema = json.loads(json.loads(body)["schema"])
        fastavro.parse_schema(json.loads(json.dumps(schema)))
    except (
        ValueError,
        KeyError,
        TypeError,
        fastavro.schema.SchemaParseException,
        fastavro.schema.UnknownType,
    ) as error:
        raise RegistryError(42201, f"Invalid schema: {error}") from None
    return json.dumps(schema, separators=(",", ":"))
