"""Translates Redshift's SQL to PostgreSQL's.

sqlglot does the bulk. What it cannot know is done here: physical design goes, keys are declared but not enforced, types
get Redshift's default lengths, identifiers fold to lower case even in quotes, and Redshift's restrictions on MERGE are
upheld.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import ErrorLevel, SqlglotError

from local.gateway.redshift.access import access_statement
from local.gateway.redshift.functions import COMPATIBILITY_SCHEMA
from local.gateway.redshift.lexemes import Lexeme, RedshiftError, lex

_DEFAULT_VARCHAR, _LONGEST_VARCHAR = 256, 65535
_DATE_PARTS = {
    "year": ("y", "yr", "yrs", "years"),
    "quarter": ("qtr", "qtrs", "quarters"),
    "month": ("mon", "mons", "months"),
    "week": ("w", "weeks"),
    "day": ("d", "days", "dayofmonth"),
    "hour": ("h", "hr", "hrs", "hours"),
    "minute": ("m", "min", "mins", "minutes"),
    "second": ("s", "sec", "secs", "seconds"),
    "milliseconds": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "microseconds": ("us", "usec", "usecs", "microsecond", "microseconds"),
}
_SERVER_SETTINGS = ("query_group", "wlm_query_slot_count", "enable_", "describe_field_name", "json_", "use_fips", "mv_")
# sqlglot knows them by AWS's page "Reserved words" of the Redshift database developer guide, which does not have this one.
_RESERVED = frozenset(word.strip() for word in Redshift.Generator.RESERVED_KEYWORDS) - {"type"}
_ROUTINES = {"PROCEDURE", "FUNCTION"}
_SAME_IN_POSTGRESQL = {
    "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "LOCK", "SET", "RESET", "SHOW", "CALL",
}  # fmt: skip


class Kind(Enum):
    """How a statement has to be carried out."""

    PLAIN = auto()
    COPY = auto()
    UNLOAD = auto()
    TRUNCATE = auto()
    VACUUM = auto()
    LATE_BINDING_VIEW = auto()
    ACCEPTED = auto()
    """Has no meaning here: server settings."""


_CARRIED_OUT_ELSEWHERE = {"COPY": Kind.COPY, "UNLOAD": Kind.UNLOAD, "TRUNCATE": Kind.TRUNCATE}


@dataclass(frozen=True)
class Statement:
    """One Redshift statement.

    `sql` is PostgreSQL, one string for each command; for COPY and UNLOAD it is the original text.
    """

    kind: Kind
    sql: tuple[str, ...] = ()


def translate(sql: str, parameters: Mapping[str, str] | None = None) -> Statement:
    """Turns one Redshift statement into what PostgreSQL has to run; `parameters` replace `:name`.

    Raises RedshiftError for what Redshift refuses and for what cannot be carried out here.
    """
    words = lex(sql)
    while words and words[-1].text == ";":
        words.pop()
    if not words:
        raise RedshiftError("query string is empty")
    # Without the comments before and the semicolons after it.
    text = sql[words[0].start : words[-1].end]
    words = lex(text)
    head = [word.upper for word in words]
    if not _ROUTINES & set(head[:4]) and any(word.kind == "sign" and word.text == ";" for word in words):
        raise RedshiftError("cannot insert multiple commands into a prepared statement")
    if head[0] in _CARRIED_OUT_ELSEWHERE:
        return Statement(_CARRIED_OUT_ELSEWHERE[head[0]], (text,))
    if head[0] == "VACUUM":
        return Statement(Kind.VACUUM, (_vacuum(words),))
    if _is_server_setting(head):
        return Statement(Kind.ACCEPTED)
    if (access := access_statement(text)) is not None:
        return Statement(Kind.PLAIN, access)
    if head[0] == "MERGE":
        return Statement(Kind.PLAIN, _merge(text, words, parameters))
    if head[-4:] == ["WITH", "NO", "SCHEMA", "BINDING"]:
        return Statement(Kind.LATE_BINDING_VIEW, (_plain(text[: words[-4].start], parameters),))
    return Statement(Kind.PLAIN, (_one_command(text, words, parameters),))


def parameters_of(sql: str) -> set[str]:
    """The names of the `:name` parameters that a statement uses."""
    words = lex(sql)
    return {
        after.text
        for sign, after in pairwise(words)
        if sign.text == ":" and after.kind == "word" and after.start == sign.end
    }


def _is_server_setting(head: list[str]) -> bool:
    match head:
        case ["SET", setting, *_]:
            return setting.lower().startswith(_SERVER_SETTINGS)
    return False


def _one_command(text: str, words: list[Lexeme], parameters: Mapping[str, str] | None) -> str:
    rest = text[words[1].start :] if len(words) > 1 else ""
    match [word.upper for word in words[:2]]:
        case [first, *_] if first in _SAME_IN_POSTGRESQL:
            return text
        case ["ANALYZE", *_]:
            return _analyze(words, text)
        case ["EXPLAIN", *_]:
            return f"EXPLAIN {_plain(rest, parameters)}"
        case ["DELETE", target] if target != "FROM":
            return _plain(f"DELETE FROM {rest}", parameters)
    if _creates_table(words):
        text = _without_physical_design(text, words)
    return _plain(text, parameters)


def _vacuum(words: list[Lexeme]) -> str:
    passed_over = {"FULL", "SORT", "ONLY", "DELETE", "REINDEX", "RECLUSTER", "BOOST"}
    table = ""
    for word in words[1:]:
        if word.upper == "TO":
            break
        if word.upper not in passed_over:
            table += word.text
    return f"VACUUM {table}".strip()


def _analyze(words: list[Lexeme], sql: str) -> str:
    if [word.upper for word in words[1:2]] == ["COMPRESSION"]:
        raise RedshiftError("ANALYZE COMPRESSION has no meaning without column encodings")
    if [word.upper for word in words[-2:]] in (["PREDICATE", "COLUMNS"], ["ALL", "COLUMNS"]):
        return sql[: words[-2].start]
    return sql


def _creates_table(words: list[Lexeme]) -> bool:
    after = [word.upper for word in words[1:4]] if words[0].upper == "CREATE" else []
    while after and after[0] in {"LOCAL", "TEMP", "TEMPORARY"}:
        after.pop(0)
    return after[:1] == ["TABLE"]


def _without_physical_design(sql: str, words: list[Lexeme]) -> str:
    """Cuts DISTKEY, DISTSTYLE, SORTKEY, ENCODE and BACKUP out of a CREATE TABLE."""
    cuts: list[tuple[int, int]] = []
    depth = 0
    at = 0
    starts_item = False
    while at < len(words):
        word = words[at]
        if depth == 0 and word.upper == "AS":
            break
        if word.text == "(":
            depth += 1
        elif word.text == ")":
            depth -= 1
        length = 0 if starts_item else _length_of_attribute(words, at, inside=depth > 0)
        starts_item = depth == 1 and word.text in {"(", ","}
        if length:
            cuts.append((word.start, words[at + length - 1].end))
        at += length or 1
    for start, end in reversed(cuts):
        sql = f"{sql[:start]} {sql[end:]}"
    return sql


def _length_of_attribute(words: list[Lexeme], at: int, *, inside: bool) -> int:
    """How many lexemes a physical attribute takes that starts here, 0 if none does; `inside` the list of columns or not."""
    word = words[at].upper
    following = words[at + 1].upper if at + 1 < len(words) else ""
    if word == "ENCODE" or (word in {"DISTSTYLE", "BACKUP"} and not inside):
        return 2
    if word in {"COMPOUND", "INTERLEAVED"} and following == "SORTKEY":
        return 1 + _length_of_attribute(words, at + 1, inside=inside)
    if word not in {"DISTKEY", "SORTKEY"}:
        return 0
    if following == "(":
        closing = next(index for index in range(at, len(words)) if words[index].text == ")")
        return closing - at + 1
    return 2 if following == "AUTO" else 1


def _merge(sql: str, words: list[Lexeme], parameters: Mapping[str, str] | None) -> tuple[str, ...]:
    if [word.upper for word in words[-2:]] == ["REMOVE", "DUPLICATES"]:
        head = _merge_head(f"{sql[: words[-2].start]} WHEN NOT MATCHED THEN DELETE")
        target, source = head.this.sql("postgres"), head.args["using"]
        condition = _postgres(_converted(head.args["on"], parameters))
        rows = exp.Star().sql() if not source.alias else f"{source.alias}.*"
        return (
            f"DELETE FROM {target} USING {source.sql('postgres')} WHERE {condition}",
            f"INSERT INTO {target} SELECT {rows} FROM {source.sql('postgres')}",
        )
    # PostgreSQL knows INSERT VALUES without columns, too; sqlglot takes the values for columns.
    head = _merge_head(re.sub(r"(?i)\bINSERT\s+VALUES\b", "INSERT (everything) VALUES", sql))
    whens = head.args["whens"].expressions
    if sorted(bool(when.args.get("matched")) for when in whens) != [False, True]:
        raise RedshiftError("syntax error: MERGE needs exactly one WHEN MATCHED and one WHEN NOT MATCHED clause")
    for when in whens:
        if when.args.get("condition") is not None:
            raise RedshiftError('syntax error at or near "AND": a WHEN clause of MERGE takes no further condition')
        then = when.args["then"]
        for assignment in then.expressions if isinstance(then, exp.Update) else []:
            if assignment.this.args.get("table") is not None:
                raise RedshiftError(f'column "{assignment.this.sql()}": MERGE takes target columns without their table')
    return (_postgres(_converted(head, parameters)).replace("INSERT (everything) VALUES", "INSERT VALUES"),)


def _merge_head(sql: str) -> exp.Merge:
    parsed = _parsed(sql)
    if not isinstance(parsed, exp.Merge):
        raise RedshiftError("syntax error in MERGE")
    if parsed.this.alias:
        raise RedshiftError(f'syntax error at or near "{parsed.this.alias}": the target of MERGE takes no alias')
    if not isinstance(parsed.args["using"], exp.Table):
        raise RedshiftError('syntax error at or near "(": the source of MERGE is a table, not a subquery')
    return parsed


def _plain(sql: str, parameters: Mapping[str, str] | None) -> str:
    parsed = _parsed(sql)
    if isinstance(parsed, exp.Command):
        return sql
    return _postgres(_converted(parsed, parameters))


def _parsed(sql: str) -> exp.Expression:
    try:
        return sqlglot.parse_one(sql, read="redshift")
    except SqlglotError as error:
        raise RedshiftError(f"syntax error: {_told_briefly(error)}") from None


def _postgres(tree: exp.Expression) -> str:
    try:
        return str(tree.sql("postgres", unsupported_level=ErrorLevel.RAISE))
    except SqlglotError as error:
        raise RedshiftError(f"not carried out by the local warehouse: {_told_briefly(error)}") from None


def _told_briefly(error: SqlglotError) -> str:
    return re.sub(r"\x1b\[\d+m", "", str(error)).split("\n")[0]


def _converted(tree: exp.Expression, parameters: Mapping[str, str] | None) -> exp.Expression:
    if isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema):
        _drop_keys(tree.this)
    # Leaves first: a call that is replaced takes arguments along that are converted already.
    for node in reversed(list(tree.walk(bfs=False))):
        converted = _convert(node, parameters or {})
        if converted is not node:
            tree = converted if node is tree else tree
            node.replace(converted)
    return tree


def _drop_keys(schema: exp.Schema) -> None:
    """Redshift keeps keys as hints for its planner and never checks them; only a primary key's NOT NULL holds."""
    not_null: set[str] = set()
    columns: list[exp.Expression] = []
    for item in schema.expressions:
        declared = item.expressions[0] if isinstance(item, exp.Constraint) else item
        if isinstance(declared, exp.PrimaryKey):
            not_null.update(key.name.lower() for key in declared.expressions)
        elif not isinstance(declared, exp.ForeignKey | exp.UniqueColumnConstraint):
            columns.append(item)
    for column in columns:
        if not isinstance(column, exp.ColumnDef):
            continue
        kinds = [constraint.args["kind"] for constraint in column.args.get("constraints") or []]
        if any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds):
            not_null.add(column.name.lower())
        kept = [
            kind
            for kind in kinds
            if not isinstance(
                kind,
                exp.PrimaryKeyColumnConstraint
                | exp.UniqueColumnConstraint
                | exp.Reference
                | exp.NotNullColumnConstraint,
            )
        ]
        wanted = [kind for kind in kinds if isinstance(kind, exp.NotNullColumnConstraint)]
        if column.name.lower() in not_null:
            wanted = [exp.NotNullColumnConstraint()]
        column.set("constraints", [exp.ColumnConstraint(kind=kind) for kind in [*kept, *wanted]])
    schema.set("expressions", columns)


def _convert(node: exp.Expression, parameters: Mapping[str, str]) -> exp.Expression:
    if isinstance(node, exp.Identifier):
        if node.name.lower() in _RESERVED and not node.args.get("quoted"):
            raise RedshiftError(
                f'syntax error at or near "{node.name}": a reserved word is a name in double quotes only'
            )
        node.set("this", node.name.lower())
    elif isinstance(node, exp.Placeholder):
        if node.name not in parameters:
            raise RedshiftError(f"parameter :{node.name} has no value")
        return exp.Literal.string(parameters[node.name])
    elif isinstance(node, exp.ColumnDef):
        _count_bytes(node)
    elif type(node) in _CONVERSIONS:
        return _CONVERSIONS[type(node)](node)
    return node


def _count_bytes(column: exp.ColumnDef) -> None:
    """Redshift's VARCHAR(n) and CHAR(n) hold n bytes, PostgreSQL's n characters: a check makes up for it."""
    kind = column.args.get("kind")
    sizes = kind.expressions if kind and kind.this in {exp.DataType.Type.VARCHAR, exp.DataType.Type.CHAR} else []
    for size in sizes:
        condition = f'OCTET_LENGTH("{column.name}") <= {size.name}'
        check = exp.CheckColumnConstraint(this=sqlglot.parse_one(condition, read="postgres"))
        name = exp.to_identifier(f"bytes_{size.name}_{column.name}", quoted=True)
        column.append("constraints", exp.ColumnConstraint(this=name, kind=check))


def _call(function: str, *arguments: exp.Expression) -> exp.Expression:
    call = exp.Anonymous(this=function, expressions=[argument.copy() for argument in arguments])
    return exp.Dot(this=exp.to_identifier(COMPATIBILITY_SCHEMA), expression=call)


def _moment(value: exp.Expression) -> exp.Expression:
    """A bare string is a timestamp to Redshift, and a timestamp with time zone to PostgreSQL."""
    return exp.cast(value.copy(), "TIMESTAMP", dialect="postgres") if value.is_string else value


def _date_part(node: exp.Expression) -> exp.Expression:
    unit = node.args["unit"].name.lower() if node.args.get("unit") else "day"
    for part, others in _DATE_PARTS.items():
        if unit == part or unit in others:
            return exp.Literal.string(part)
    raise RedshiftError(f'unknown date part "{unit}". hint: one of {", ".join(_DATE_PARTS)}')


def _string_agg(call: exp.GroupConcat, order: exp.Expression | None) -> exp.Expression:
    value, separator = call.this, call.args.get("separator")
    distinct = isinstance(value, exp.Distinct)
    if distinct:
        # sqlglot counts the separator among the distinct values.
        value, *rest = value.expressions
        separator = rest[0] if rest else separator
    text = exp.cast(value.copy(), f"VARCHAR({_LONGEST_VARCHAR})", dialect="postgres")
    for key in order.expressions if order is not None else []:
        # PostgreSQL orders distinct values by the argument alone, so the key has to be the same expression.
        if key.this == value:
            key.set("this", text.copy())
    inner = f"{'DISTINCT ' if distinct else ''}{_postgres(text)}"
    keys = f" {_postgres(order).strip()}" if order is not None else ""
    joined_by = separator.sql("postgres") if separator is not None else "''"
    return exp.Var(this=f"STRING_AGG({inner}, {joined_by}{keys})")


def _date_arithmetic(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.TsOrDsAdd | exp.DateAdd):
        return _call("dateadd", _date_part(node), node.expression, _moment(node.this))
    return _call("datediff", _date_part(node), _moment(node.expression), _moment(node.this))


def _replace_all(node: exp.Expression) -> exp.Expression:
    """Redshift replaces every match, PostgreSQL only the first unless told."""
    parts = [node.this, node.expression, node.args.get("replacement") or exp.Literal.string("")]
    return exp.Anonymous(this="regexp_replace", expressions=[*parts, exp.Literal.string("g")])


def _refuse_navigation(node: exp.Expression) -> exp.Expression:
    raise RedshiftError(
        f"not carried out by the local warehouse: navigation into SUPER, {node.sql()}. hint: json_extract_path_text"
    )


def _convert_type(node: exp.DataType) -> exp.DataType:
    sizes = [size.name.upper() for size in node.expressions]
    kinds = exp.DataType.Type
    match node.this:
        case kinds.VARCHAR | kinds.NVARCHAR | kinds.TEXT:
            size = _LONGEST_VARCHAR if sizes == ["MAX"] else int(sizes[0]) if sizes else _DEFAULT_VARCHAR
            return exp.DataType.build(f"VARCHAR({size})", dialect="postgres")
        case kinds.BPCHAR:
            return exp.DataType.build(f"CHAR({_DEFAULT_VARCHAR})", dialect="postgres")
        case kinds.DECIMAL if not sizes:
            return exp.DataType.build("DECIMAL(18, 0)", dialect="postgres")
        case kinds.SUPER:
            return exp.DataType.build("JSONB", dialect="postgres")
        case kinds.VARBINARY | kinds.BINARY:
            return exp.DataType.build("BYTEA", dialect="postgres")
    return node


_CONVERSIONS: dict[type[exp.Expression], Callable[[Any], exp.Expression]] = {
    exp.DataType: _convert_type,
    exp.CurrentTimestamp: lambda node: _call("sysdate" if node.args.get("sysdate") else "getdate"),
    exp.TsOrDsAdd: _date_arithmetic,
    exp.DateAdd: _date_arithmetic,
    exp.TsOrDsDiff: _date_arithmetic,
    exp.DateDiff: _date_arithmetic,
    exp.WithinGroup: lambda node: (
        _string_agg(node.this, node.expression) if isinstance(node.this, exp.GroupConcat) else node
    ),
    exp.GroupConcat: lambda node: node if isinstance(node.parent, exp.WithinGroup) else _string_agg(node, None),
    exp.ApproxDistinct: lambda node: exp.Count(this=exp.Distinct(expressions=[node.this])),
    exp.RegexpExtract: lambda node: exp.func("regexp_substr", node.this, node.expression),
    exp.RegexpReplace: _replace_all,
    exp.SHA2: lambda node: _call("sha2", node.this, node.args.get("length") or exp.Literal.number(256)),
    exp.FromBase: lambda node: _call("strtol", node.this, node.expression),
    exp.ParseJSON: lambda node: exp.cast(node.this, "JSONB", dialect="postgres"),
    exp.Anonymous: lambda node: (
        exp.Coalesce(this=node.expressions[0], expressions=node.expressions[1:])
        if node.name.lower() == "isnull"
        else node
    ),
    exp.Bracket: _refuse_navigation,
}
