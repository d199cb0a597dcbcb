"""A request, its answer, and lookups in an answer's JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headwater.errors import RetriableSourceError
from headwater.ledger.untrusted import read_json
from headwater.log import shortened

_SAID_CHARACTERS = 500


class MalformedAnswerError(RetriableSourceError):
    """An answer that is cut short or is no JSON; tried again a few times, then a person must look at the source."""


@dataclass(frozen=True)
class HttpRequest:
    """One request; its parameters go into the query, or as a form into the body of a POST without a JSON `body`."""

    method: Literal["GET", "POST"]
    url: str
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HttpResponse:
    """One whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Parses the body, numbers with a fraction as Decimal; MalformedAnswerError if it is not JSON."""
        try:
            return read_json(self.body.decode("utf-8-sig"))
        except ValueError as error:
            if self.body.lstrip()[:1] == b"<":
                raise MalformedAnswerError(
                    f"HTTP {self.status} with an HTML page instead of JSON. hint: a login or error page of something "
                    "between here and the API?"
                ) from None
            raise MalformedAnswerError(
                f"HTTP {self.status} with {len(self.body)} bytes that are not whole JSON ({error})"
            ) from None


Send = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True)
class Answer:
    """The JSON that answers a request, and the headers it came with."""

    content: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def url_of(base_url: str, path: str) -> str:
    """The URL of a path under a base URL; a whole address is its own."""
    return path if path.startswith(("https://", "http://")) else f"{base_url.rstrip('/')}/{path.lstrip('/')}"


def shorten(text: str) -> str:
    """Cuts a text to the length of a message, secrets struck out before."""
    return shortened(text, _SAID_CHARACTERS)
