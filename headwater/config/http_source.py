"""Sources that speak HTTP and JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headwater.config.stream import JobSize, StreamBase
from headwater.config.strict import Name, Strict


class NoAuth(Strict):
    """The API is open."""

    kind: Literal["none"] = "none"


class BearerAuth(Strict):
    """A token from the source's secret goes into the Authorization header."""

    kind: Literal["bearer"]
    token: str = Field("access_token", description="Key of the token within the secret.")


Auth = Annotated[NoAuth | BearerAuth, Field(discriminator="kind")]


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


class Retry(Strict):
    """How long a request that time may mend is tried again."""

    attempts: int = Field(8, ge=1, description="Tries of one request, the first included.")
    longest_wait_seconds: float = Field(300, gt=0, description="Bound of one wait, whatever the source asks for.")
    total_wait_seconds: float = Field(900, gt=0, description="Bound of all waits of one request together.")


class Window(Strict):
    """How a stream moves through time: from its history's start to today, re-reading what the source restates."""

    field: str = Field(
        description="Raw field that holds a row's date or time; its day, with the account, is its slice."
    )
    history_days: int = Field(description="How far the first load reaches back from the run's date.", gt=0)
    reread_days: int = Field(1, ge=1, description="Days before the position that every run reads again.")
    chunk_days: int | None = Field(None, gt=0, description="Days asked for at once; all at once if absent.")


class HttpStream(StreamBase):
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
    raw: tuple[str, ...] = Field(min_length=1, description="Fields of a raw row; each becomes a bronze text column.")


class HttpSource(Strict):
    """A source that speaks HTTP and JSON."""

    kind: Literal["http"]
    name: Name
    base_url: str = Field(pattern=r"^https?://[^/@]+(/.*)?$")
    api_version: str = Field("", description="The API's version, for paths that hold {api_version}.")
    secret: str | None = Field(
        None, description="Secrets Manager name under the environment's prefix, never the value."
    )
    optional: bool = Field(False, description="A failure of this source leaves the others running.")
    auth: Auth = NoAuth()
    paging: Paging = OnePage()
    rate: Rate
    retry: Retry = Retry()
    timeout_seconds: float = Field(60, gt=0, description="Bound of one request, from connecting to the last byte.")
    accounts: tuple[str, ...] = Field(
        (), description="Accounts to read, one after another; empty = the source has none."
    )
    streams: dict[Name, HttpStream] = Field(min_length=1)
    job: JobSize = JobSize()
