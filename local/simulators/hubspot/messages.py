"""How HubSpot talks: errors, bodies, parameters, times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response


class HubSpotError(Exception):
    """An error as HubSpot words it."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self._body = {
            "status": "error",
            "message": message,
            "correlationId": hashlib.blake2b(message.encode(), digest_size=16).hexdigest(),
            "category": category,
            **more,
        }

    @classmethod
    def throttled(cls, policy: str, retry_after: float | None = None) -> HubSpotError:
        """Too many calls for one of the three policies; HubSpot names no wait unless told to."""
        said = f"You have reached your {policy.lower()} limit."
        error = cls(429, "RATE_LIMITS", said, errorType="RATE_LIMIT", policyName=policy)
        if retry_after:
            error.headers["Retry-After"] = str(round(retry_after))
        return error

    @classmethod
    def expired(cls) -> HubSpotError:
        """The token has expired."""
        return cls(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired 5 minute(s) ago.")

    @classmethod
    def invalid(cls, message: str) -> HubSpotError:
        """The request itself is wrong."""
        return cls(400, "VALIDATION_ERROR", message, errors=[{"message": message, "in": "request"}])

    def response(self) -> Response:
        """The error as it goes over the wire."""
        return JSONResponse(self._body, self.status, self.headers)


def limit_of(text: str, longest: int) -> int:
    """Reads a limit of rows; HubSpotError unless it is from 1 to the longest."""
    if not text.isdigit() or not 1 <= int(text) <= longest:
        raise HubSpotError.invalid(f"limit must be between 1 and {longest}")
    return int(text)


def read_json(body: bytes) -> dict[str, Any]:
    """Reads a body that must be a JSON object; HubSpotError when it is none."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise HubSpotError.invalid("the body is not JSON") from error
    if not isinstance(value, dict):
        raise HubSpotError.invalid("the body is not an object")
    return value


def refuse_unknown(given: Mapping[str, Any], known: set[str]) -> None:
    """Raises HubSpotError that names a parameter which the API does not have."""
    for name in given:
        if name not in known:
            raise HubSpotError.invalid(f"unknown parameter: {name}")


def iso(moment: datetime) -> str:
    """A moment as the API writes it: UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
