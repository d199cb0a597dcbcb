"""Texts that a database wrote become typed values; what a type does not hold is told beside the row, and stops nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.ledger.raw import UNREAD
from headwater.ledger.shape import Fields
from headwater.quality.exact import exact
from headwater.sources.jdbc.columns import Column

# What Spark's reader made of a moment that never ends; the other one it moved by two days.
_FOREVER = {
    T.TimestampType: ("9999-12-31 23:59:59.999", "0001-01-01 00:00:00"),
    T.DateType: ("9999-12-31", "0001-01-01"),
}


def typed_rows(rows: DataFrame, columns: Sequence[Column], known: Fields, texts: bool = False) -> DataFrame:
    """Gives the columns of rows, some or, with `texts`, all of which are texts, the types that a raw row has.

    A column that earlier batches had with another type keeps that: a value which it does not hold is NULL, and stands
    in UNREAD, `{"<column>": "<value as text>"}`, beside what stands there already. Other columns stay as they are.
    """
    made: dict[str, SparkColumn] = {}
    told: dict[str, SparkColumn] = {}
    for column in columns:
        value, given = F.col(f"`{column.raw}`"), rows.schema[column.raw].dataType
        wanted = _type(known.get(column.raw)) or (_type(column.type) if texts or column.text else given) or given
        if texts or column.text:
            made[column.raw] = _read(value, column.declared, wanted)
        elif given != wanted and given.simpleString() != wanted.simpleString():
            made[column.raw] = exact(value, given, wanted)
        else:
            continue
        told[column.raw] = F.when(value.isNotNull() & made[column.raw].isNull(), value.cast("string"))
    if not told:
        return rows
    pairs = F.array(*[F.struct(F.lit(name).alias("name"), value.alias("value")) for name, value in told.items()])
    lost = F.map_from_entries(F.filter(pairs, lambda pair: pair["value"].isNotNull()))
    if UNREAD in rows.columns:
        before = F.coalesce(F.from_json(UNREAD, "map<string, string>"), F.from_json(F.lit("{}"), "map<string, string>"))
        lost = F.map_concat(before, lost)
    unread = F.when(F.size(lost) > 0, F.to_json(lost)).alias(UNREAD)
    others = [made.get(name, F.col(f"`{name}`")).alias(name) for name in rows.columns if name != UNREAD]
    return rows.select(*others, unread)


def _type(name: str | None) -> T.DataType | None:
    """A type by its name in a manifest; None where that is none, or several."""
    plain = (name or "").rstrip("?")
    return T._parse_datatype_string(plain) if plain and "|" not in plain else None  # noqa: SLF001 - nothing public reads a type


def _read(text: SparkColumn, declared: str, wanted: T.DataType) -> SparkColumn:
    """Reads the text of a value, NULL where the type that is wanted does not hold it."""
    match wanted:
        case T.ArrayType(elementType=element):
            items = F.from_json(text, "array<string>")
            made = F.transform(items, lambda item: _read(item, declared.removesuffix("[]"), element))
            return F.when(_missing(items) == _missing(made), made)
        case T.BinaryType() if declared == "bytea":
            # A backslash, x, then hexadecimal digits.
            return F.unhex(F.substring(text, 3, 2**31 - 1))
        case T.TimestampType() if declared.startswith("time") and not declared.startswith("timestamp"):
            # As a time was read before it was a text.
            return exact(F.concat(F.lit("1970-01-01 "), text), T.StringType(), wanted)
        case T.TimestampType() | T.DateType():
            last, first = (F.lit(end).cast(wanted) for end in _FOREVER[type(wanted)])
            read = exact(text, T.StringType(), wanted)
            return F.when(text == "infinity", last).when(text == "-infinity", first).otherwise(read)
        case _:
            return exact(text, T.StringType(), wanted)


def _missing(items: SparkColumn) -> SparkColumn:
    return F.size(F.filter(items, lambda item: item.isNull()))


def types_of(rows: DataFrame) -> Mapping[str, str]:
    """The types of rows by column, but for what is told beside them."""
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields if field.name != UNREAD}
