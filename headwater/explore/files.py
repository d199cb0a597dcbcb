"""Explores the landing bucket: whether its prefixes can be listed and read, and what their newest files hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headwater.config import FilesSource, FilesStream, HttpEntrance
from headwater.config.files_source import PUSHED, CsvFormat, ExcelFormat, Format, JsonLinesFormat, ParquetFormat
from headwater.errors import ConfigError, FatalSourceError
from headwater.explore.found import Found, Sample
from headwater.explore.infer import fields_of, key_of, version_of
from headwater.explore.secret import Secret, client
from headwater.ledger.landing import is_data
from headwater.ledger.raw import PROBLEM, Row
from headwater.sources.files.formats import rows_of
from headwater.sources.files.rows import BadFileError

_SAMPLED_ROWS = 100
_LISTED = 1000
_TRIED = 10
_MEGABYTE = 1024 * 1024
_LARGEST_SAMPLE_MB = 64
_FORMATS: dict[str, Format] = {
    ".csv": CsvFormat(kind="csv"),
    ".jsonl": JsonLinesFormat(kind="jsonl"),
    ".json": JsonLinesFormat(kind="jsonl"),
    ".ndjson": JsonLinesFormat(kind="jsonl"),
    ".parquet": ParquetFormat(kind="parquet"),
    ".xlsx": ExcelFormat(kind="excel"),
}


@dataclass(frozen=True)
class FilesExplorer:
    """Explores the prefixes of one source in the landing bucket."""

    source: FilesSource
    secret: Secret
    bucket: str
    s3: Any

    def check(self, stream: str) -> str:
        """Lists a prefix and reads the newest of its files that can be read, to its end."""
        declared = self.source.streams[stream]
        if isinstance(self.source.entrance, HttpEntrance) and not self.secret.values:
            raise FatalSourceError(
                f"{self.source.name}: the secret has no sender's key. hint: add one by the sender's name"
            )
        where = f"s3://{self.bucket}/{declared.prefix}"
        problem = None
        for newest in self._newest(declared.prefix):
            try:
                rows = self._read(newest, declared, most=None)
            except FatalSourceError as error:
                problem = problem or error
                continue
            bad = sum(1 for row in rows if PROBLEM in row)
            lost = f", {bad} of which cannot be read" if bad else ""
            return f"{where} can be listed; {newest} has {len(rows)} rows{lost}{f'; but {problem}' if problem else ''}"
        if problem is not None:
            raise problem
        return f"{where} can be listed; no file yet"

    def find(self) -> Iterator[Found]:
        """Proposes a stream for each folder below the source's own."""
        listed = self._list(f"{self.source.name}/")
        folders = sorted({key.rpartition("/")[0] + "/" for key, *_ in listed})
        for folder in folders:
            newest = max((item for item in listed if item[0].startswith(folder)), key=lambda item: item[1])[0]
            format_ = _format_of(newest)
            if format_ is not None:
                yield self._found(folder, newest, format_)

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads the rows of a prefix's newest files."""
        declared = self.source.streams[stream]
        found: list[Row] = []
        bad: list[Row] = []
        for newest in self._newest(declared.prefix):
            try:
                found += self._read(newest, declared, rows - len(found))
            except FatalSourceError as error:
                # In a run, quarantine gets such a file as one row.
                bad.append({"_file_key": newest, PROBLEM: "unreadable_file", "_value": str(error)})
            if len(found) >= rows:
                break
        return Sample([*found, *bad][:rows])

    def _found(self, folder: str, key: str, format_: Format) -> Found:
        name = folder.strip("/").rpartition("/")[2].replace("-", "_")
        # A stream whose header may have any field.
        anything = FilesStream.model_construct(
            table=name,
            columns={},
            raw=(),
            format=format_,
            largest_megabytes=_LARGEST_SAMPLE_MB,
            accepts=None,
            prefix=folder,
        )
        rows = [
            {n: v for n, v in row.items() if not n.startswith("_")} for row in self._read(key, anything, _SAMPLED_ROWS)
        ]
        fields = fields_of(rows)
        declares = {"prefix": folder, "format": format_.model_dump(exclude_defaults=True)}
        return Found(
            name, f"s3://{self.bucket}/{key}", fields, declares, key_of(fields, rows), version_of(fields), raw=True
        )

    def _read(self, key: str, stream: FilesStream, most: int | None) -> list[Row]:
        size = self.s3.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        if size > _LARGEST_SAMPLE_MB * _MEGABYTE:
            raise ConfigError(f"{key} has {size} bytes, more than is read here. hint: drop a smaller file to look at")
        added = {"_file_key": key}
        with TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            self.s3.download_file(self.bucket, key, str(path))
            try:
                rows = list(islice(rows_of(path, stream), most))
            except BadFileError as error:
                raise FatalSourceError(f"{key} cannot be read ({error.problem}): {error}") from None
        pushed = {} if stream.accepts is None else dict.fromkeys(PUSHED)
        return [
            {**pushed, **row.fields, **added, "_row": str(row.number)}
            | ({PROBLEM: row.problem, "_value": row.text} if row.problem else {})
            for row in rows
        ]

    def _newest(self, prefix: str) -> list[str]:
        """Lists the newest files of a prefix, newest first: one of them may be bad."""
        listed = sorted(self._list(prefix), key=lambda item: item[1], reverse=True)
        return [key for key, _ in listed[:_TRIED]]

    def _list(self, prefix: str) -> list[tuple[str, Any]]:
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=_LISTED)
        return [(o["Key"], o["LastModified"]) for o in answer.get("Contents", ()) if is_data(o["Key"], o["Size"])]


@contextmanager
def open_files(source: FilesSource, secret: Secret, bucket: str) -> Iterator[FilesExplorer]:
    """Opens the environment's landing bucket."""
    yield FilesExplorer(source, secret, bucket, client("s3"))


def _format_of(key: str) -> Format | None:
    name = key.lower().removesuffix(".gz")
    return next((format_ for suffix, format_ in _FORMATS.items() if name.endswith(suffix)), None)
