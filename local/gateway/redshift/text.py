"""COPY of CSV and JSON."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

from psycopg import sql

from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.load import Load


def load_csv(load: Load) -> int:
    """Loads one file of CSV and returns its number of rows."""
    delimiter, quote = load.options.values.get("DELIMITER", ","), load.options.values.get("QUOTE", '"')
    said = {"DELIMITER": delimiter, "QUOTE": quote, "NULL": load.options.values.get("NULL", "")}
    settings = "".join(f", {name} {sql.Literal(value).as_string(load.session)}" for name, value in said.items())
    strings = [column.name for column in load.columns if column.length is not None]
    if strings and not {"EMPTYASNULL", "NULL"} & set(load.options.values):
        # An empty field is an empty string in Redshift, unless EMPTYASNULL says otherwise.
        settings += f", FORCE_NOT_NULL ({', '.join(sql.Identifier(name).as_string(load.session) for name in strings)})"
    skipped = int(load.options.values.get("IGNOREHEADER", 0))
    with _text_of(load) as text, load.rows(settings) as target:
        for _ in range(skipped):
            text.readline()
        while block := text.read(1 << 20):
            target.write(block)
    return max(target.cursor.rowcount, 0)


def load_json(load: Load) -> int:
    """Loads one file of JSON objects and returns their number."""
    loaded = 0
    with _text_of(load) as text, load.rows() as target:
        for row in _json_documents(text, f"s3://{load.bucket}/{load.key}"):
            folded = {name.lower(): value for name, value in row.items()}
            target.write(_csv_line(folded.get(column.name) for column in load.columns))
            loaded += 1
    return loaded


@contextmanager
def _text_of(load: Load) -> Iterator[io.BufferedIOBase]:
    with load.objects.filesystem().open_input_stream(f"{load.bucket}/{load.key}", compression=None) as stream:
        if "GZIP" in load.options or load.key.endswith(".gz"):
            with gzip.open(cast("Any", stream)) as unpacked:
                yield cast("io.BufferedIOBase", unpacked)
        else:
            yield stream


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
