"""What the query API says of a call that it does not answer: one JSON form, that of RFC 9457, with a hint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from headwater.errors import HeadwaterError

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Reply:
    """One answer of the API."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> dict[str, object]:
        """Writes the answer as API Gateway takes it."""
        return {
            "statusCode": self.status,
            "headers": {"content-type": self.content_type, **self.headers},
            "body": self.body,
        }


class ProblemError(HeadwaterError):
    """A call is not answered; whoever asks learns why."""

    def __init__(self, status: int, code: str, detail: str, hint: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.hint = hint
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def reply(self) -> Reply:
        """The answer that says so."""
        told = {
            "type": f"urn:headwater:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
            "hint": self.hint,
        }
        return Reply(self.status, PROBLEM, json.dumps(told), self.headers)
