"""What the rows of a table are computed by, as its commits carry it: a declared change is noticed, and what differs is known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from headwater.config.environment import Environment
from headwater.config.gold import GoldTable
from headwater.config.project import Project, Stream
from headwater.config.stream import JsonStream, Order
from headwater.config.table import Column, MergeWrite, ReplaceWrite, Scd2Write, Table, Write

_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_LENGTH = re.compile(r"(?:var)?char\((\d+)\)")
_ANY = 2**31
_OTHER_NAMES = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    "real": "float",
    "dec": "decimal",
    "numeric": "decimal",
    "timestamp_ltz": "timestamp",
}


@dataclass(frozen=True)
class Difference:
    """One thing in which a declaration differs from that by which rows were computed; whether these have to be computed anew."""

    what: str
    rebuilds: bool


class _Told(BaseModel):
    # Without `extra="forbid"`: what a later version adds is nothing to an earlier one.
    model_config = ConfigDict(frozen=True)


class Expressions(_Told):
    """What a stream tells of its table's columns: expressions by column, those of its parsers, and what makes a row newer."""

    order: Order
    columns: dict[str, str | None] = {}
    parsers: dict[str, dict[str, str]] = {}

    def of(self, column: str) -> str:
        """The expression of a column; the raw field of its own name where none is declared."""
        return self.columns.get(column, f"`{column}`") or "null"

    def shapes(self, column: str) -> dict[str | None, str]:
        """The expressions of a column by parser; that of rows that no parser is for by None."""
        return {None: self.of(column)} | {name: told[column] for name, told in self.parsers.items() if column in told}


class Definition(_Told):
    """What a silver table's rows are computed by: types and rules by column, key, version, write, and the expressions of each stream.

    `unfilled` are columns that were declared after rows had come, which lack them until the table is rebuilt. Streams that were
    declared once and are no more stay here, as long as the table may have rows of them.
    """

    columns: dict[str, str]
    key: tuple[str, ...]
    version: str | None = None
    write: Write = MergeWrite()
    rules: dict[str, dict[str, Any]] = {}
    streams: dict[str, Expressions]
    unfilled: tuple[str, ...] = ()

    @classmethod
    def of(cls, project: Project, table: Table) -> Self:
        """The definition that is declared."""
        return cls(
            columns={name: spelled(column.type) for name, column in table.columns.items()},
            key=table.key,
            version=table.version,
            write=table.write,
            rules={name: rules for name, column in table.columns.items() if (rules := _rules(column))},
            streams={
                f"{source}.{name}": _expressions(stream, table)
                for source, name, stream in feeding(project, table.table)
            },
        )

    def differences(self, now: Definition) -> list[Difference]:
        """Lists in what a declaration differs from this one, in the order of the declaration."""
        return [*self._of_columns(now), *self._of_table(now), *self._of_streams(now)]

    def _of_columns(self, now: Definition) -> Iterator[Difference]:
        for name, type_ in now.columns.items():
            before = self.columns.get(name)
            if before is None:
                yield Difference(f"column {name} is new", rebuilds=False)
            elif before != type_:
                yield Difference(f"column {name} is {type_}, and was {before}", rebuilds=not _longer(type_, before))
            elif self.rules.get(name) != now.rules.get(name):
                was = _ruled(self.rules.get(name))
                yield Difference(f"column {name} has {_ruled(now.rules.get(name))}, and had {was}", rebuilds=True)
        for name in (name for name in self.columns if name not in now.columns):
            yield Difference(f"column {name} is declared no more, and kept", rebuilds=False)

    def _of_table(self, now: Definition) -> Iterator[Difference]:
        if self.key != now.key:
            yield Difference(f"key is {', '.join(now.key)}, and was {', '.join(self.key)}", rebuilds=True)
        if self.version != now.version:
            yield Difference(f"version is {now.version}, and was {self.version}", rebuilds=True)
        if self.write != now.write:
            yield Difference(f"write is {_said(now.write)}, and was {_said(self.write)}", rebuilds=True)

    def _of_streams(self, now: Definition) -> Iterator[Difference]:
        for stream, told in now.streams.items():
            before = self.streams.get(stream)
            if before is None:
                yield Difference(f"stream {stream} is new", rebuilds=False)
                continue
            if before.order != told.order:
                yield Difference(f"{stream} orders rows by {told.order}, and did by {before.order}", rebuilds=True)
            for name in (name for name in now.columns if name in self.columns):
                if before.of(name) != told.of(name):
                    yield Difference(
                        f"{stream} tells {name} by {told.of(name)}, and did by {before.of(name)}", rebuilds=True
                    )
                for parser in (parser for parser in told.parsers if parser in before.parsers):
                    if before.parsers[parser].get(name) != told.parsers[parser].get(name):
                        yield Difference(f"parser {parser} of {stream} tells {name} otherwise", rebuilds=True)
        for stream in self.gone(now):
            yield Difference(f"stream {stream} is declared no more, and its rows are kept", rebuilds=False)

    def gone(self, now: Definition) -> list[str]:
        """Lists the streams that are declared no more."""
        return sorted(self.streams.keys() - now.streams.keys())

    def of_table(self, there: Mapping[str, str]) -> Definition:
        """This one for a table that says nothing of its own, as an earlier version has left it: of the columns that are there.

        `there` are their types as `spelled`, by name in lower case.
        """
        columns = {name: there[name.lower()] for name in self.columns if name.lower() in there}
        same = {name: self.columns[name] for name, type_ in columns.items() if stored(self.columns[name]) == type_}
        return self.model_copy(update={"columns": columns | same, "rules": {}})

    def carried_on(self, now: Definition) -> Definition:
        """What a commit after this one carries, which computes nothing anew: a declaration, and what this one remembers."""
        new = [name for name in now.columns if name not in self.columns]
        unfilled = dict.fromkeys(name for name in (*self.unfilled, *new) if name in now.columns)
        return now.model_copy(update={"streams": {**self.streams, **now.streams}, "unfilled": tuple(unfilled)})


def feeding(project: Project, table: str) -> list[tuple[str, str, Stream]]:
    """Lists the streams that feed a silver table: source, name and what is declared."""
    return [
        (source.name, name, stream)
        for source in project.sources.values()
        for name, stream in source.streams.items()
        if stream.table == table
    ]


def spelled(type_: str) -> str:
    """Spells a type in one way, as Delta does: of two names of one type the shorter, without blanks."""
    text = _WORD.sub(lambda word: _OTHER_NAMES.get(word[0], word[0]), re.sub(r"\s+", "", type_.lower()))
    return re.sub(r"decimal(\((\d+)\))?(?![(\w])", lambda found: f"decimal({found[2] or 10},0)", text)


def stored(type_: str) -> str:
    """The type by which Delta stores a declared one: a text of any length is a string."""
    return _LENGTH.sub("string", spelled(type_))


def _longer(type_: str, before: str) -> bool:
    """True where a text may only be longer than before: it is stored as it was."""
    lengths = [int(found[1]) if (found := _LENGTH.fullmatch(text)) else _ANY for text in (type_, before)]
    return stored(type_) == stored(before) == "string" and lengths[0] >= lengths[1]


def gold_values(environment: Environment) -> dict[str, str]:
    """What stands in place of the placeholders of gold's queries."""
    return {
        "reporting_currency": environment.reporting_currency,
        "business_time_zone": environment.business_time_zone,
        "attribution_days": str(environment.attribution_days),
    }


def definition_of(declared: GoldTable, values: Mapping[str, str]) -> str:
    """Names what a gold table's rows are computed by: its queries, its columns, and what stands in place of their placeholders."""
    columns = {name: column.type for name, column in declared.columns.items()}
    shared = {name: query.rows for name, query in declared.shared.items()}
    queries = [declared.affected, declared.rows, *shared.values()]
    placeholders = {name for query in queries for name in Template(query).get_identifiers()}
    used = {name: value for name, value in values.items() if name in placeholders}
    told = [declared.affected, declared.rows, declared.grain, columns, shared, used]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _expressions(stream: Stream, table: Table) -> Expressions:
    parsers = stream.parsers if isinstance(stream, JsonStream) else {}
    return Expressions(
        order=stream.order,
        columns={name: stream.columns[name] for name in table.columns if name in stream.columns},
        parsers={name: dict(parser.columns) for name, parser in parsers.items()},
    )


def _rules(column: Column) -> dict[str, Any]:
    rules = column.model_dump(mode="json", include={"made", "possible", "missing"}, exclude_none=True)
    return {**rules, "edition": column.made.edition} if column.made else rules


def _ruled(rules: Mapping[str, Any] | None) -> str:
    return json.dumps(rules) if rules else "no rule"


def _said(write: Write) -> str:
    match write:
        case ReplaceWrite(account=account, day=day):
            return f"replace by {account} and {day}"
        case Scd2Write(ignore=ignore) if ignore:
            return f"scd2 without {', '.join(ignore)}"
        case _:
            return write.kind
