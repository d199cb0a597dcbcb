"""The contract of the modules in apis/: a part of a stream to read, and the API that reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import jmespath

from headwater.config import AnyPaging, HttpSource, HttpStream, WholeRead
from headwater.errors import FatalSourceError
from headwater.ledger.raw import Row
from headwater.sources.days import DAY, midnight, moment_of
from headwater.sources.http.classify import Classify, classify_by_status
from headwater.sources.http.client import HttpClient, Usage
from headwater.sources.http.conditional import Condition
from headwater.sources.http.flatten import flatten
from headwater.sources.http.pages import Ask

_PLACEHOLDER = re.compile(r"\{(account|since|until|since_time|since_epoch|api_version|raw)\}")


class AccountDay(NamedTuple):
    """One account's day, by which rows are compared and replaced; manifests and positions call it a slice."""

    account: str
    day: date

    @classmethod
    def of_key(cls, key: str) -> AccountDay:
        """Reads what `key` wrote."""
        account, _, day = key.rpartition("|")
        return cls(account, date.fromisoformat(day))

    @property
    def key(self) -> str:
        """How a position names it."""
        return f"{self.account}|{self.day.isoformat()}"


def hexadecimal(digest: int) -> str:
    """A digest as positions keep it."""
    return f"{digest:032x}"


@dataclass(frozen=True)
class Part:
    """What is asked of a source at once: one account's days from `since` to `until`, both included.

    Rows of days after `until`, up to `latest`, are taken where the source gives them unasked: a clock that goes wrong at
    the source must not hide a row. `known` holds digests of account days as they read last; None when nothing is known.
    With a `condition` the part is read only if its answer has changed.
    """

    source: HttpSource
    stream: HttpStream
    account: str
    since: date
    until: date
    latest: date | None = None
    known: Mapping[AccountDay, str] | None = field(default=None, repr=False)
    condition: Condition | None = field(default=None, repr=False)

    def __contains__(self, day: date) -> bool:
        return self.since <= day <= (self.latest or self.until)

    @property
    def begin(self) -> datetime:
        """The moment since which rows are asked for."""
        return midnight(self.since)

    def day_of(self, row: Mapping[str, Any]) -> date:
        """The day of a row; `date.max` in a stream that is read whole. As `moment_of` where it tells none."""
        return date.max if isinstance(self.stream.read, WholeRead) else self.moment_of(row).date()

    def moment_of(self, row: Mapping[str, Any]) -> datetime:
        """The time that a row tells; KeyError when it tells none, ValueError and the like when it is unreadable."""
        if isinstance(self.stream.read, WholeRead) or row.get(self.stream.read.field) is None:
            raise KeyError(getattr(self.stream.read, "field", None))
        return moment_of(row[self.stream.read.field])

    @property
    def path(self) -> str:
        """Path under base_url."""
        return self.fill(self.stream.path)

    @property
    def params(self) -> dict[str, str]:
        """Parameters of the request."""
        return {name: self.fill(value) for name, value in self.stream.params.items()}

    @property
    def ask(self) -> Ask:
        """What the first page is asked by."""
        if self.stream.method == "get":
            return Ask(self.path, self.params)
        return Ask(self.path, self.params, "POST", self._filled(self.stream.body))

    @property
    def paging(self) -> AnyPaging:
        """How the answer is paged."""
        return self.source.paging_of(self.stream)

    @property
    def days(self) -> Iterator[AccountDay]:
        """The account's days that are asked for."""
        for number in range((self.until - self.since).days + 1):
            yield AccountDay(self.account, self.since + DAY * number)

    def fill(self, text: str) -> str:
        """Puts values in the place of {account}, {since} and the like; other braces stay."""
        values = {
            "account": self.account,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "since_time": self.begin.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "since_epoch": str(int(self.begin.timestamp()) - 1),
            "api_version": self.source.api_version,
            "raw": ",".join(self.stream.raw),
        }
        return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

    def _filled(self, value: Any) -> Any:
        match value:
            case str():
                return self.fill(value)
            case list():
                return [self._filled(item) for item in value]
            case dict():
                return {name: self._filled(item) for name, item in value.items()}
            case _:
                return value

    def rows(self, answer: Any) -> list[Any]:
        """Finds the rows at the stream's `records`; FatalSourceError when the answer has none there."""
        found = jmespath.search(self.stream.records, answer) if self.stream.records else answer
        if not isinstance(found, list):
            raise FatalSourceError(
                f"{self.source.name}: {self.path}: the answer has no list at `{self.stream.records or '@'}`"
            )
        return found

    def split(self, days: int) -> Iterator[Part]:
        """Splits the days into parts of so many, the last of which has what is left."""
        since = self.since
        while since <= self.until:
            until = min(since + timedelta(days=days - 1), self.until)
            yield replace(self, since=since, until=until, latest=self.latest if until == self.until else None)
            since = until + DAY

    def halves(self) -> tuple[Part, Part]:
        """Splits the days in two; there must be two at least."""
        first, second = self.split((self.until - self.since).days // 2 + 1)
        return first, second


Reader = Callable[[HttpClient, Part], Iterator[Row]]
Sign = Callable[[Mapping[str, str]], dict[str, str]]


def read_pages(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads a part as its YAML says, page by page."""
    flat = part.stream.flatten
    for page in client.pages(part.ask, part.paging, part.rows, condition=part.condition):
        yield from page.rows if flat is None else (flatten(row, flat.omit) for row in page.rows)


@dataclass(frozen=True)
class Api:
    """What YAML cannot say of a source: error classifier, quota reader, request signer, and a reader for each stream.

    `sign` makes parameters of the secret, `headers` headers beside those of the auth. As it is, it follows HTTP's own rules.
    """

    classify: Classify = classify_by_status
    usage: Usage | None = None
    sign: Sign | None = None
    headers: Sign | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)
