"""Whether a policy's checks fit the silver tables: columns exist, and arguments read as their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headwater.config.policy import (
    AnyBatchCheck,
    AtMostColumn,
    Between,
    InSet,
    Known,
    Matches,
    MeanBetween,
    NonNegative,
    Policy,
    Positive,
    RowPredicateCheck,
    Size,
)
from headwater.config.sql_type import NUMBERS, comparable, family, read_value
from headwater.config.strict import Place, unknown

Types = Mapping[str, str]
"""The Spark SQL type of each column of a table."""


def misfits(policy: Policy, tables: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    """What of a policy does not fit the silver tables: where within the policy, such as rows, 1, column, and what is wrong."""
    if policy.table not in tables:
        yield ("table",), unknown("table", policy.table, tables)
        return
    for field, checks in (("rows", policy.rows), ("batch", policy.batch)):
        for number, check in enumerate(checks):
            for argument, problem in _of_check(check, tables[policy.table], tables):
                yield (field, number, *argument), problem


def _of_check(
    check: RowPredicateCheck | Known | AnyBatchCheck, types: Types, tables: Mapping[str, Types]
) -> Iterator[tuple[Place, str]]:
    if isinstance(check, Size):
        return
    if check.that not in types:
        yield ("that",), unknown("column", check.that, types)
        return
    type_ = types[check.that]
    match check:
        case NonNegative() | Positive() | MeanBetween() if family(type_) not in NUMBERS:
            yield ("that",), f"{check.that} is a {type_}, no number"
        case Matches() if family(type_) != "text":
            yield ("that",), f"{check.that} is a {type_}, no text"
        case InSet(values=values):
            for number, value in enumerate(values):
                yield from _misread(("values", number), value, type_)
        case Between():
            yield from _of_bounds(check, type_)
        case AtMostColumn(column=column):
            yield from _incomparable(check.that, type_, column, types)
        case Known():
            yield from _of_known(check, type_, tables)


def _of_bounds(check: Between, type_: str) -> Iterator[tuple[Place, str]]:
    misread = [*_misread(("least",), check.least, type_), *_misread(("most",), check.most, type_)]
    yield from misread
    if not misread and read_value(check.least, type_) > read_value(check.most, type_):
        yield ("least",), f"{check.least} is above most, {check.most}: no row would hold"


def _of_known(check: Known, type_: str, tables: Mapping[str, Types]) -> Iterator[tuple[Place, str]]:
    if check.table in tables:
        yield from _incomparable(check.that, type_, check.column, tables[check.table])
    else:
        yield ("table",), unknown("table", check.table, tables)


def _misread(argument: Place, value: str, type_: str) -> Iterator[tuple[Place, str]]:
    try:
        read_value(value, type_)
    except ValueError as error:
        yield argument, str(error)


def _incomparable(that: str, type_: str, column: str, types: Types) -> Iterator[tuple[Place, str]]:
    if column not in types:
        yield ("column",), unknown("column", column, types)
    elif not comparable(type_, types[column]):
        yield ("column",), f"{column} is a {types[column]}, which a {type_}, as {that} is, cannot be held against"
