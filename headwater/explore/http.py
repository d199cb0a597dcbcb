"""Explores an API: each stream's first request as the production reader makes it, and rows that are sampled from its answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from headwater.config import HttpSource, Read, Retry, UpdatedSinceRead, WholeRead, WindowRead
from headwater.errors import ConfigError, FatalSourceError, SourceError
from headwater.explore.found import SECONDS, Field, Found, Sample
from headwater.explore.infer import fields_of, key_of, version_of
from headwater.explore.relations import FILL_IN
from headwater.explore.secret import Secret
from headwater.ledger.raw import ACCOUNT, PARSER, Row
from headwater.sources.apis import api_of
from headwater.sources.days import DAY
from headwater.sources.http.client import HttpClient
from headwater.sources.http.connect import for_account, open_client
from headwater.sources.http.rollout import parsed_by, rolled_out
from headwater.sources.http.source import Part, read_pages

_SAMPLED_ROWS = 100
_DAYS = 7
_TOTAL = re.compile(
    r"(?i)^(total|count|(total|num)_?(items|count|results|records|size|rows|elements)|(items|results|records)_?(total|count))$"
)
_RETRY = Retry(attempts=2, longest_wait_seconds=SECONDS, total_wait_seconds=SECONDS)


@dataclass(frozen=True)
class HttpExplorer:
    """Explores one API; `today` is the last day that is asked for."""

    source: HttpSource
    secret: Secret
    client: HttpClient
    today: date

    def check(self, stream: str) -> str:
        """Makes the first request of a stream for each account."""
        answered = []
        for account in self.source.accounts or ("",):
            try:
                found = next(self._rows(stream, account), None)
            except SourceError as error:
                where = f"account {account}: " if account else ""
                raise FatalSourceError(f"{where}{error}") from None
            answered.append(f"{account or 'answers'}{'' if found else f' (no row in {_DAYS} days)'}")
        return ", ".join(answered)

    def find(self) -> Iterator[Found]:
        """Samples the rows of each declared stream."""
        for name in self.source.streams:
            yield _found(self.source, name, self._sampled(name, _SAMPLED_ROWS))

    def find_at(self, path: str) -> Found:
        """Samples the answer at a path that no stream declares yet; ConfigError when it has no list of objects."""
        account = self.source.accounts[0] if self.source.accounts else "{account}"
        answer = self.client.get(path.replace("{account}", account))
        lists = sorted(_lists(answer, ""), key=lambda found: len(found[1]), reverse=True)
        if not lists:
            raise ConfigError(
                f"{self.source.name}: the answer at {path} has no list of objects; it is {_shape(answer)}"
            )
        records, rows = lists[0]
        bare, _, query = path.partition("?")
        name = "".join(c if c.isalnum() else "_" for c in bare.strip("/").rpartition("/")[2].lower())
        own = (
            [{ACCOUNT: account, **row} for row in rows[:_SAMPLED_ROWS]] if "{account}" in path else rows[:_SAMPLED_ROWS]
        )
        declares = {"path": bare} | ({"params": dict(parse_qsl(query))} if query else {})
        declares |= ({"records": records} if records else {}) | _paging(answer, records, len(rows))
        return _proposed(name or "rows", path, declares, own)

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads the first rows of a stream, account after account."""
        return Sample(self._sampled(stream, rows))

    def _sampled(self, stream: str, rows: int) -> list[Row]:
        accounts = self.source.accounts or ("",)
        every = (row for account in accounts for row in self._rows(stream, account))
        return list(islice(every, rows))

    def _rows(self, stream: str, account: str) -> Iterator[Row]:
        parser = rolled_out(self.source, stream).get(account)
        asked = self.source if parser is None else parsed_by(self.source, stream, parser)
        declared = asked.streams[stream]
        days = _days(declared.read)
        part = Part(asked, declared, account, self.today - timedelta(days=days) + DAY, self.today, latest=date.max)
        client = for_account(self.client, self.source, self.secret.values, account)
        added = {ACCOUNT: account} | ({PARSER: parser} if parser else {})
        for row in api_of(self.source.name).readers.get(stream, read_pages)(client, part):
            if not isinstance(row, Mapping):
                raise FatalSourceError(f"{self.source.name}.{stream}: a row is {type(row).__name__}, not an object")
            yield {**row, **{name: value for name, value in added.items() if value}}


@contextmanager
def open_http(source: HttpSource, secret: Secret, today: date | None) -> Iterator[HttpExplorer]:
    """Opens an API as the production reader does, but gives up soon."""
    hasty = source.model_copy(update={"retry": _RETRY, "timeout_seconds": min(source.timeout_seconds, SECONDS)})
    with open_client(hasty, secret.values, secret.save) as client:
        yield HttpExplorer(hasty, secret, client, today or datetime.now(UTC).date())


def _found(source: HttpSource, name: str, rows: list[Row]) -> Found:
    """What is declared stays, such as paging; how it is read is guessed where no row has the field that is declared."""
    declared = source.streams[name]
    given = declared.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"table", "columns", "raw"})
    by = given["read"].get("field")
    read = {"read": given.pop("read")} if rows and (by is None or any(by in row for row in rows)) else {}
    found = _proposed(name, declared.path, {k: v for k, v in given.items() if k != "read"}, rows)
    return replace(found, declares={**found.declares, **read}, table=declared.table)


def _proposed(name: str, place: str, declares: dict[str, Any], rows: list[Row]) -> Found:
    own = [{field: value for field, value in row.items() if not field.startswith("_")} for row in rows]
    fields = fields_of(own)
    version = version_of(fields)
    day = version or next((field.name for field in fields if field.type in {"date", "timestamp"}), None)
    window = {"kind": "window", "field": day, "history_days": 365, "reread_days": 7}
    key = key_of(fields, own)
    if any(row.get(ACCOUNT) for row in rows):
        # An id may be of two accounts' rows; a key that is good without is shortened by who knows.
        fields, key = (Field(ACCOUNT, "string"), *fields), (ACCOUNT, *key) if key else ()
    declares |= {"read": window if day else {"kind": "whole"}}
    return Found(name, place, fields, declares, key, version, raw=True)


def _paging(answer: Any, records: str | None, rows: int) -> dict[str, Any]:
    """Of an answer that says that there are more rows than it has: that its paging is to be filled in."""
    *outer, _ = (records or "").split(".")
    beside = reduce(lambda inner, name: inner[name], outer, answer)
    if not isinstance(beside, Mapping):
        return {}
    totals = [
        n for n, v in beside.items() if isinstance(v, int) and not isinstance(v, bool) and _TOTAL.match(n) and v > rows
    ]
    return {"paging": {"kind": FILL_IN, "total": ".".join((*outer, totals[0]))}} if totals else {}


def _days(read: Read) -> int:
    """How many days a sample reaches back."""
    match read:
        case WindowRead():
            return min(_DAYS, read.history_days, read.chunk_days or _DAYS)
        case UpdatedSinceRead():
            return min(_DAYS, read.history_days)
        case WholeRead():
            return 1


def _lists(answer: Any, path: str) -> Iterator[tuple[str, list[Row]]]:
    """The lists of objects within an answer, each with the path of its own."""
    if isinstance(answer, list):
        if answer and all(isinstance(row, Mapping) for row in answer):
            yield path, answer
    elif isinstance(answer, Mapping):
        for name, inner in answer.items():
            yield from _lists(inner, f"{path}.{name}" if path else name)


def _shape(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return f"an object of {', '.join(sorted(map(str, answer)))}"
    return f"a {type(answer).__name__}"
