"""Column lineage: from which fields of which sources each column of the lake comes, as it was found when the project was deployed.

A name is `source.stream.field`, `silver.table.column`, `gold.table.column`, or `analytics.view.column` for a view of the warehouse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field

from headwater.config.strict import Strict

Origins = dict[str, dict[str, tuple[str, ...]]]
"""Of which columns each column of a table is made, by table and column."""


class Lineage(Strict):
    """Of what each column is made, and by what it is decided which rows there are."""

    silver: Origins = Field({}, description="Fields as source.stream.field, by silver table and column.")
    gold: Origins = Field({}, description="Columns as silver.table.column, by gold table and column.")
    views: Origins = Field({}, description="Columns as gold.table.column, by view of the warehouse and column.")
    rows: dict[str, tuple[str, ...]] = Field(
        {}, description="Columns that only filter, join or group the rows of a table or view, by its name."
    )

    def made_of(self) -> dict[str, tuple[str, ...]]:
        """Of what each column is made, by its whole name."""
        zones = {"silver": self.silver, "gold": self.gold, "analytics": self.views}
        return {
            f"{zone}.{table}.{column}": origins
            for zone, tables in zones.items()
            for table, columns in tables.items()
            for column, origins in columns.items()
        }


@dataclass(frozen=True)
class Branch:
    """A column, and those that it is made of, or that are made of it."""

    name: str
    branches: tuple[Branch, ...] = field(default=())

    def walk(self, depth: int = 0) -> Iterator[tuple[int, str]]:
        """Lists the column and those behind it, each with how far it is from the first."""
        yield depth, self.name
        for branch in self.branches:
            yield from branch.walk(depth + 1)

    @property
    def ends(self) -> set[str]:
        """The columns behind which there are no others."""
        return {self.name} if not self.branches else set().union(*(branch.ends for branch in self.branches))


class Graph:
    """Lineage to be followed both ways."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._made_of: Mapping[str, tuple[str, ...]] = lineage.made_of()

    @cached_property
    def _makes(self) -> dict[str, list[str]]:
        makes: dict[str, list[str]] = {}
        for name, origins in self._made_of.items():
            for origin in origins:
                makes.setdefault(origin, []).append(name)
        return makes

    @cached_property
    def names(self) -> list[str]:
        """Every column, and every field that one is made of."""
        return sorted({*self._made_of, *self._makes})

    def within(self, name: str) -> list[str]:
        """The columns of a table, a view or a stream; the column itself where the name is that of one."""
        return [known for known in self.names if known == name or known.startswith(f"{name}.")]

    def upstream(self, name: str) -> Branch:
        """What a column is made of, back to the sources' fields."""
        return Branch(name, tuple(self.upstream(origin) for origin in self._made_of.get(name, ())))

    def downstream(self, name: str) -> Branch:
        """What is made of a column or a field, as far as the warehouse's views."""
        return Branch(name, tuple(self.downstream(made) for made in self._makes.get(name, ())))

    def decides(self, name: str) -> list[str]:
        """The tables and views of which a column decides the rows, by a filter, a join or a group."""
        return sorted(table for table, columns in self._lineage.rows.items() if name in columns)

    def decided_by(self, table: str) -> tuple[str, ...]:
        """The columns that decide which rows a table or view has."""
        return self._lineage.rows.get(table, ())
