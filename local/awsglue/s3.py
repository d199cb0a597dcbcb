"""S3 sources and sinks: which files are new, and how each format is read and written."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from . import bookmarks
from .bookmarks import MAX_BAND_SECONDS, S3File

Options = dict[str, Any]

_READ_OPTIONS = {
    "json": {"multiline": "multiLine"},
    "csv": {
        "withHeader": "header",
        "separator": "sep",
        "quoteChar": "quote",
        "escaper": "escape",
        "multiLine": "multiLine",
    },
    "parquet": {},
    "orc": {},
}
_WRITE_OPTIONS = {
    "json": {},
    "csv": {"writeHeader": "header", "separator": "sep", "quoteChar": "quote"},
    "parquet": {"compression": "compression"},
    "orc": {"compression": "compression"},
}


def read(session: SparkSession, options: Options, kind: str, format_options: Options, context: str) -> DataFrame | None:
    """Reads the files under `paths` that are new to the bookmark; None, at the cost of one listing, when none is."""
    _check(kind, _READ_OPTIONS)
    paths = options.get("paths") or [options["path"]]
    files = sorted({file for path in paths for file in _files(path, options)})
    bookmark = bookmarks.current()
    if bookmark is not None and context:
        band = int(options.get("maxBand", MAX_BAND_SECONDS))
        lower = bookmark.lower.get(context)
        new = [file for file in files if not bookmarks.has_seen(lower, file, band)]
        if bookmark.upper is not None:
            upper = bookmark.upper.get(context)
            new = [file for file in new if bookmarks.has_seen(upper, file, band)]
        bookmark.move(context, bookmarks.state_after(lower, files, band))
        files = new
    if not files:
        return None
    reader = session.read
    for name, value in _spark_options(format_options, _READ_OPTIONS[kind]).items():
        reader = reader.option(name, value)
    if kind == "parquet":
        reader = reader.option("mergeSchema", "true")
    if len(paths) == 1:
        # Folders of the form key=value below the path are columns.
        reader = reader.option("basePath", paths[0])
    rows = reader.format(kind).load([file.uri for file in files])
    file_column: str | None = options.get("attachFilename")
    return rows.withColumn(file_column, F.input_file_name()) if file_column else rows


def write(rows: DataFrame, options: Options, kind: str, format_options: Options) -> None:
    """Appends rows to `path`, partitioned by `partitionKeys`."""
    _check(kind, _WRITE_OPTIONS)
    writer = rows.write.format(kind).mode("append")
    for name, value in _spark_options(format_options, _WRITE_OPTIONS[kind]).items():
        writer = writer.option(name, value)
    if options.get("compression"):
        writer = writer.option("compression", options["compression"])
    if options.get("partitionKeys"):
        writer = writer.partitionBy(*options["partitionKeys"])
    writer.save(options["path"])


def _check(kind: str, known: dict[str, dict[str, str]]) -> None:
    if kind not in known:
        raise ValueError(f"format {kind!r}. hint: one of {sorted(known)}")


def _spark_options(given: Options, names: dict[str, str]) -> dict[str, str]:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"format_options {unknown}. hint: known here are {sorted(names)}")
    return {names[name]: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _files(path: str, options: Options) -> Iterator[S3File]:
    location = urlsplit(path)
    prefix = location.path.lstrip("/")
    excluded = json.loads(options.get("exclusions") or "[]")
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=location.netloc, Prefix=prefix)
    for item in (item for page in pages for item in page.get("Contents", [])):
        key = item["Key"]
        inside = key[len(prefix) :]
        if inside and not prefix.endswith("/") and prefix and not inside.startswith("/"):
            continue  # a sibling whose name only starts like the path
        names = [name for name in inside.split("/") if name]
        hidden = any(name.startswith(("_", ".")) for name in names)
        uri = f"s3://{location.netloc}/{key}"
        if key.endswith("/") or hidden or any(fnmatch.fnmatch(uri, pattern) for pattern in excluded):
            continue
        yield S3File(item["LastModified"], uri, item["ETag"])
