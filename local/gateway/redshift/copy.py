"""COPY and UNLOAD of the local warehouse: files in S3 to and from PostgreSQL, in the session's transaction.

Parquet is loaded as Redshift does it: columns by position, never by name, and without any conversion of types.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

import botocore.exceptions
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from psycopg import sql
from pyarrow.fs import FileSystem

from local.gateway.redshift.sql import Lexeme, RedshiftError, identifier, lex, translate
from local.gateway.s3_objects import S3Objects

Session = psycopg.Connection[tuple[Any, ...]]

_BATCH_ROWS = 65_536
_CREDENTIALS = {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"}
_WITH_A_VALUE = _CREDENTIALS | {
    "REGION", "DELIMITER", "QUOTE", "NULL", "IGNOREHEADER", "STATUPDATE", "COMPUPDATE", "TIMEFORMAT", "DATEFORMAT",
    "MAXFILESIZE", "ROWGROUPSIZE", "PARALLEL", "MAXERROR", "EXTENSION", "ENCODING",
}  # fmt: skip
_WITHOUT_MEANING = _CREDENTIALS | {
    "REGION", "STATUPDATE", "COMPUPDATE", "FORMAT", "ACCEPTINVCHARS", "ENCRYPTED", "AUTO", "ROWGROUPSIZE",
}  # fmt: skip
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
_PARQUET_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "smallint": lambda kind: kind in {pa.int8(), pa.int16(), pa.int32()},
    "integer": lambda kind: kind in {pa.int8(), pa.int16(), pa.int32()},
    "bigint": lambda kind: kind == pa.int64(),
    "real": lambda kind: kind == pa.float32(),
    "double precision": lambda kind: kind == pa.float64(),
    "boolean": lambda kind: kind == pa.bool_(),
    "date": lambda kind: bool(pa.types.is_date(kind)),
    "timestamp without time zone": lambda kind: bool(pa.types.is_timestamp(kind)),
    "timestamp with time zone": lambda kind: bool(pa.types.is_timestamp(kind)),
    "character varying": lambda kind: kind in {pa.string(), pa.large_string()},
    "character": lambda kind: kind in {pa.string(), pa.large_string()},
    "bytea": lambda kind: kind in {pa.binary(), pa.large_binary()},
    "numeric": lambda kind: bool(pa.types.is_decimal(kind)),
    "jsonb": lambda kind: True,  # noqa: ARG005 - SUPER holds anything
}
_UNLOADED_TYPES = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "bytea": pa.binary(),
}
_UNLOAD_OPTIONS = {
    "MANIFEST",
    "VERBOSE",
    "ALLOWOVERWRITE",
    "CLEANPATH",
    "PARALLEL",
    "MAXFILESIZE",
    "PARTITION",
    "INCLUDE",
}


@dataclass
class _Options:
    """What follows the source or the target of a COPY or an UNLOAD."""

    format: str = ""
    values: dict[str, str] = field(default_factory=dict)
    partition_by: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def refuse_others_than(self, known: set[str], command: str) -> None:
        if unknown := sorted(set(self.values) - known - _WITHOUT_MEANING):
            raise RedshiftError(f"{command} with {self.format} does not support {', '.join(unknown)}")


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    """As PostgreSQL's format_type says it, without the modifier: `character varying`, `numeric`."""
    modifier: int
    not_null: bool
    identity: bool

    @property
    def length(self) -> int | None:
        """Greatest number of bytes of a string column."""
        is_string = self.type in {"character varying", "character"}
        return self.modifier - 4 if is_string and self.modifier >= 4 else None

    @property
    def precision_and_scale(self) -> tuple[int, int]:
        packed = self.modifier - 4
        return packed >> 16 & 0xFFFF, packed & 0x7FF

    @property
    def declared(self) -> str:
        """The type in Redshift's words."""
        match self.type:
            case "character varying":
                return f"VARCHAR({self.length})"
            case "character":
                return f"CHAR({self.length})"
            case "numeric":
                return "DECIMAL({}, {})".format(*self.precision_and_scale)
            case "jsonb":
                return "SUPER"
            case _:
                return self.type.upper()


def copy(session: Session, command: str, objects: S3Objects) -> int:
    """Carries out a COPY in the transaction of the session and returns the number of rows loaded.

    Raises RedshiftError that names the file and the column.
    """
    words = lex(command)
    table, at = _qualified_name(words, 1)
    names: list[str] = []
    if words[at].text == "(":
        closing_at = next(index for index in range(at, len(words)) if words[index].text == ")")
        names = [identifier(word) for word in words[at + 1 : closing_at] if word.kind != "sign"]
        at = closing_at + 1
    if words[at].upper != "FROM" or words[at + 1].kind != "string":
        raise RedshiftError(f'syntax error at or near "{words[at].text}": COPY needs FROM and an S3 path')
    source = _string(words[at + 1])
    options = _options(words[at + 2 :])
    _need_authorization(options, "COPY")
    options.format = options.format or "CSV"
    if options.format not in _COPY_OPTIONS:
        raise RedshiftError(f"COPY FORMAT {options.format}: the local warehouse has {', '.join(_COPY_OPTIONS)}")
    options.refuse_others_than(_COPY_OPTIONS[options.format], "COPY")
    columns = _columns(session, table, names)
    load = {"PARQUET": _load_parquet, "CSV": _load_csv, "JSON": _load_json}[options.format]
    loaded = 0
    with objects.client() as client:
        for bucket, key in _files(client, source, options):
            try:
                loaded += load(session, table, columns, options, objects, bucket, key)
            except psycopg.Error as error:
                raise RedshiftError(_load_error(error, bucket, key)) from None
    session.execute("SELECT set_config('redshift.last_copy_count', %s, false)", [str(loaded)])
    return loaded


def unload(session: Session, command: str, objects: S3Objects) -> int:
    """Carries out an UNLOAD to typed Parquet files and returns the number of rows written."""
    words = lex(command)
    if [word.kind for word in words[1:4]] != ["sign", "string", "sign"] or words[4].upper != "TO":
        raise RedshiftError("syntax error: UNLOAD ('select …') TO 's3://…'")
    query = translate(_string(words[2])).sql[0]
    target = _string(words[5])
    options = _options(words[6:])
    _need_authorization(options, "UNLOAD")
    if options.format != "PARQUET":
        raise RedshiftError(f"UNLOAD FORMAT {options.format or 'TEXT'}: the local warehouse writes PARQUET")
    options.refuse_others_than(_UNLOAD_OPTIONS, "UNLOAD")
    bucket, prefix = _bucket_and_key(target)
    with objects.client() as client:
        _make_room(client, bucket, prefix, options)
        writer = _ParquetUnload(objects.filesystem(), bucket, prefix, options)
        with session.cursor(name="unload") as cursor:
            cursor.execute(query.encode())
            writer.write(cursor)
        if "MANIFEST" in options:
            manifest = writer.manifest(verbose="VERBOSE" in options)
            client.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=json.dumps(manifest).encode())
    return writer.rows


def _string(lexeme: Lexeme) -> str:
    return lexeme.text[1:-1].replace("''", "'")


def _qualified_name(words: list[Lexeme], at: int) -> tuple[list[str], int]:
    parts = [identifier(words[at])]
    at += 1
    while words[at].text == ".":
        parts.append(identifier(words[at + 1]))
        at += 2
    return parts, at


def _options(words: list[Lexeme]) -> _Options:
    options = _Options()
    at = 0
    while at < len(words):
        name = words[at].upper
        at += 1
        if name in {"AS", "FORMAT"}:
            continue
        following = words[at] if at < len(words) else None
        if following is not None and following.upper == "AS" and name in _WITH_A_VALUE:
            at += 1
            following = words[at]
        if name in {"PARQUET", "CSV", "JSON", "ORC", "AVRO"}:
            options.format = name
            if name == "JSON" and following is not None and following.kind == "string":
                if _string(following) not in {"auto", "auto ignorecase"}:
                    raise RedshiftError(f"COPY JSON '{_string(following)}': the local warehouse knows 'auto'")
                at += 1
        elif name == "PARTITION":
            closing_at = next(index for index in range(at, len(words)) if words[index].text == ")")
            options.partition_by = [identifier(word) for word in words[at + 2 : closing_at] if word.kind != "sign"]
            options.values[name] = ""
            at = closing_at + 1
        elif name in _WITH_A_VALUE and following is not None:
            options.values[name] = _string(following) if following.kind == "string" else following.text
            at += 1
            if name == "MAXFILESIZE" and at < len(words) and words[at].upper in {"MB", "GB"}:
                options.values["MAXFILESIZE"] += words[at].upper
                at += 1
        else:
            options.values[name] = ""
    return options


def _need_authorization(options: _Options, command: str) -> None:
    if not {"IAM_ROLE", "CREDENTIALS", "ACCESS_KEY_ID"} & set(options.values):
        raise RedshiftError(f"{command}: CREDENTIALS argument is not supplied. hint: IAM_ROLE 'arn:…'")


def _bucket_and_key(url: str) -> tuple[str, str]:
    match = re.fullmatch(r"s3://([^/]+)/?(.*)", url)
    if match is None:
        raise RedshiftError(f"The S3 path {url!r} is not s3://bucket/key")
    return match.group(1), match.group(2)


def _columns(session: Session, table: list[str], names: list[str]) -> list[_Column]:
    rows = session.execute(
        """SELECT attname, format_type(atttypid, NULL), atttypmod, attnotnull, attidentity <> '' FROM pg_attribute
           WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
        [sql.Identifier(*table).as_string(session)],
    ).fetchall()
    columns = {row[0]: _Column(*row) for row in rows}
    if missing := [name for name in names if name not in columns]:
        raise RedshiftError(f'column "{missing[0]}" of relation "{".".join(table)}" does not exist')
    return (
        [columns[name] for name in names] if names else [column for column in columns.values() if not column.identity]
    )


def _files(client: Any, source: str, options: _Options) -> list[tuple[str, str]]:
    bucket, key = _bucket_and_key(source)
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
        file_bucket, file_key = _bucket_and_key(entry["url"])
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
    bucket, key = _bucket_and_key(source)
    try:
        with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            document = json.loads(body.read())
    except botocore.exceptions.ClientError:
        raise RedshiftError(f"Problem reading manifest file {source}: it does not exist") from None
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


def _load_parquet(
    session: Session,
    table: list[str],
    columns: list[_Column],
    options: _Options,
    objects: S3Objects,
    bucket: str,
    key: str,
) -> int:
    file = f"https://s3.amazonaws.com/{bucket}/{key}"
    loaded = 0
    with objects.filesystem().open_input_file(f"{bucket}/{key}") as stream:
        try:
            parquet = pq.ParquetFile(stream)
        except pa.ArrowInvalid:
            raise RedshiftError(
                f"Spectrum Scan Error: File '{file}' has an invalid version number: no Parquet"
            ) from None
        schema = parquet.schema_arrow
        if len(schema) != len(columns):
            raise RedshiftError(
                "Spectrum Scan Error code: 15007 context: Unmatched number of columns between table and file. "
                f"Table columns: {len(columns)}, Data columns: {len(schema)}, File name: {file}"
            )
        for column, parquet_field in zip(columns, schema, strict=True):
            _refuse_incompatible(column, parquet_field, file, as_json="SERIALIZETOJSON" in options)
        with _copy_into(session, table, columns, "") as target:
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
                arrays = [_loadable(column, array, file) for column, array in zip(columns, batch.columns, strict=True)]
                target.write(_csv(pa.table(arrays, names=[str(index) for index in range(len(arrays))])))
                loaded += batch.num_rows
    return loaded


def _refuse_incompatible(column: _Column, parquet_field: pa.Field, file: str, *, as_json: bool) -> None:
    """Redshift reads Parquet without converting: a 32-bit integer is no BIGINT, a decimal has its column's bytes."""
    kind = parquet_field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    fits = _PARQUET_TYPES.get(column.type, lambda kind: False)(kind)  # noqa: ARG005
    if fits and column.type == "numeric":
        precision, scale = column.precision_and_scale
        fits = kind.scale == scale
        expected, found = _decimal_bytes(precision), _decimal_bytes(kind.precision)
        if fits and expected != found:
            raise RedshiftError(
                f"Spectrum Scan Error code: 15001 context: File '{file}' column '{parquet_field.name}' has an invalid "
                f"type length. Expecting: {expected} len in file: {found}"
            )
    if pa.types.is_nested(kind) and fits and not as_json:
        raise RedshiftError(
            f"File '{file}' has the nested column '{parquet_field.name}'. hint: FORMAT PARQUET SERIALIZETOJSON"
        )
    if not fits:
        raise RedshiftError(
            f"Spectrum Scan Error code: 15007 context: File '{file}' has an incompatible Parquet schema for column "
            f"'{column.name}'. Column type: {column.declared}, Parquet schema: optional {kind} {parquet_field.name}"
        )


def _decimal_bytes(precision: int) -> int:
    """Least number of bytes that hold a signed decimal of this many digits."""
    bits = int(10**precision - 1).bit_length() + 1
    return (bits + 7) // 8


def _loadable(column: _Column, array: pa.Array, file: str) -> pa.Array:
    """Checks what Redshift checks before PostgreSQL could, and turns nested values into JSON."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if column.not_null and array.null_count:
        raise RedshiftError(f"Missing data for not-null field: column '{column.name}' of File '{file}'")
    if pa.types.is_nested(array.type):
        return pa.array(
            [None if value is None else json.dumps(value, default=str) for value in array.to_pylist()], pa.string()
        )
    if pa.types.is_binary(array.type):
        return pa.array([None if value is None else f"\\x{value.hex()}" for value in array.to_pylist()], pa.string())
    if column.length is not None:
        longest = pc.max(pc.binary_length(array)).as_py()
        if longest is not None and longest > column.length:
            raise RedshiftError(
                f"Spectrum Scan Error code: 15001 context: The length of the data column {column.name} is longer than "
                f"the length defined in the table. Table: {column.length}, Data: {longest}, File name: {file}"
            )
    return array


def _csv(rows: pa.Table) -> memoryview:
    written = io.BytesIO()
    pa_csv.write_csv(rows, written, pa_csv.WriteOptions(include_header=False))
    return written.getbuffer()


@contextmanager
def _copy_into(session: Session, table: list[str], columns: list[_Column], options: str) -> Iterator[psycopg.Copy]:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv{})").format(
        sql.Identifier(*table),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.SQL(cast("Any", options)),
    )
    with session.cursor() as cursor, cursor.copy(statement) as target:
        yield target


@contextmanager
def _text_of(objects: S3Objects, bucket: str, key: str, options: _Options) -> Iterator[io.BufferedIOBase]:
    with objects.filesystem().open_input_stream(f"{bucket}/{key}", compression=None) as stream:
        if "GZIP" in options or key.endswith(".gz"):
            with gzip.open(cast("Any", stream)) as unpacked:
                yield cast("io.BufferedIOBase", unpacked)
        else:
            yield stream


def _load_csv(
    session: Session,
    table: list[str],
    columns: list[_Column],
    options: _Options,
    objects: S3Objects,
    bucket: str,
    key: str,
) -> int:
    delimiter, quote = options.values.get("DELIMITER", ","), options.values.get("QUOTE", '"')
    said = {"DELIMITER": delimiter, "QUOTE": quote, "NULL": options.values.get("NULL", "")}
    settings = "".join(f", {name} {sql.Literal(value).as_string(session)}" for name, value in said.items())
    strings = [column.name for column in columns if column.length is not None]
    if strings and not {"EMPTYASNULL", "NULL"} & set(options.values):
        # An empty field is an empty string in Redshift, unless EMPTYASNULL says otherwise.
        settings += f", FORCE_NOT_NULL ({', '.join(sql.Identifier(name).as_string(session) for name in strings)})"
    skipped = int(options.values.get("IGNOREHEADER", 0))
    with _text_of(objects, bucket, key, options) as text, _copy_into(session, table, columns, settings) as target:
        for _ in range(skipped):
            text.readline()
        while block := text.read(1 << 20):
            target.write(block)
    return max(target.cursor.rowcount, 0)


def _load_json(
    session: Session,
    table: list[str],
    columns: list[_Column],
    options: _Options,
    objects: S3Objects,
    bucket: str,
    key: str,
) -> int:
    loaded = 0
    with _text_of(objects, bucket, key, options) as text, _copy_into(session, table, columns, "") as target:
        for row in _json_documents(text, f"s3://{bucket}/{key}"):
            folded = {name.lower(): value for name, value in row.items()}
            target.write(_csv_line(folded.get(column.name) for column in columns))
            loaded += 1
    return loaded


def _json_documents(text: io.BufferedIOBase, file: str) -> Iterator[Mapping[str, Any]]:
    """One document after another, on lines or not."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    remaining = text.read().decode()
    at = 0
    while (at := len(remaining) - len(remaining[at:].lstrip())) < len(remaining):
        try:
            document, at = decoder.raw_decode(remaining, at)
        except ValueError as error:
            raise RedshiftError(f"Load into table failed: invalid JSON in {file}: {error}") from None
        yield from document if isinstance(document, list) else [document]


def _csv_line(values: Iterable[Any]) -> str:
    """One CSV line in which NULL is nothing, and an empty string a pair of quotes."""
    said = (json.dumps(value, default=str) if isinstance(value, dict | list) else value for value in values)
    return ",".join("" if value is None else '"{}"'.format(str(value).replace('"', '""')) for value in said) + "\n"


def _load_error(error: psycopg.Error, bucket: str, key: str) -> str:
    """Says which file and which column PostgreSQL refused, in Redshift's words for the common cases."""
    column = error.diag.column_name
    if column is None and (named := re.search(r"column ([^\s:,]+)", error.diag.context or "")):
        column = named.group(1).strip('"')
    message = error.diag.message_primary or str(error)
    match error:
        case psycopg.errors.NotNullViolation():
            message = "Missing data for not-null field"
        case psycopg.errors.StringDataRightTruncation():
            message = "String length exceeds DDL length"
        case psycopg.errors.NumericValueOutOfRange():
            message = f"Numeric data overflow (result precision): {message}"
        case _:
            pass
    return f"Load into table failed: {message}: column '{column}' of file s3://{bucket}/{key}"


def _make_room(client: Any, bucket: str, prefix: str, options: _Options) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    try:
        taken = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    except botocore.exceptions.ClientError as error:
        raise RedshiftError(f"S3ServiceException: {error.response['Error']['Message']}: s3://{bucket}") from None
    if taken and not {"ALLOWOVERWRITE", "CLEANPATH"} & set(options.values):
        raise RedshiftError(
            "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, manually "
            f"removing the target files in S3, or using the ALLOWOVERWRITE option: s3://{bucket}/{prefix}"
        )
    if "CLEANPATH" in options:
        for key in taken:
            client.delete_object(Bucket=bucket, Key=key)


class _ParquetUnload:
    """Writes rows to Parquet files named as Redshift does, `<prefix>0000_part_00.parquet`, below `column=value/` if asked."""

    def __init__(self, filesystem: FileSystem, bucket: str, prefix: str, options: _Options) -> None:
        self.rows = 0
        self._filesystem = filesystem
        self._root = f"{bucket}/{prefix}"
        self._options = options
        self._single = options.values.get("PARALLEL", "ON").upper() in {"OFF", "FALSE"}
        self._largest = _bytes(options.values.get("MAXFILESIZE", "6200MB"))
        self._files: list[dict[str, Any]] = []
        self._open: dict[str, tuple[Any, pq.ParquetWriter, str, list[int]]] = {}
        self._parts: dict[str, int] = {}

    def write(self, cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> None:
        """Writes all rows of a cursor; the types of the files are those of its columns."""
        schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in cursor.description or []])
        if missing := [name for name in self._options.partition_by if name not in schema.names]:
            raise RedshiftError(f'UNLOAD: partition column "{missing[0]}" is not in the result')
        kept = [name for name in schema.names if name not in self._options.partition_by or "INCLUDE" in self._options]
        try:
            while rows := cursor.fetchmany(_BATCH_ROWS):
                self.rows += len(rows)
                columns = [
                    pa.array([_plain_value(row[index]) for row in rows], column.type)
                    for index, column in enumerate(schema)
                ]
                table = pa.Table.from_arrays(columns, schema=schema)
                for folder, part in self._by_partition(table):
                    self._append(folder, part.select(kept))
        finally:
            for folder in list(self._open):
                self._close(folder)

    def manifest(self, *, verbose: bool) -> dict[str, Any]:
        """The document that UNLOAD … MANIFEST leaves beside the files, fit for COPY … MANIFEST; VERBOSE counts rows too."""
        entries: list[dict[str, Any]] = [
            {"url": file["url"], "meta": {"content_length": file["bytes"]}} for file in self._files
        ]
        if not verbose:
            return {"entries": entries}
        for entry, file in zip(entries, self._files, strict=True):
            entry["meta"]["record_count"] = file["rows"]
        sizes = sum(file["bytes"] for file in self._files)
        return {"entries": entries, "meta": {"content_length": sizes, "record_count": self.rows}}

    def _by_partition(self, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        names = self._options.partition_by
        if not names:
            yield "", table
            return
        for key in table.select(names).group_by(names).aggregate([]).to_pylist():
            mask: Any = pa.array([True] * table.num_rows)
            for name, value in key.items():
                same = (
                    pc.is_null(table[name])
                    if value is None
                    else pc.equal(table[name], pa.scalar(value, table[name].type))
                )
                mask = pc.and_(mask, pc.fill_null(same, False))
            said = (f"{name}={'__HIVE_DEFAULT_PARTITION__' if value is None else value}" for name, value in key.items())
            yield "".join(f"{part}/" for part in said), table.filter(mask)

    def _append(self, folder: str, rows: pa.Table) -> None:
        if folder not in self._open:
            number = self._parts.get(folder, 0)
            self._parts[folder] = number + 1
            name = f"{number:03}.parquet" if self._single else f"0000_part_{number:02}.parquet"
            path = f"{self._root}{folder}{name}"
            stream = self._filesystem.open_output_stream(path)
            self._open[folder] = (stream, pq.ParquetWriter(stream, rows.schema), path, [0])
        stream, writer, _, count = self._open[folder]
        writer.write_table(rows)
        count[0] += rows.num_rows
        if stream.tell() >= self._largest:
            self._close(folder)

    def _close(self, folder: str) -> None:
        stream, writer, path, count = self._open.pop(folder)
        writer.close()
        self._files.append({"url": f"s3://{path}", "bytes": stream.tell(), "rows": count[0]})
        stream.close()


def _bytes(size: str) -> int:
    number = float(re.sub(r"[^\d.]", "", size))
    return int(number * (1 << 30 if size.upper().endswith("GB") else 1 << 20))


def _arrow_type(column: psycopg.Column) -> pa.DataType:
    kind = column.type_display.split("(", maxsplit=1)[0]
    if kind == "numeric":
        # PostgreSQL loses precision and scale in arithmetic; Redshift always has some.
        return pa.decimal128(column.precision or 38, column.scale if column.precision else 10)
    return _UNLOADED_TYPES.get(kind, pa.string())


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    if isinstance(value, int | float | str | bool | bytes | Decimal | date | datetime | None):
        return value
    return str(value)
