"""Classifies answers: which error an HTTP status stands for, and where an API's own error is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from headwater.errors import FatalSourceError, RetriableSourceError, SourceError, ThrottledError
from headwater.sources.http.messages import HttpResponse

_QUOTED_BYTES = 20_000

Classify = Callable[[HttpResponse], SourceError | None]


def classify_by_status(response: HttpResponse) -> SourceError | None:
    """Classifies an answer by its status alone: 429 and 5xx are transient, other refusals need a person."""
    if response.status < 300:
        return None
    quoted = response.body.strip()[:_QUOTED_BYTES].decode("utf-8", "replace")
    said = f"HTTP {response.status}: {quoted}"
    asked = retry_after(response.headers)
    if response.status == 429 or (response.status == 503 and asked is not None):
        return ThrottledError(said, asked)
    if response.status >= 500 or response.status in {408, 425}:
        return RetriableSourceError(said)
    if response.status in {401, 403}:
        hint = "hint: look at the source's secret and at what its owner may read"
        return FatalSourceError(f"HTTP {response.status} refuses these credentials. {hint}. It said: {quoted}")
    return FatalSourceError(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Reads the seconds that Retry-After asks for, as a number or as a date; None if absent, past or unreadable.

    A date is measured against the answer's own Date header, so the clocks need not agree.
    """
    asked = headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        until, now = (parsedate_to_datetime(text) for text in (asked, headers.get("date", "")))
    except ValueError:
        return None
    aware = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (until, now)]
    seconds = (aware[0] - aware[1]).total_seconds()
    return seconds if seconds > 0 else None


def error_answer(response: HttpResponse) -> Any:
    """The JSON of an answer that may report an `error`, whatever its status; None if it reports none or is no JSON."""
    # Most answers are pages of rows: those are parsed once, by whoever reads them.
    if response.status == 200 and b'"error"' not in response.body:
        return None
    try:
        return response.json()
    except RetriableSourceError:
        return None
