"""COPY of the local warehouse: files in S3 to PostgreSQL, in the session's transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

import botocore.exceptions
import psycopg

from local.gateway.redshift.assumed import refuse_others
from local.gateway.redshift.lexemes import RedshiftError, identifier, lex, too_long
from local.gateway.redshift.load import Load
from local.gateway.redshift.options import (
    Options,
    bucket_and_key,
    need_authorization,
    parse_options,
    qualified_name,
    string_of,
)
from local.gateway.redshift.parquet import load_parquet
from local.gateway.redshift.table import Session, columns_of
from local.gateway.redshift.text import load_csv, load_json
from local.gateway.s3_objects import S3Objects

_COPY_OPTIONS = {
    "PARQUET": {"MANIFEST", "SERIALIZETOJSON"},
    "CSV": {
        "MANIFEST",
        "GZIP",
        "DELIMITER",
        "QUOTE",
        "NULL",
        "IGNOREHEADER",
        "EMPTYASNULL",
        "TIMEFORMAT",
        "DATEFORMAT",
    },
    "JSON": {"MANIFEST", "GZIP", "TIMEFORMAT", "DATEFORMAT"},
}


_LOADS: dict[str, Callable[[Load], int]] = {"PARQUET": load_parquet, "CSV": load_csv, "JSON": load_json}


def copy(session: Session, command: str, objects: S3Objects) -> int:
    """Carries out a COPY in the transaction of the session and returns the number of rows loaded.

    Raises RedshiftError that names the file and the column.
    """
    words = lex(command)
    table, at = qualified_name(words, 1)
    names: list[str] = []
    if words[at].text == "(":
        closing_at = next(index for index in range(at, len(words)) if words[index].text == ")")
        names = [identifier(word) for word in words[at + 1 : closing_at] if word.kind != "sign"]
        at = closing_at + 1
    if words[at].upper != "FROM" or words[at + 1].kind != "string":
        raise RedshiftError(f'syntax error at or near "{words[at].text}": COPY needs FROM and an S3 path')
    source = string_of(words[at + 1])
    options = parse_options(words[at + 2 :])
    need_authorization(options, "COPY")
    if role := options.values.get("IAM_ROLE"):
        refuse_others(session, role, "COPY")
        objects = objects.of_role(role)
    options.format = options.format or "CSV"
    if options.format not in _COPY_OPTIONS:
        raise RedshiftError(f"COPY FORMAT {options.format}: the local warehouse has {', '.join(_COPY_OPTIONS)}")
    options.refuse_others_than(_COPY_OPTIONS[options.format], "COPY")
    columns = columns_of(session, table, names)
    load = _LOADS[options.format]
    loaded = 0
    with objects.client() as client:
        for bucket, key in _files(client, source, options):
            try:
                loaded += load(Load(session, table, columns, options, objects, bucket, key))
            except psycopg.Error as error:
                raise RedshiftError(_load_error(error, bucket, key)) from None
    session.execute("SELECT set_config('redshift.last_copy_count', %s, false)", [str(loaded)])
    return loaded


def _files(client: Any, source: str, options: Options) -> list[tuple[str, str]]:
    bucket, key = bucket_and_key(source)
    if "MANIFEST" not in options:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        try:
            found = [entry["Key"] for page in pages for entry in page.get("Contents", []) if entry["Size"] > 0]
        except botocore.exceptions.ClientError as error:
            raise RedshiftError(f"S3ServiceException: {error.response['Error']['Message']}: {source}") from None
        if not found:
            raise RedshiftError(f"The specified S3 prefix '{key}' does not exist")
        return [(bucket, name) for name in found]
    document = _read_manifest(client, source)
    files: list[tuple[str, str]] = []
    for entry in document["entries"]:
        file_bucket, file_key = bucket_and_key(entry["url"])
        expected = entry.get("meta", {}).get("content_length")
        if options.format == "PARQUET" and expected is None:
            raise RedshiftError(
                f"Manifest {source}: meta.content_length is missing for {entry['url']}. COPY of Parquet needs it"
            )
        size = _size(client, file_bucket, file_key)
        if size is None:
            if entry.get("mandatory", False):
                raise RedshiftError(
                    f"Problem reading manifest file {source}: mandatory file {entry['url']} does not exist"
                )
            continue
        if expected is not None and size != expected:
            raise RedshiftError(f"Manifest {source}: {entry['url']} has {size} bytes, content_length says {expected}")
        files.append((file_bucket, file_key))
    return files


def _read_manifest(client: Any, source: str) -> dict[str, Any]:
    bucket, key = bucket_and_key(source)
    try:
        with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            document = json.loads(body.read())
    except botocore.exceptions.ClientError as error:
        # As S3 says it: what a role may not read is denied, and not missing.
        raise RedshiftError(
            f"Problem reading manifest file {source}: S3ServiceException: {error.response['Error']['Message']}"
        ) from None
    except ValueError as error:
        raise RedshiftError(f"Problem reading manifest file {source}: {error}") from None
    if not isinstance(document, dict) or not all("url" in entry for entry in document.get("entries", [{}])):
        raise RedshiftError(f"Problem reading manifest file {source}: it needs entries, each with a url")
    return document


def _size(client: Any, bucket: str, key: str) -> int | None:
    try:
        return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"])
    except botocore.exceptions.ClientError:
        return None


def _load_error(error: psycopg.Error, bucket: str, key: str) -> str:
    """Says which file and which column PostgreSQL refused, in Redshift's words for the common cases."""
    column = error.diag.column_name
    if found := too_long(error.diag.constraint_name):
        column = found[1]
    if column is None and (named := re.search(r"column ([^\s:,]+)", error.diag.context or "")):
        column = named.group(1).strip('"')
    message = error.diag.message_primary or str(error)
    match error:
        case psycopg.errors.NotNullViolation():
            message = "Missing data for not-null field"
        case psycopg.errors.StringDataRightTruncation() | psycopg.errors.CheckViolation():
            message = "String length exceeds DDL length"
        case psycopg.errors.NumericValueOutOfRange():
            message = f"Numeric data overflow (result precision): {message}"
        case _:
            pass
    return f"Load into table failed: {message}: column '{column}' of file s3://{bucket}/{key}"
