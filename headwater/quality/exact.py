"""Casts that give a value back: a value as another type where it is the same value there, and NULL where it would be another.

Spark's own casts round, cut off, wrap around and guess without a word. All of this is column expressions.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from headwater.lake.columns import MICROSECONDS

_BITS: dict[type[T.DataType], int] = {T.ByteType: 8, T.ShortType: 16, T.IntegerType: 32, T.LongType: 64}
_DIGITS: dict[type[T.DataType], int] = {T.FloatType: 24, T.DoubleType: 53}
_INTEGER = T.DecimalType(38, 0)

# Bounded, since a cast to decimal works through each digit: half a minute for 1e-9999999, and ten times that for a nine more.
_PLAIN = r"^\s*[+-]?(?=\.?[0-9])[0-9]{{0,99}}(\.[0-9]{{0,{scale}}}0{{0,99}})?\s*\z"
_SCIENTIFIC = r"^\s*[+-]?([0-9]{1,99}\.?[0-9]{0,99}|\.[0-9]{1,99})[eE][+-]?[0-9]{1,3}\s*\z"
_FLOAT = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*\z"
_NO_NUMBER = r"(?i)^\s*(nan|[+-]?inf(inity)?)\s*\z"
_WORD = r"^\s*[A-Za-z01]+\s*\z"
_ZERO = r"^[^1-9]*([eE]|\z)"
_DAY = r"^\s*(?!0000)[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_DATE = rf"{_DAY}([ T]00:00(:00(\.0{{1,9}})?)?(Z|[+-]00:?00)?)?\s*\z"
_MOMENT = (
    rf"{_DAY}([ T][0-9]{{1,2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}}0{{0,99}})?"
    r"( ?(Z|UTC|GMT|[+-][0-9]{1,2}(:?[0-9]{2})?))?)?)?\s*\z"
)


def exact(value: Column, given: T.DataType, wanted: T.DataType) -> Column:
    """Casts a value of type `given`; NULL where it is NULL, or would be another value as `wanted`.

    A number in a text may be written in any way: blanks around it, `+5`, `007`, `10.50` and `1e3` are numbers. A date or a
    timestamp has year, month and day; a float is the nearest that there is to a text. A nested value in a text is JSON.
    """
    match given, wanted:
        case _ if _alike(given, wanted):
            return value.cast(wanted)
        case T.StringType(), _:
            return _read(value, wanted)
        case _, (T.VarcharType() | T.CharType()):
            return _read(exact(value, given, T.StringType()), wanted)
        case _, T.StringType():
            return _text(value, given)
        case ((T.NumericType() | T.BooleanType()), (T.NumericType() | T.BooleanType())):
            return _number(value, given, wanted)
        case (
            (T.DateType() | T.TimestampType() | T.TimestampNTZType()),
            (T.DateType() | T.TimestampType() | T.TimestampNTZType()),
        ):
            return _if_back(value, value.cast(wanted), given)
        case T.ArrayType(), T.ArrayType():
            made = F.transform(value, lambda item: exact(item, given.elementType, wanted.elementType))
            return F.when(_nulls(value) == _nulls(made), made)
        case T.MapType(), T.MapType() if _alike(given.keyType, wanted.keyType):
            made = F.transform_values(value, lambda _, item: exact(item, given.valueType, wanted.valueType))
            return F.when(_nulls(F.map_values(value)) == _nulls(F.map_values(made)), made)
        case T.StructType(), T.StructType() if given.names == wanted.names:
            return _struct(value, given, wanted)
    return F.lit(None).cast(wanted)


def _alike(one: T.DataType, other: T.DataType) -> bool:
    """Whether two types are the same but for where they may hold NULL."""
    match one, other:
        case T.ArrayType(), T.ArrayType():
            return _alike(one.elementType, other.elementType)
        case T.MapType(), T.MapType():
            return _alike(one.keyType, other.keyType) and _alike(one.valueType, other.valueType)
        case T.StructType(), T.StructType():
            pairs = zip(one.fields, other.fields, strict=False)
            return one.names == other.names and all(_alike(a.dataType, b.dataType) for a, b in pairs)
    return one == other


def _nulls(items: Column) -> Column:
    return F.size(F.filter(items, lambda item: item.isNull()))


def _struct(value: Column, given: T.StructType, wanted: T.StructType) -> Column:
    pairs = [
        (value[a.name], exact(value[a.name], a.dataType, b.dataType).alias(b.name))
        for a, b in zip(given.fields, wanted.fields, strict=True)
    ]
    lost = F.lit(False)
    for before, after in pairs:
        lost = lost | (before.isNotNull() & after.isNull())
    return F.when(value.isNotNull() & ~lost, F.struct(*[after for _, after in pairs]))


def _if_back(value: Column, made: Column, given: T.DataType) -> Column:
    """What a value was made into, if that gives the value back."""
    return F.when(made.cast(given) == value, made)


def _number(value: Column, given: T.DataType, wanted: T.DataType) -> Column:
    same = value.cast(wanted).cast(given) == value
    # Of a float that is too large Spark makes the largest integer, which gives the float back where that is its nearest one.
    if type(wanted) in _BITS and isinstance(given, T.FloatType | T.DoubleType):
        same = same & (value < 2.0 ** (_BITS[type(wanted)] - 1))
    elif _BITS.get(type(given), 0) > _DIGITS.get(type(wanted), 64):
        same = same & (value < 2 ** (_BITS[type(given)] - 1) - 1)
    return F.when(same, value.cast(wanted))


def _text(value: Column, given: T.DataType) -> Column:
    match given:
        case T.BinaryType():
            text = F.decode(value, "UTF-8")
            return F.when(F.encode(text, "UTF-8") == value, text)
        case T.ArrayType() | T.MapType() | T.StructType():
            return F.to_json(value, {"ignoreNullFields": "false", **MICROSECONDS})
        case _:
            return value.cast("string")


def _read(text: Column, wanted: T.DataType) -> Column:
    """A text as a value of another type."""
    match wanted:
        case T.VarcharType(length=width) | T.CharType(length=width):
            return F.when(F.octet_length(text) <= width, text)
        case T.BinaryType():
            return text.cast(wanted)
        case T.BooleanType():
            return F.when(text.rlike(_WORD), text.cast(wanted))
        case T.DateType():
            return F.when(text.rlike(_DATE), text.cast(wanted))
        case T.TimestampType() | T.TimestampNTZType():
            return F.when(text.rlike(_MOMENT), text.cast(wanted))
        case T.FloatType() | T.DoubleType():
            number = text.cast(wanted)
            within = ~number.isin(float("inf"), float("-inf")) & ((number != 0) | text.rlike(_ZERO))
            return F.when((text.rlike(_FLOAT) & within) | text.rlike(_NO_NUMBER), number)
        case T.DecimalType(scale=scale):
            return _decimal(text, scale, text.cast(wanted), text.cast(wanted))
        case T.NumericType():
            return _decimal(text, 0, text.cast(wanted), exact(text.cast(_INTEGER), _INTEGER, wanted))
        case _:
            return F.lit(None).cast(wanted)


def _decimal(text: Column, scale: int, plain: Column, scientific: Column) -> Column:
    """A text as a number that has so many digits after the point: made in one of two ways, as it is written."""
    places = F.length(F.regexp_extract(text, r"\.([0-9]*)[eE]", 1))
    zeros = F.length(F.regexp_extract(F.translate(text, ".", ""), "(0*)[eE]", 1))
    exponent = F.regexp_extract(text, r"[eE]([+-]?[0-9]+)", 1).cast("int")
    fits = (places - zeros - exponent <= scale) | text.rlike(_ZERO)
    return F.when(text.rlike(_PLAIN.format(scale=scale)), plain).when(text.rlike(_SCIENTIFIC) & fits, scientific)
