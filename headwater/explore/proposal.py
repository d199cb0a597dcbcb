"""Proposes YAML to paste: a stream of a source, and the silver table that it feeds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

from headwater.explore.found import Found
from headwater.explore.relations import FILL_IN
from headwater.ledger.raw import ACCOUNT, ADDED

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
_LONGEST_NAME = 63


def column_name(field: str) -> str:
    """Makes the name of a column of a field's: words in lower case, joined by underscores."""
    name = "_".join(word.lower() for word in _WORD.findall(field)) or "field"
    return (name if name[0].isalpha() else f"f_{name}")[:_LONGEST_NAME]


def table_name(source: str, found: Found, taken: Collection[str]) -> str:
    """Names the silver table; after the source, too, where another stream has the short name."""
    if found.table is not None:
        return found.table
    name = column_name(found.name)
    return f"{source}_{name}" if name in taken else name


def stream_yaml(found: Found, table: str) -> str:
    """Writes what belongs below `streams:` of the source."""
    lines = [f"  {_inline(column_name(found.name))}:", f"    table: {table}"]
    lines += [f"    {name}: {_inline(value)}{_remark(value)}" for name, value in found.declares.items()]
    if found.raw:
        lines.append(f"    raw: {_inline([field.name for field in found.fields if field.name not in ADDED])}")
    others = {column: field for column, field in _columns(found).items() if column != field}
    if others:
        lines.append("    columns:")
        lines += [f"      {_inline(column)}: {_inline(_expression(field))}" for column, field in others.items()]
    return "\n".join(lines)


def table_yaml(found: Found, table: str) -> str:
    """Writes config/tables/<table>.yaml."""
    types = {field.name: field.type for field in found.fields}
    columns = _columns(found)
    by_field = {field: column for column, field in columns.items()}
    key = [by_field[field] for field in found.key] or [FILL_IN]
    lines = [f"table: {table}", f"owner: {FILL_IN}", f"note: {FILL_IN}", f"key: {_inline(key)}"]
    if found.version is not None:
        lines.append(f"version: {by_field[found.version]}")
    lines += ["write: { kind: merge }", "columns:"]
    lines += [
        f"  {_inline(column)}: {_inline({'type': types[field], 'note': FILL_IN})}" for column, field in columns.items()
    ]
    return "\n".join(lines)


def _remark(value: Any) -> str:
    match value:
        case {"kind": "bookmark"}:
            return " # only where rows are never changed; else a watermark, a column that moves with every change"
        case {"kind": "FILL_IN", "total": _}:
            return " # offset or page, with its param: the answer has only some of the rows that it counts"
        case _:
            return ""


def _columns(found: Found) -> dict[str, str]:
    """The field that each column is of; two fields of one name by case alone get a number."""
    columns: dict[str, str] = {}
    for field in found.fields:
        own = "account_id" if field.name == ACCOUNT else column_name(field.name)
        name = next(name for name in _numbered(own) if name not in columns)
        columns[name] = field.name
    return columns


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name[: _LONGEST_NAME - 4]}_{number}"
        number += 1


def _expression(field: str) -> str:
    """The Spark SQL expression of a field."""
    return field if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", field) else f"`{field.replace('`', '``')}`"


def _inline(value: Any) -> str:
    """Writes a value as YAML of one line."""

    def dumped(*, letters: bool) -> str:
        text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=letters)
        return text.removesuffix("\n").removesuffix("...").rstrip("\n")

    told = dumped(letters=True)
    if not told.isprintable():
        # What YAML takes for a line's end would not come back.
        told = dumped(letters=False)
    return f"{{ {told[1:-1]} }}" if isinstance(value, Mapping) and told != "{}" else told
