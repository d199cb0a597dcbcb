"""The table of source kinds: for each its model, its reader, and what it is.

A new kind is a module with its model in headwater/config, a module with its reader here, and a line in KINDS (and in the
union of models, headwater/config/project.py, which pydantic reads). A reader gets what it uses of the job and no more;
it is imported when it is called, so that a worker loads the connector of its own source alone, and Lambdas none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from headwater.config import (
    AnySource,
    FilesSource,
    HttpSource,
    JdbcSource,
    KafkaSource,
    KinesisSource,
    RedshiftSource,
    SnowflakeSource,
)
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Days, Manifest

if TYPE_CHECKING:
    from headwater.job import Job

_Source = TypeVar("_Source", bound=AnySource)
Read = Callable[["Job", _Source, str, BatchWriter, Days | None], "Manifest | None"]
"""Reads one batch of a stream into the writer and commits it; None when there is nothing new."""


@dataclass(frozen=True)
class Kind(Generic[_Source]):
    """One kind of source.

    `bounded`: one call reads one bounded batch, so it is called until nothing is left; the others read all at once.
    `received`: a Lambda receives it, and the past cannot be asked for again. `in_network`: it is reached within a VPC.
    Without `read` there is nothing to extract: a Lambda commits the batches as the records arrive.
    """

    model: type[_Source]
    read: Read[_Source] | None
    bounded: bool = False
    received: bool = False
    in_network: bool = False


def _http(job: Job, source: HttpSource, stream: str, writer: BatchWriter, days: Days | None) -> Manifest | None:
    from headwater.sources.http.stream import extract

    secret = job.opened.secret(source.secret)
    table = job.project.tables[source.streams[stream].table]
    today = datetime.now(UTC).date()
    save = partial(job.opened.save_secret, source.secret)
    return extract(source, stream, table, writer, days, job.as_of, today, secret, save)


def _jdbc(job: Job, source: JdbcSource, stream: str, writer: BatchWriter, days: Days | None) -> Manifest | None:
    from headwater.sources.jdbc.stream import extract

    return extract(job.spark, source, stream, writer, days, job.opened.secret(source.secret), job.new_rows)


def _snowflake(
    job: Job, source: SnowflakeSource, stream: str, writer: BatchWriter, days: Days | None
) -> Manifest | None:
    from headwater.sources.kept import keep_types
    from headwater.sources.snowflake import extract

    keep = partial(keep_types, job.spark, writer)
    return extract(source, stream, writer, days, job.opened.secret(source.secret), keep)


def _redshift(job: Job, source: RedshiftSource, stream: str, writer: BatchWriter, days: Days | None) -> Manifest | None:
    from headwater.sources.redshift import extract

    return extract(job.spark, source, stream, writer, days, job.project.environment.warehouse)


def _kafka(job: Job, source: KafkaSource, stream: str, writer: BatchWriter, days: Days | None) -> Manifest | None:
    from headwater.sources.kafka.stream import extract

    return extract(job.spark, source, stream, writer, days, job.opened.secret(source.secret))


def _files(job: Job, source: FilesSource, stream: str, writer: BatchWriter, days: Days | None) -> Manifest | None:
    from headwater.sources.files.stream import extract

    return extract(source, stream, writer, days, job.project.environment.bucket("landing"), job.new_values)


KINDS: Mapping[str, Kind[Any]] = {
    "http": Kind(HttpSource, _http),
    "jdbc": Kind(JdbcSource, _jdbc, in_network=True),
    "snowflake": Kind(SnowflakeSource, _snowflake),
    "redshift": Kind(RedshiftSource, _redshift),
    "kafka": Kind(KafkaSource, _kafka, bounded=True, in_network=True),
    "files": Kind(FilesSource, _files, bounded=True, received=True),
    "kinesis": Kind(KinesisSource, None, received=True),
}


def kind_of(source: AnySource) -> Kind[Any]:
    """Finds the kind of a declared source."""
    return KINDS[source.kind]
