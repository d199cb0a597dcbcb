"""The source catalogue: what is declared of every source, as one page of Markdown.

`make docs` writes it; `make check` and `headwater validate` say when it is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from headwater.config import (
    AnySource,
    BookmarkRead,
    FilesSource,
    FilesStream,
    HttpSource,
    HttpStream,
    JdbcSource,
    JdbcStream,
    KafkaSource,
    KafkaStream,
    KinesisSource,
    KinesisStream,
    Project,
    Rate,
    RedshiftSource,
    RedshiftStream,
    SnowflakeSource,
    SnowflakeStream,
    Stream,
    WatermarkRead,
    load_project,
)

_HEAD = """# Sources

Generated from config/sources/ by `make docs`; edit the YAML, not this page.

*Position* is where the next run goes on, and what it reads again because the source may still change it. Every source keeps
to one contract, tests/contract and tests/e2e/test_every_source.py; a new one gets it by being declared.
"""


def catalogue(root: Path) -> str:
    """Writes the page for the project below `root`."""
    project = load_project(root, "prod")
    parts = [_HEAD, _overview(project)]
    parts += [_page(project, source, root) for source in project.sources.values()]
    return "\n".join(parts)


def _overview(project: Project) -> str:
    lines = ["| source | speaks | streams | needed | secret |", "|---|---|---|---|---|"]
    for source in project.sources.values():
        needed = "no" if source.optional else "yes"
        secret = f"`{source.secret}`" if source.secret else "none"
        lines.append(
            f"| [{source.name}](#{source.name}) | {_speaks(source)} | {len(source.streams)} | {needed} | {secret} |"
        )
    return "\n".join([*lines, ""])


def _page(project: Project, source: AnySource, root: Path) -> str:
    lines = [f"## {source.name}", "", *_comment(root / "config" / "sources" / f"{source.name}.yaml"), ""]
    lines += [f"- {limit}" for limit in _limits(source)]
    lines += [
        f"- Extract job: {source.job.workers} workers of {source.job.worker_type}, at most {source.job.timeout_minutes} min",
        "",
        "| stream | silver table | key | write | position | backfill | drift |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, stream in source.streams.items():
        cells = [
            f"`{name}`",
            f"`{stream.table}`",
            ", ".join(f"`{column}`" for column in stream.key),
            stream.write.kind,
            _position(stream),
            _backfill(stream),
            project.drift_of(source.name, name),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _comment(path: Path) -> Iterator[str]:
    """The comment that a file opens with, less the editor's line."""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# yaml-language-server"):
            yield line.removeprefix("#").strip()


def _speaks(source: AnySource) -> str:
    match source:
        case HttpSource():
            return f"HTTP and JSON{f', {source.api_version}' if source.api_version else ''}"
        case JdbcSource():
            return f"JDBC, {source.engine}"
        case SnowflakeSource():
            return "Snowflake's connector, Arrow"
        case RedshiftSource():
            return "Redshift Data API, UNLOAD"
        case KafkaSource():
            return f"Kafka, {source.security.kind}"
        case FilesSource():
            return "HTTP API" if source.entrance.kind == "http" else "files in the landing bucket"
        case KinesisSource():
            return "Kinesis"
        case _ as never:
            assert_never(never)


def _limits(source: AnySource) -> Iterator[str]:
    match source:
        case HttpSource():
            yield from _http_limits(source)
        case JdbcSource():
            yield f"{source.fetch_size:,} rows at a time over a connection"
        case SnowflakeSource():
            yield f"database `{source.database}`, virtual warehouse `{source.warehouse}`"
        case RedshiftSource():
            yield "no row goes over a connection: UNLOAD writes Parquet into the batch's own prefix"
        case KafkaSource() | FilesSource() | KinesisSource():
            yield from (f"`{name}`: {_stream_limits(stream)}" for name, stream in source.streams.items())
        case _ as never:
            assert_never(never)


def _stream_limits(stream: KafkaStream | FilesStream | KinesisStream) -> str:
    match stream:
        case KafkaStream():
            return f"topic `{stream.topic}`, {stream.format}, {stream.max_records:,} records in a batch"
        case FilesStream():
            return f"{stream.format.kind} below `{stream.prefix}`, at most {stream.largest_megabytes} MB a file"
        case KinesisStream(delivery=delivery):
            waits = f"{delivery.batch_size:,} records or {delivery.window_seconds} s in a batch"
            return f"{delivery.kind}, {waits}, at most {stream.largest_bytes:,} bytes a record"
        case _ as never:
            assert_never(never)


def _http_limits(source: HttpSource) -> Iterator[str]:
    yield f"at {source.base_url}, auth `{source.auth.kind}`"
    yield f"at most {_rate(source.rate)}, {source.rate.concurrent} at a time"
    for path, rate in source.rates.items():
        yield f"at most {_rate(rate)} where the path ends in `{path}`"
    retry = source.retry
    yield f"{source.timeout_seconds:g} s for a request, {retry.attempts} tries, {retry.total_wait_seconds:g} s of waiting"


def _rate(rate: Rate) -> str:
    return f"{rate.calls} calls in {rate.per_seconds:g} s"


def _position(stream: Stream) -> str:
    match stream:
        case HttpStream(window=window):
            if window.field is None:
                return "none: read whole, and dropped when it reads as before"
            return f"day of `{window.field}`, {window.reread_days} days read again; history {window.history_days} days"
        case JdbcStream() | SnowflakeStream() | RedshiftStream():
            read = stream.read
            if isinstance(read, WatermarkRead):
                return f"`{read.column}`, {read.overlap_minutes} min of overlap"
            if isinstance(read, BookmarkRead):
                return f"`{read.keys[0]}`, by the Glue bookmark"
            return f"log sequence number, slot `{read.slot}`"
        case KafkaStream():
            return "next offset of each partition"
        case FilesStream():
            return "files taken, by key and etag"
        case KinesisStream():
            return (
                "last sequence number of each shard"
                if stream.delivery.kind == "direct"
                else "none: told apart by event"
            )
        case _ as never:
            assert_never(never)


def _backfill(stream: Stream) -> str:
    match stream:
        case KinesisStream():
            return "no: raw is its history"
        case JdbcStream() if stream.backfill_column is None:
            return "no: read a new snapshot"
        case _:
            return f"{stream.backfill_days} days a batch"
