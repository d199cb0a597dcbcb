"""Athena's answers with the types of their columns, by awswrangler: to compute with, and as files for other programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.client import Client
from headwater.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")
_POLL_SECONDS = 0.1


def read(client: Client, sql: str) -> pa.Table:
    """Runs one query in Athena and reads its rows, each column as Athena types it; QueryError when it is refused or cannot be typed.

    Arrays, maps and rows are text. An empty text arrives as null, and so does the text NaN: awswrangler reads a CSV.
    """
    # With its pandas it takes longer to import than all the rest, and only those who ask for types need it.
    import awswrangler as wr
    import pyarrow as pa

    try:
        frame = wr.athena.read_sql_query(
            sql,
            database=client.project.environment.database("gold"),
            workgroup=client.deployment.prefix,
            # Who queries needs no right to make tables or to remove results, which the bucket's own rules do.
            ctas_approach=False,
            keep_files=True,
            athena_query_wait_polling_delay=_POLL_SECONDS,
        )
    except (wr.exceptions.QueryFailed, wr.exceptions.QueryCancelled) as error:
        raise QueryError(f"Athena refused: {error}") from None
    except (wr.exceptions.UnsupportedType, ValueError) as error:
        hint = "hint: name each column differently, and CAST to text what is no plain type, such as an interval"
        raise QueryError(f"the answer has no types that fit: {error}. {hint}") from None
    if frame.columns.empty:
        raise QueryError("the statement has no rows to read. hint: SELECT")
    types = wr.athena.get_query_columns_types(frame.query_metadata["QueryExecutionId"])
    if len(types) != len(frame.columns):
        raise QueryError(f"two columns have one name: {', '.join(frame.columns)}. hint: name each column differently")
    read = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    return read.cast(pa.schema([_typed(field, types[field.name]) for field in read.schema]))


def write(rows: pa.Table, file: Path) -> None:
    """Writes a file as its suffix says: .parquet keeps the types, .csv is text."""
    from pyarrow import csv, parquet

    if file.suffix == ".parquet":
        parquet.write_table(rows, file)
    else:
        csv.write_csv(rows, file)


def _typed(field: pa.Field, kind: str) -> pa.Field:
    """Types a column of dates or decimals as Athena does: pandas has them as objects, whose type hangs on the rows."""
    import pyarrow as pa

    if kind == "date":
        return field.with_type(pa.date32())
    if found := re.fullmatch(r"decimal\((\d+),(\d+)\)", kind):
        return field.with_type(pa.decimal128(*map(int, found.groups())))
    return field
