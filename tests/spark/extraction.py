"""A stream's extraction into a folder instead of S3, with a real ledger, for tests of the database readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from headwater.config import JdbcSource
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Manifest
from headwater.ledger.stream import StreamLedger
from headwater.sources.jdbc.stream import extract
from local.awsglue.context import GlueContext

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
_LONG_AGO = datetime(2000, 1, 1)  # noqa: DTZ001


@dataclass(frozen=True)
class FolderBucket:
    """What the ledger needs of a bucket, in a folder."""

    root: Path
    name: str = "folder"

    @property
    def uri(self) -> str:
        return f"file://{self.root}"

    def create(self, key: str, body: bytes) -> bool:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return False
        path.write_bytes(body)
        return True

    def read(self, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.exists() else None

    def upload(self, path: Path, key: str) -> None:
        self.create(key, path.read_bytes())

    def keys(self, prefix: str, page: int = 1000) -> Iterator[tuple[str, datetime, int]]:
        for path in sorted(self.root.rglob("*")):
            key = str(path.relative_to(self.root))
            if path.is_file() and key.startswith(prefix):
                yield key, _LONG_AGO, path.stat().st_size


@dataclass
class Extraction:
    """One source, extracted stream by stream, batch after batch."""

    spark: SparkSession
    source: JdbcSource
    secret: dict[str, str]
    root: Path
    manifests: list[Manifest] = field(default_factory=list)

    def ledger(self, stream: str) -> StreamLedger:
        return StreamLedger(FolderBucket(self.root), self.source.name, stream)  # type: ignore[arg-type]

    def run(self, stream: str, window: tuple[date, date] | None = None, *, dies: bool = False) -> list[Row] | None:
        """Extracts one batch; its rows, or None when there is nothing new. A run that `dies` does so before the manifest."""
        columns = self.source.streams[stream].raw_fields
        writer = BatchWriter.begin(self.ledger(stream), "run", None, window, columns=columns)
        if dies:
            writer.commit = _die  # type: ignore[assignment, method-assign]
        try:
            manifest = extract(self.spark, self.source, stream, writer, window, self.secret, self.new_rows)
        except KilledError:
            return None
        return None if manifest is None else self.rows(manifest)

    def new_rows(self, engine: str, options: Mapping[str, Any], context: str) -> DataFrame:
        frames = GlueContext(self.spark.sparkContext).create_dynamic_frame
        return frames.from_options(
            connection_type=engine, connection_options=dict(options), transformation_ctx=context
        ).toDF()

    def rows(self, manifest: Manifest) -> list[Row]:
        if not manifest.files:
            return []
        found = self.spark.read.parquet(*[f"file://{self.root}/{file.key}" for file in manifest.files]).collect()
        assert len(found) == manifest.rows
        return found


class KilledError(Exception):
    """The process is gone."""


def _die(*_: object) -> Manifest:
    raise KilledError
