"""Sources that speak HTTP and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.stream import JsonStream, Rollout, SourceBase
from headwater.config.strict import Name, Strict


class NoAuth(Strict):
    """The API is open."""

    kind: Literal["none"] = "none"


class BearerAuth(Strict):
    """A token from the source's secret goes into the Authorization header."""

    kind: Literal["bearer"]
    token: str = Field("access_token", description="Key of the token within the secret.")


class HeadersAuth(Strict):
    """Values from the source's secret go into headers of their own."""

    kind: Literal["headers"]
    headers: dict[str, str] = Field(
        min_length=1, description="Key within the secret by header name; a key may hold {account}."
    )


class OAuth(Strict):
    """A refresh token from the source's secret buys short-lived access tokens; a rotated one is written back to it."""

    kind: Literal["oauth"]
    token_url: str = Field(description="Absolute, or a path under base_url.")
    refresh_token: str = Field("refresh_token", description="Key of the refresh token within the secret.")
    client_id: str = Field("client_id", description="Key of the client's id within the secret.")
    client_secret: str = Field("client_secret", description="Key of the client's secret within the secret.")


AnyAuth = Annotated[NoAuth | BearerAuth | HeadersAuth | OAuth, Field(discriminator="kind")]


class OnePage(Strict):
    """The answer is complete."""

    kind: Literal["none"] = "none"


class CursorPaging(Strict):
    """The answer carries a cursor; paging ends when `more` is absent."""

    kind: Literal["cursor"]
    cursor: str = Field(description="Dotted path of the cursor within the answer, such as `paging.cursors.after`.")
    more: str = Field(description="Dotted path that is present as long as there are more pages.")
    param: str = Field("after", description="Query parameter that takes the cursor.")


Paging = Annotated[OnePage | CursorPaging, Field(discriminator="kind")]


class Rate(Strict):
    """At most `calls` requests in any `per_seconds`, `concurrent` at a time."""

    calls: int = Field(gt=0)
    per_seconds: float = Field(1.0, gt=0)
    concurrent: int = Field(1, gt=0)

    @property
    def note(self) -> str:
        """The rate in words."""
        return f"{self.calls} calls in {self.per_seconds:g} s"


class Retry(Strict):
    """Retries of a transient error: how many, how long."""

    attempts: int = Field(8, ge=1, description="Tries of one request, the first included.")
    longest_wait_seconds: float = Field(300, gt=0, description="Bound of one wait, whatever the source asks for.")
    total_wait_seconds: float = Field(900, gt=0, description="Bound of all waits of one request together.")


class Window(Strict):
    """How a stream moves through time: from its history's start to today, re-reading what the source restates."""

    field: str | None = Field(
        None,
        description="Raw field that holds a row's date or time; rows of one account's day are compared and replaced "
        "together. Absent where rows have no time: then every run reads an account whole, as one day.",
    )
    history_days: int = Field(description="How far the first load reaches back from the run's date.", gt=0)
    reread_days: int = Field(1, ge=1, description="Days before the position that every run reads again.")
    chunk_days: int | None = Field(None, gt=0, description="Days asked for at once; all at once if absent.")


class HttpStream(JsonStream):
    """A stream read page by page over HTTP."""

    path: str = Field(description="Path under base_url; may hold what `params` may.")
    params: dict[str, str] = Field(
        {},
        description="Query parameters; values may hold {account}, {since}, {until}, {api_version}, {raw} (the raw "
        "fields, comma-separated) and {since_epoch} (the last second before `since` in UTC, for 'greater than' filters).",
    )
    records: str | None = Field(
        None, description="Dotted path of the row array within the answer; None = the source's Python reads it."
    )
    paging: Paging | None = Field(None, description="Overrides the source's paging.")
    window: Window

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        window = self.window
        if window.field is None:
            return "none: read whole, and dropped when it reads as before"
        return f"day of `{window.field}`, {window.reread_days} days read again; history {window.history_days} days"

    @property
    def tells_days(self) -> bool:
        """True when a batch has the rows of whole days of an account."""
        return self.window.field is not None

    @model_validator(mode="after")
    def _days_are_told(self) -> HttpStream:
        if self.window.field is None and self.window.chunk_days:
            raise ValueError("window.chunk_days needs window.field, by which a row's day is known")
        return self


TimeZone = Annotated[str, Field(pattern=r"^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$")]


class HttpSource(SourceBase):
    """A source that speaks HTTP and JSON."""

    kind: Literal["http"]
    base_url: str = Field(pattern=r"^https?://[^/@]+(/.*)?$")
    api_version: str = Field("", description="The API's version, for paths that hold {api_version}.")
    auth: AnyAuth = NoAuth()
    paging: Paging = OnePage()
    rate: Rate
    rates: dict[str, Rate] = Field(
        {}, description="Limits of their own, instead of `rate`, for requests whose path ends so, such as /search."
    )
    retry: Retry = Retry()
    timeout_seconds: float = Field(60, gt=0, description="Bound of one request, from connecting to the last byte.")
    accounts: tuple[str, ...] = Field(
        (), description="Accounts to read, one after another; empty = the source has none."
    )
    time_zones: dict[str, TimeZone] = Field(
        {}, description="IANA time zone by account, for an API that gives local times without their zone."
    )
    streams: dict[Name, HttpStream] = Field(min_length=1)
    rollout: dict[Name, Rollout] = Field({}, description="Which streams are read by another parser, and for how many.")

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return f"HTTP and JSON{f', {self.api_version}' if self.api_version else ''}"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        yield f"at {self.base_url}, auth `{self.auth.kind}`"
        yield f"at most {self.rate.note}, {self.rate.concurrent} at a time"
        for path, rate in self.rates.items():
            yield f"at most {rate.note} where the path ends in `{path}`"
        tries = f"{self.retry.attempts} tries, {self.retry.total_wait_seconds:g} s of waiting"
        yield f"{self.timeout_seconds:g} s for a request, {tries}"

    @model_validator(mode="after")
    def _rollouts_have_parsers(self) -> HttpSource:
        check_rollout(self)
        return self


def check_rollout(source: HttpSource) -> None:
    """Raises ValueError for a rollout of a stream or a parser that is not declared."""
    for name, rollout in source.rollout.items():
        stream = source.streams.get(name)
        if stream is None:
            raise ValueError(f"rollout.{name}: no such stream; known: {', '.join(source.streams)}")
        if rollout.parser not in stream.parsers:
            known = ", ".join(stream.parsers) or "none"
            raise ValueError(f"rollout.{name}: no parser {rollout.parser!r}; known: {known}")
