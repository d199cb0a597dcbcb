"""Takes new files of the landing bucket into raw: each version of a file once, good rows as JSON lines, bad files with the reason.

A file is found in two ways. `start_on_drop` registered it on S3's event: the job's bookmark finds the registrations that are new.
Or the listing shows it, by modification time from the position on: so files whose event was lost are found. What was taken is in the
manifests: a batch names the key and ETag of each of its files, so a file that is found again, in whichever way, is not taken again.

A raw row has the file's fields, and beside them:

    _file_key, _row          which file it is from, and its number in it, from 1; the header is not counted
    _value, _value_encoding  a row that cannot be read, as text; of a file that cannot be read, what was wrong
    _received_at, _sender, _idempotency_key   of pushed events: when, from whom and under which key the API took it
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from botocore.exceptions import ClientError

from headwater.config import FilesSource, FilesStream, HttpEntrance
from headwater.config.files_source import PUSHED
from headwater.errors import ConfigError
from headwater.ledger.batch import BatchWriter
from headwater.ledger.bucket import Bucket
from headwater.ledger.entries import Days, Manifest, SetAside, TakenFile
from headwater.ledger.landing import ARRIVALS, is_data
from headwater.ledger.positions import ModifiedPosition
from headwater.ledger.raw import PROBLEM, RowFile
from headwater.ledger.stream import StreamLedger
from headwater.log import get_logger, shortened
from headwater.sources.files.formats import rows_of
from headwater.sources.files.rows import MEGABYTE, BadFileError

NewValues = Callable[[str, str, str], Iterable[Any]]
"""Reads one field of each JSON document below a URI that is new to the bookmark of a context."""
MOST_FILES = 1000
"""Files in one batch; what is beyond has its turn in the next."""
MOST_BYTES = 512 * MEGABYTE
"""Bytes of files after which a batch takes no other."""
MOST_SECONDS = 600.0
"""Of reading, after which a batch takes no other file: what it has counts, however long the next one would take."""
# How far behind the position a file may lie: S3's times are whole seconds, and a multipart upload has the time of its start.
_BAND = timedelta(hours=24)
# A partner who sends the same file again within this time has not sent anything new.
_RESENT = timedelta(days=7)
# The API writes an event's file at once, and only once.
_PUSHED_BAND = timedelta(minutes=15)
_LARGEST_PART = 128 * MEGABYTE
_LONGEST_MESSAGE = 1000

log = get_logger(__name__)


@dataclass(frozen=True, order=True)
class LandedFile:
    """One version of a file in the landing bucket."""

    modified: datetime
    key: str
    etag: str
    size: int

    @property
    def taken(self) -> TakenFile:
        """The file as a manifest names it."""
        return TakenFile(key=self.key, etag=self.etag)


def extract(
    source: FilesSource,
    name: str,
    writer: BatchWriter,
    days: Days | None,
    landing_bucket: str,
    new_values: NewValues,
) -> Manifest | None:
    """Takes one bounded batch of the files that are new; None when none is.

    `new_values` finds the registrations that are new to the job's bookmark.
    ConfigError for a backfill: what a partner has not sent, nobody can ask for; what was taken is in bronze.
    """
    if days is not None:
        raise ConfigError(f"{source.name}.{name}: files come by themselves. hint: run it without --backfill")
    stream, ledger = source.streams[name], writer.ledger
    landing = Bucket(ledger.bucket.s3, landing_bucket)
    pushed = isinstance(source.entrance, HttpEntrance)
    position = writer.before(ModifiedPosition)
    found = listed(landing, stream, position, _PUSHED_BAND if pushed else _BAND)
    if not pushed:
        arrivals = f"{ledger.bucket.uri}/{ledger.prefix}/{ARRIVALS}/"
        keys = dict.fromkeys(map(str, new_values(arrivals, "key", f"{name}_arrivals")))
        found |= {file for key in keys for file in _look_up(landing, key)}
    new = sorted(not_taken(ledger, found, _PUSHED_BAND if pushed else _RESENT))
    batch = _first_batch(new)
    with TemporaryDirectory() as folder:
        looked_at = _Intake(landing, stream, writer, Path(folder)).take(batch)
    if not writer.taken:
        return None
    newest = looked_at[-1].modified
    return writer.commit(ModifiedPosition(until=max(newest, position.until) if position else newest))


def listed(landing: Bucket, stream: FilesStream, position: ModifiedPosition | None, band: timedelta) -> set[LandedFile]:
    """Lists the files with data that were modified after the position, or within `band` before it."""
    since = position.until - band if position else datetime.min.replace(tzinfo=UTC)
    pages = landing.s3.get_paginator("list_objects_v2").paginate(Bucket=landing.name, Prefix=stream.prefix)
    return {
        LandedFile(item["LastModified"], item["Key"], item["ETag"].strip('"'), item["Size"])
        for page in pages
        for item in page.get("Contents", [])
        if item["LastModified"] >= since and is_data(item["Key"].removeprefix(stream.prefix), item["Size"])
    }


def _look_up(landing: Bucket, key: str) -> Iterator[LandedFile]:
    try:
        head = landing.s3.head_object(Bucket=landing.name, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # Whoever dropped it has taken it away again.
        log.warning("dropped file is gone", key=key)
        return
    yield LandedFile(head["LastModified"], key, head["ETag"].strip('"'), head["ContentLength"])


def not_taken(ledger: StreamLedger, files: set[LandedFile], look_back: timedelta) -> set[LandedFile]:
    """Drops the files whose version is the one that was taken last, by the manifests that are younger than the oldest file, and some.

    A version that others have followed is new when it comes again: it is what the file says now.
    """
    if not files:
        return files
    oldest = min(file.modified for file in files) - look_back
    taken: dict[str, str] = {}
    latest = ledger.latest()
    batch = latest.batch if latest else 0
    while batch > 0:
        manifest = ledger.manifest(batch)
        if manifest.created_at < oldest:
            break
        taken = {file.key: file.etag for file in manifest.taken} | taken
        batch -= 1
    return {file for file in files if taken.get(file.key) != file.etag}


def _first_batch(files: list[LandedFile]) -> list[LandedFile]:
    batch: list[LandedFile] = []
    size = 0
    for file in files[:MOST_FILES]:
        if batch and size + file.size > MOST_BYTES:
            break
        batch.append(file)
        size += file.size
    return batch


class _Intake:
    """Turns files into the raw parts of one batch."""

    def __init__(self, landing: Bucket, stream: FilesStream, writer: BatchWriter, folder: Path) -> None:
        self._landing = landing
        self._stream = stream
        self._writer = writer
        self._folder = folder
        self._part = folder / "part.jsonl.gz"
        self._rows = 0

    def take(self, files: list[LandedFile]) -> list[LandedFile]:
        """Adds the rows of files to the batch, of as many as there is time for; returns those that it has looked at."""
        until = time.monotonic() + MOST_SECONDS
        looked_at: list[LandedFile] = []
        for file in files:
            if looked_at and time.monotonic() > until:
                break
            looked_at.append(file)
            began = time.monotonic()
            rows = self._read(file)
            if rows is None:
                log.info("file was replaced meanwhile", key=file.key)
                continue
            # Members of gzip that follow each other are one file of gzip, so no file has to be read again.
            with (self._folder / "rows.jsonl.gz").open("rb") as source, self._part.open("ab") as part:
                shutil.copyfileobj(source, part, MEGABYTE)
            self._writer.learned.merge(rows.learned)
            self._writer.taken.append(file.taken)
            self._writer.has_read(file.key, rows.rows, time.monotonic() - began)
            self._rows += rows.rows
            if self._part.stat().st_size > _LARGEST_PART:
                self._flush()
        self._flush()
        return looked_at

    def _flush(self) -> None:
        if self._rows:
            self._writer.add(self._part, self._rows)
        self._part.unlink(missing_ok=True)
        self._rows = 0

    def _read(self, file: LandedFile) -> RowFile | None:
        local = self._folder / "file"
        try:
            if not self._fetch(file, local):
                return None
            with self._writer.open_rows(self._folder / "rows.jsonl.gz") as rows:
                for row in rows_of(local, self._stream):
                    pushed = {name: str(row.fields[name]) for name in PUSHED if name in row.fields}
                    fields = {name: value for name, value in row.fields.items() if name not in pushed}
                    added: dict[str, Any] = {"_file_key": file.key, "_row": str(row.number), **pushed}
                    if row.problem:
                        added |= {PROBLEM: row.problem, "_value": row.text, "_value_encoding": "text"}
                    rows.write(fields, **added)
        except BadFileError as bad:
            said = shortened(str(bad), _LONGEST_MESSAGE)
            log.warning("set aside", key=file.key, problem=bad.problem, message=said)
            self._writer.set_aside.append(SetAside(key=file.key, problem=bad.problem, message=said))
            with self._writer.open_rows(self._folder / "rows.jsonl.gz") as rows:
                about = {"_file_key": file.key, "_value": said, "_value_encoding": "text"}
                rows.write({}, **about, **{PROBLEM: bad.problem})
        finally:
            local.unlink(missing_ok=True)
        return rows

    def _fetch(self, file: LandedFile, local: Path) -> bool:
        largest = self._stream.largest_megabytes * MEGABYTE
        if file.size > largest:
            raise BadFileError("too_large", f"{file.size} bytes; {largest} are the most")
        # Just this version: one that has replaced it is a file of its own, and is taken by itself.
        try:
            answer = self._landing.s3.get_object(Bucket=self._landing.name, Key=file.key, IfMatch=f'"{file.etag}"')
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in {404, 412}:
                return False
            if status == 400 or (status == 403 and self._may_read(file)):
                told = error.response["Error"]
                raise BadFileError(
                    "unreadable_file",
                    f"S3 does not hand it out: {told.get('Code')}: {told.get('Message')}. hint: upload it anew under another "
                    "name, with the bucket's own encryption and in a storage class that can be read at once",
                ) from None
            raise
        with local.open("wb") as out:
            shutil.copyfileobj(answer["Body"], out, MEGABYTE)
        return True

    def _may_read(self, file: LandedFile) -> bool:
        """True when it is the object that is refused, being archived or encrypted with a stranger's key, and not its reader."""
        try:
            self._landing.s3.head_object(Bucket=self._landing.name, Key=file.key)
        except ClientError:
            return False
        return True
