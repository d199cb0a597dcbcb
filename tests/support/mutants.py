"""Mutants of a SQL query: one constant, operator, function, condition or join changed in each, always the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlglot
from sqlglot import exp

_SPARK = "spark"
Change = Callable[[Any], str]
_SWAPPED = {
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Div,
    exp.Div: exp.Mul,
    exp.And: exp.Or,
    exp.Or: exp.And,
    exp.Sum: exp.Max,
    exp.Max: exp.Min,
    exp.Min: exp.Max,
    exp.ArgMin: exp.ArgMax,
    exp.ArgMax: exp.ArgMin,
    exp.Greatest: exp.Least,
    exp.Least: exp.Greatest,
}


@dataclass(frozen=True)
class Mutant:
    """A changed query, and in words what was changed where."""

    name: str
    sql: str


def mutants(sql: str, types: Mapping[str, str]) -> Iterator[Mutant]:
    """Changes one thing at a time; `types` are those of the columns that the query selects, each of which becomes NULL once."""
    tree = sqlglot.parse_one(sql, read=_SPARK)
    seen: Counter[str] = Counter()
    for number, node in enumerate(tree.walk()):
        for changed in _changes(node, types):
            copy = tree.copy()
            twin = next(each for place, each in enumerate(copy.walk()) if place == number)
            name = f"{_place(twin)}: {changed(twin)}"
            seen[name] += 1
            yield Mutant(name if seen[name] == 1 else f"{name} ({seen[name]})", copy.sql(_SPARK))


def _place(node: Any) -> str:
    """The column or the clause that a node is in."""
    part = node
    while part.parent is not None:
        if isinstance(part, exp.Where | exp.Join | exp.Group):
            return str(part.key)
        if part.arg_key == "expressions" and isinstance(part.parent, exp.Select):
            return str(part.alias_or_name)
        if isinstance(part, exp.CTE):
            return str(part.alias)
        part = part.parent
    return "query"


def _changes(node: Any, types: Mapping[str, str]) -> Iterator[Change]:
    """Lists what can be changed about a node: functions that do it, and say what they did."""
    if isinstance(node, exp.Literal):
        # A type's length is the header's business, and a number in GROUP BY names a column.
        if not node.find_ancestor(exp.DataType, exp.Group):
            yield from _of_literal(node)
        return
    # sqlglot spells date_sub() as date_add() of the product with -1, which no quotient can stand for.
    if type(node) in _SWAPPED and not isinstance(node.parent, exp.TsOrDsAdd):
        yield _by(lambda it: _SWAPPED[type(it)](**it.copy().args))
    for kinds, changes in _CHANGES:
        if isinstance(node, kinds):
            yield from changes
    if isinstance(node, exp.Distinct) and isinstance(node.parent, exp.Select):
        yield _dropped
    if isinstance(node, exp.Case):
        yield from map(_without_branch, range(len(node.args["ifs"])))
    # What the whole query selects, column by column.
    if node.arg_key == "expressions" and isinstance(node.parent, exp.Select) and node.parent.parent is None:
        yield _nulled(types[node.alias_or_name])


def _by(make: Callable[[Any], Any]) -> Change:
    def change(node: Any) -> str:
        made = make(node)
        node.replace(exp.paren(made) if isinstance(made, exp.Binary) else made)
        return f"{node.sql(_SPARK)} -> {made.sql(_SPARK)}"

    return change


def _dropped(node: Any) -> str:
    return f"without {node.pop().sql(_SPARK)}"


def _joined(join: Any) -> str:
    side = None if join.side else "LEFT"
    join.set("side", side)
    join.set("kind", None if side else "INNER")
    return f"{side or 'INNER'} JOIN {join.this.sql(_SPARK)}"


def _without_branch(number: int) -> Change:
    def change(case: Any) -> str:
        branch = case.args["ifs"][number].pop()
        if not case.args["ifs"]:
            # A CASE without branches is none: what is left is its ELSE.
            case.replace(case.args.get("default") or exp.null())
        return f"without WHEN {branch.this.sql(_SPARK)}"

    return change


def _other_union(union: Any) -> str:
    union.set("distinct", not union.args.get("distinct"))
    return "UNION" if union.args["distinct"] else "UNION ALL"


def _nulled(type_: str) -> Change:
    def change(select: Any) -> str:
        name = select.alias_or_name
        select.replace(exp.alias_(exp.cast(exp.null(), type_, dialect=_SPARK), name))
        return "always NULL"

    return change


def _within(low: Any, high: Any) -> Change:
    """Turns BETWEEN into two comparisons."""
    return _by(
        lambda it: exp.and_(
            low(this=it.this.copy(), expression=it.args["low"].copy()),
            high(this=it.this.copy(), expression=it.args["high"].copy()),
        )
    )


def _of_literal(literal: Any) -> Iterator[Change]:
    frame = literal.parent
    if isinstance(frame, exp.WindowSpec) and frame.args["start"] == frame.args["end"]:
        # A window's frame that begins and ends at one place: of its two numbers neither can change alone.
        yield from _FRAME_OF_ONE if literal.arg_key == "start" else ()
    else:
        yield from _LITERAL[literal.is_string]


def _moved(by: int) -> Change:
    def change(start: Any) -> str:
        frame = start.parent
        moved = exp.Literal.number(Decimal(start.this) + by)
        frame.set("start", moved)
        frame.set("end", moved.copy())
        return f"only {start.sql(_SPARK)} -> only {moved.sql(_SPARK)}"

    return change


def _uncounted(count: Any) -> str:
    """Counts what is distinct with its duplicates; says of all else, over a window or not, that it is one."""
    distinct = isinstance(count.this, exp.Distinct)
    whole = count.parent if isinstance(count.parent, exp.Window) else count
    made = exp.Count(this=count.this.expressions[0].copy()) if distinct else exp.cast(exp.Literal.number(1), "bigint")
    whole.replace(made)
    return f"{whole.sql(_SPARK)} -> {made.sql(_SPARK)}"


_LITERAL: dict[bool, tuple[Change, ...]] = {
    True: (_by(lambda it: exp.Literal.string(f"{it.this}_")),),
    False: tuple(_by(lambda it, by=by: exp.Literal.number(Decimal(it.this) + by)) for by in (1, -1)),  # type: ignore[misc]
}
_FRAME_OF_ONE = (_moved(1), _moved(-1))
_CHANGES: tuple[tuple[Any, tuple[Change, ...]], ...] = (
    ((exp.And, exp.Coalesce, exp.Nullif, exp.Not), (_by(lambda it: it.this.copy()),)),
    (exp.And, (_by(lambda it: it.expression.copy()),)),
    (exp.Coalesce, (_by(lambda it: it.expressions[0].copy()),)),
    (exp.Is, (_by(lambda it: exp.Not(this=it.copy())),)),
    (exp.Between, (_within(exp.GT, exp.LTE), _within(exp.GTE, exp.LT))),
    (exp.Count, (_uncounted,)),
    (exp.DateDiff, (_by(lambda it: exp.DateDiff(this=it.expression.copy(), expression=it.this.copy())),)),
    ((exp.TimestampTrunc, exp.DateTrunc), (_by(lambda it: type(it)(this=it.this.copy(), unit=exp.var("YEAR"))),)),
    (exp.Where, (_dropped,)),
    (exp.Join, (_joined,)),
    (exp.Union, (_other_union,)),
)
