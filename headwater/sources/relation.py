"""A relation as a stream reads it: the columns that are declared, and the rows that meet the stream's condition.

Every statement about a stream's rows is made from one text, so none of them sees more than what is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headwater.config import RelationStream
from headwater.errors import FatalSourceError


def selected(stream: RelationStream, quoted: Callable[[str], str], there: Mapping[str, str]) -> str:
    """SQL that stands after FROM: the relation's name where all of it is read, or a query with an alias.

    `there` holds the relation's columns: what the database calls them by their name in a raw row. FatalSourceError names the
    declared columns that are not among them.
    """
    columns = stream.read_columns
    if columns is None and stream.where is None:
        return stream.relation
    gone = [name for name in columns or () if name not in there]
    if gone:
        raise FatalSourceError(
            f"{stream.relation} has no column {', '.join(gone)}; known: {', '.join(there)}. hint: take it out of `raw`, or "
            "have it brought back"
        )
    names = "*" if columns is None else ", ".join(quoted(there[name]) for name in columns)
    # On a line of its own, the parenthesis is not part of a comment that the condition ends in.
    condition = "" if stream.where is None else f" WHERE ({stream.where}\n)"
    return f"(SELECT {names} FROM {stream.relation}{condition}) AS selected"


def backticked(name: str) -> str:
    """An identifier as MySQL quotes it."""
    return f"`{name.replace('`', '``')}`"


def double_quoted(name: str) -> str:
    """An identifier as SQL's standard quotes it."""
    return '"{}"'.format(name.replace('"', '""'))
