"""Reads one stream of an HTTP source: the days that are new, and again those that the source may have restated.

The position keeps a digest of every account day that the next run will read again; one that reads as before is dropped,
so a run over days that have not changed produces nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from headwater.config import HttpSource, Table
from headwater.errors import FatalSourceError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.positions import DaysPosition
from headwater.sources.days import DAY
from headwater.sources.http.client import HttpClient
from headwater.sources.http.connect import open_client
from headwater.sources.http.oauth import Save
from headwater.sources.http.reading import Reading
from headwater.sources.http.rollout import foreign, parsed_by, rolled_out
from headwater.sources.http.source import AccountDay, Part
from headwater.sources.http.spool import hexadecimal


@dataclass(frozen=True)
class Extraction:
    """What one run found: the position after it, and the account days it covers."""

    position_after: DaysPosition | None
    slices: tuple[dict[str, str], ...]


def extract(
    source: HttpSource,
    stream: str,
    table: Table,
    writer: BatchWriter,
    days: Days | None,
    as_of: date,
    secret: Mapping[str, str],
    save: Save,
) -> Manifest | None:
    """Extracts one batch of an HTTP stream that feeds a table; None when nothing is new or reads differently.

    `save` gets the whole secret when the provider has rotated a part of it.
    """
    parsers = rolled_out(source, stream)
    in_use = {parsers.get(account) for account in source.accounts or ("",)}
    # Fields of a shape that is not rolled out yet are as unexpected as any.
    writer.declared -= foreign(source.streams[stream], in_use)
    with open_client(source, secret, save) as client:
        found = read(source, stream, table, secret, writer, writer.before(DaysPosition), as_of, days, client)
    return None if found is None else writer.commit(found.position_after, found.slices)


def read(
    source: HttpSource,
    name: str,
    table: Table,
    secret: Mapping[str, str],
    writer: BatchWriter,
    position: DaysPosition | None,
    as_of: date,
    days: Days | None,
    client: HttpClient,
) -> Extraction | None:
    """Adds to `writer` every account day that is new or reads differently; None, and nothing added, when there is none.

    Reads from the position, less the days that the source restates, to `as_of` (UTC); an account without position from
    the start of its history. With `days` (first and last) it reads just that, and the position stays.
    """
    until = _until(position, as_of)
    reading = Reading(source, name, table, secret, client, writer)
    reading.read(list(_parts(source, name, position, as_of, until, days)))
    if source.accounts and reading.closed == {*source.accounts}:
        raise FatalSourceError(f"{source.name}: none of the accounts is served: {', '.join(source.accounts)}")
    if not reading.covered:
        return None
    slices = tuple({"account": account, "day": day.isoformat()} for account, day in sorted(reading.covered))
    return Extraction(position if days is not None else _position_after(source, name, reading, until), slices)


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
    declared = source.streams[name].window
    parsers = rolled_out(source, name)
    read_before = {} if position is None else {AccountDay.of_key(k): d for k, d in position.slices.items()}
    for account in source.accounts or ("",):
        parser = parsers.get(account)
        asked = source if parser is None else parsed_by(source, name, parser)
        stream = asked.streams[name]
        if days is not None:
            whole = Part(asked, stream, account, *days, latest=None if declared.field else date.max)
        elif position is None or account not in position.accounts:
            history = timedelta(days=declared.history_days)
            whole = Part(asked, stream, account, as_of - history, until, latest=date.max)
        else:
            known = {day: digest for day, digest in read_before.items() if day.account == account}
            since = position.until - timedelta(days=declared.reread_days) + DAY
            whole = Part(asked, stream, account, since, until, date.max, known)
        yield from whole.split(declared.chunk_days or (whole.until - whole.since).days + 1)


def _position_after(source: HttpSource, name: str, reading: Reading, until: date) -> DaysPosition:
    """Makes the position after: how far, for which accounts, and the digests that the next run compares with."""
    first = until - timedelta(days=source.streams[name].window.reread_days) + DAY
    # A closed account is not remembered: when it is served again, its history is read as that of a new one.
    accounts = [account for account in source.accounts or ("",) if account not in reading.closed]
    kept = {
        day.key: hexadecimal(digest)
        for day, digest in reading.digests.items()
        if day.day >= first and day.account in accounts
    }
    return DaysPosition(until=until, accounts=tuple(accounts), slices=dict(sorted(kept.items())))
