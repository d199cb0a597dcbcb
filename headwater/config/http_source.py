"""Sources that speak HTTP and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from headwater.config.address import Url, UrlPath
from headwater.config.expression import JmesPath
from headwater.config.http_auth import AnyAuth, NoAuth
from headwater.config.http_paging import AnyPaging, OnePage, Paging
from headwater.config.secret_name import no_secrets
from headwater.config.stream import JsonStream, Order, Rollout, SourceBase
from headwater.config.strict import Name, Strict


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


class WindowRead(Strict):
    """A stream moves through time: from its history's start to today, reading again what the source restates."""

    kind: Literal["window"]
    field: str = Field(
        description="Raw field that holds a row's date or time, as ISO text or as seconds since 1970; rows of one account's "
        "day are compared and replaced together."
    )
    history_days: int = Field(description="How far the first load reaches back from the run's date.", gt=0)
    reread_days: int = Field(
        2,
        ge=2,
        description="Days up to the position's that every run reads again: its own, which had not ended, and the one before it at "
        "least, which a clock that was a day ahead took for over.",
    )
    chunk_days: int | None = Field(None, gt=0, description="Days asked for at once; all at once if absent.")


class WholeRead(Strict):
    """Every run reads an account whole, and takes it when it reads differently than before."""

    kind: Literal["whole"]
    conditional: bool = Field(
        False,
        description="Asks the source whether its answer has changed (ETag, If-Modified-Since), and reads it only then. Takes "
        "effect where an answer is one page and the source gives it a validator.",
    )


class UpdatedSinceRead(Strict):
    """Every run reads what has changed since the newest change that was read; asked by {since_time} or {since_epoch}."""

    kind: Literal["updated_since"]
    field: str = Field(
        description="Raw field that holds when a row last changed, as ISO text or as seconds since 1970: the time that the "
        "source itself goes by."
    )
    history_days: int = Field(description="How far the first load reaches back from the run's date.", gt=0)
    overlap_minutes: int = Field(
        10, ge=1, description="Minutes before the newest change that are read again, for changes that show late."
    )


Read = Annotated[WindowRead | WholeRead | UpdatedSinceRead, Field(discriminator="kind")]


class Flatten(Strict):
    """Objects within a row become fields of their own: `metrics.costMicros` is `metrics_cost_micros`."""

    omit: tuple[str, ...] = Field(
        (), description="Fields that are left out, by their name in snake case, at any depth."
    )


class HttpStream(JsonStream):
    """A stream read page by page over HTTP."""

    moved: ClassVar[Mapping[str, str]] = {
        **JsonStream.moved,
        "window": "is called read now: write `read: { kind: window, field: …, … }`, or `read: { kind: whole }` where it had no field",
    }

    method: Literal["get", "post"] = Field(
        "get", description="post sends `body` as JSON, or where there is none the parameters as a form."
    )
    path: UrlPath = Field(description="Path under base_url; may hold what `params` may.")
    params: Annotated[dict[str, str], AfterValidator(no_secrets)] = Field(
        {},
        description="Query parameters; values may hold {account}, {since}, {until}, {api_version}, {raw} (the raw "
        "fields, comma-separated), {since_time} (the moment since which rows are read, such as 2018-01-31T00:00:00Z) and "
        "{since_epoch} (the last second before it, for 'greater than' filters).",
    )
    body: dict[str, Any] | None = Field(None, description="JSON to post; its texts may hold what `params` may.")
    records: JmesPath | None = Field(
        None, description="JMESPath of the row array within the answer; the answer itself if absent."
    )
    flatten: Flatten | None = Field(None, description="Makes one level of fields out of each row.")
    paging: Paging | None = Field(None, description="Overrides the source's paging.")
    read: Read

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        if isinstance(self.read, WholeRead):
            return "none: read whole, and dropped when it reads as before"
        if isinstance(self.read, UpdatedSinceRead):
            again = f"{self.read.overlap_minutes} minutes read again"
            return f"newest `{self.read.field}`, {again}; history {self.read.history_days} days"
        again = f"{self.read.reread_days} days read again"
        return f"day of `{self.read.field}`, {again}; history {self.read.history_days} days"

    @property
    def order(self) -> Order:
        """What makes one row of a key newer than another: an answer says what is true now."""
        return "reading"

    @property
    def tells_days(self) -> bool:
        """True when a batch has the rows of whole days of an account."""
        return isinstance(self.read, WindowRead)

    @model_validator(mode="after")
    def _fits_together(self) -> HttpStream:
        if self.body is not None and self.method == "get":
            raise ValueError("a body is sent by method: post")
        if self.read.kind == "whole" and self.read.conditional and self.method == "post":
            raise ValueError("conditional is for method: get")
        return self


TimeZone = Annotated[str, Field(pattern=r"^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$")]


class HttpSource(SourceBase):
    """A source that speaks HTTP and JSON."""

    kind: Literal["http"]
    base_url: Url
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

    def paging_of(self, stream: HttpStream) -> AnyPaging:
        """How a stream's answers go on: its own paging, or the source's."""
        return stream.paging or self.paging

    @model_validator(mode="after")
    def _fits_together(self) -> HttpSource:
        check_rollout(self)
        for name, stream in self.streams.items():
            place = getattr(self.paging_of(stream), "body", None)
            if place is not None and stream.body is None:
                raise ValueError(f"streams.{name}: paging puts `{place}` into the body of a post, and there is none")
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
