"""Reads one stream of an HTTP source: the days that are new, and again those that the source may have restated.

The position keeps a digest of every account day that the next run will read again; one that reads as before is dropped,
so a run over days that have not changed produces nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from headwater.config import HttpSource, Read, Table, UpdatedSinceRead, WholeRead, WindowRead
from headwater.errors import FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.positions import ConditionalPosition, DaysPosition, MarksPosition
from headwater.sources.days import DAY
from headwater.sources.http.client import HttpClient
from headwater.sources.http.conditional import Condition, asked_by
from headwater.sources.http.connect import open_client
from headwater.sources.http.oauth import Save
from headwater.sources.http.reading import Reading
from headwater.sources.http.rollout import foreign, parsed_by, rolled_out
from headwater.sources.http.source import AccountDay, Part, hexadecimal
from headwater.sources.http.updates import parts_since

HttpPosition = DaysPosition | MarksPosition


@dataclass(frozen=True)
class Extraction:
    """What one run found: the position after it, and the account days it covers."""

    position_after: HttpPosition | None
    slices: tuple[dict[str, str], ...]


def extract(
    source: HttpSource,
    stream: str,
    table: Table,
    writer: BatchWriter,
    days: Days | None,
    as_of: date,
    today: date,
    secret: Mapping[str, str],
    save: Save,
) -> Manifest | None:
    """Extracts one batch of an HTTP stream that feeds a table; None when nothing is new or reads differently.

    Neither `as_of` nor a position reaches beyond `today`, in UTC: of a day that has not come nothing is known.
    `save` gets the whole secret when the provider has rotated a part of it.
    """
    parsers = rolled_out(source, stream)
    in_use = {parsers.get(account) for account in source.accounts or ("",)}
    # Fields of a shape that is not rolled out yet are as unexpected as any.
    writer.declared -= foreign(source.streams[stream], in_use)
    with open_client(source, secret, save) as client:
        by_marks = isinstance(source.streams[stream].read, UpdatedSinceRead)
        position = writer.before(MarksPosition) if by_marks else _days_before(writer, today)
        found = read(source, stream, table, secret, writer, position, min(as_of, today), days, client)
    return None if found is None else writer.commit(found.position_after, found.slices)


def read(
    source: HttpSource,
    name: str,
    table: Table,
    secret: Mapping[str, str],
    writer: BatchWriter,
    position: HttpPosition | None,
    as_of: date,
    days: Days | None,
    client: HttpClient,
) -> Extraction | None:
    """Adds to `writer` every account day that is new or reads differently; None, and nothing added, when there is none.

    Reads from the position, less the days that the source restates, to `as_of` (UTC); an account without position from
    the start of its history. With `days` (first and last) it reads just that, and the position stays.
    """
    by_days = position if isinstance(position, DaysPosition) else None
    until = _until(by_days, as_of)
    reading = Reading(source, name, table, secret, client, writer)
    parts: list[Part]
    if isinstance(source.streams[name].read, UpdatedSinceRead) and days is None:
        parts = [*parts_since(source, name, position if isinstance(position, MarksPosition) else None, as_of)]
    else:
        parts = [*_parts(source, name, by_days, as_of, until, days)]
    reading.read(parts)
    if source.accounts and reading.closed == {*source.accounts}:
        raise FatalSourceError(f"{source.name}: none of the accounts is served: {', '.join(source.accounts)}")
    if not reading.covered:
        return None
    if reading.recent:
        marks = {account: mark for account, recent in sorted(reading.recent.items()) if (mark := recent.mark())}
        return Extraction(MarksPosition(marks=marks), ())
    slices = tuple({"account": account, "day": day.isoformat()} for account, day in sorted(reading.covered))
    if days is not None:
        return Extraction(_doubted(position, source.streams[name].read, reading.covered), slices)
    after = _position_after(source, name, reading, until)
    validators = {part.account: part.condition.after for part in parts if part.condition and part.condition.after}
    if not validators:
        return Extraction(after, slices)
    return Extraction(ConditionalPosition(**dict(after), validators=validators), slices)


def _days_before(writer: BatchWriter, today: date) -> DaysPosition | None:
    """The position before the batch; one that a wrong clock or `as_of` took beyond its own day is not believed."""
    position = writer.before(DaysPosition, lambda position, at: position.until > at.date())
    return None if position is None else position.model_copy(update={"until": min(position.until, today)})


def _until(position: DaysPosition | None, as_of: date) -> date:
    """The last day to read: a run for an earlier date than the position's does not take the position back."""
    return as_of if position is None else max(as_of, position.until)


def _parts(
    source: HttpSource,
    name: str,
    position: DaysPosition | None,
    as_of: date,
    until: date,
    days: Days | None,
) -> Iterator[Part]:
    """The parts to read, account after account."""
    read = source.streams[name].read
    parsers = rolled_out(source, name)
    read_before = {} if position is None else {AccountDay.of_key(k): d for k, d in position.slices.items()}
    for account in source.accounts or ("",):
        parser = parsers.get(account)
        asked = source if parser is None else parsed_by(source, name, parser)
        stream = asked.streams[name]
        new = position is None or account not in position.accounts
        known = None if new or days else {day: digest for day, digest in read_before.items() if day.account == account}
        if isinstance(read, WholeRead):
            part = Part(asked, stream, account, *(days or (until, until)), latest=date.max, known=known)
            yield replace(part, condition=_condition(part, parser, position)) if read.conditional else part
            continue
        if days is not None:
            part = Part(asked, stream, account, *days)
        elif known is None:
            part = Part(asked, stream, account, as_of - timedelta(days=read.history_days), until, latest=date.max)
        else:
            since = _first_read_again(read, until if position is None else position.until)
            part = Part(asked, stream, account, since, until, latest=date.max, known=known)
        chunk = read.chunk_days if isinstance(read, WindowRead) else None
        yield from part.split(chunk or (part.until - part.since).days + 1)


def _condition(part: Part, parser: str | None, position: DaysPosition | None) -> Condition | None:
    """By which a part is asked for: a backfill reads it whatever is known of it, and so does an account's first read."""
    shape = [part.stream.records, part.stream.raw, part.stream.flatten and part.stream.flatten.omit, parser]
    asked = asked_by(part.path, part.params, *shape)
    known = position.validators.get(part.account) if isinstance(position, ConditionalPosition) else None
    return Condition(asked, None if part.known is None else known)


def _first_read_again(read: Read, until: date) -> date:
    """The first of the days up to a position that a run reads again."""
    return until - timedelta(days=read.reread_days) + DAY if isinstance(read, WindowRead) else until


def _doubted(position: HttpPosition | None, read: Read, covered: Iterable[AccountDay]) -> HttpPosition | None:
    """The position after a backfill, which no longer says how the days read that the backfill covers.

    Silver has them as the backfill found them: a source that goes back to what the position knew has changed them.
    """
    if not isinstance(position, DaysPosition):
        return None if position is None else position.doubted()
    first = _first_read_again(read, position.until)
    return position.without(day.key for day in covered if day.day >= first)


def _position_after(source: HttpSource, name: str, reading: Reading, until: date) -> DaysPosition:
    """Makes the position after: how far, for which accounts, and the digests that the next run compares with."""
    first = _first_read_again(source.streams[name].read, until)
    # A closed account is not remembered: when it is served again, its history is read as that of a new one.
    accounts = [account for account in source.accounts or ("",) if account not in reading.closed]
    kept = {
        day.key: hexadecimal(digest)
        for day, digest in reading.digests.items()
        if day.day >= first and day.account in accounts
    }
    return DaysPosition(until=until, accounts=tuple(accounts), slices=dict(sorted(kept.items())))
