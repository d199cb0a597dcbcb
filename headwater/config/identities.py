"""Who is whom: which records of silver tables are of one person, by which values they are linked, and what is written of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated

from pydantic import Field, model_validator

from headwater.config.strict import Name, Place, Strict, refusal, unknown
from headwater.config.table import MergeWrite, Scd2Write, Table

_COLUMNS = {
    "source": "The member that the record is of.",
    "record_id": "The record's key in the member's table; of several columns, joined by colons.",
    "person_id": "Who it is: the same for all records of one person, and made of the record that was there first.",
    "linked_by": "By which values it is linked to another record of the person, each as `link value`.",
    "left_out": "Which values others have as well and that link nobody, each as `link value: why`.",
    "valid_from": "UTC; when Headwater came to know it.",
    "valid_to": "UTC; when it came to know otherwise; NULL for what is so now.",
    "is_current": "Whether it is so now.",
}
_TYPES = dict.fromkeys(("source", "record_id", "person_id"), "string") | {
    "linked_by": "array<string>",
    "left_out": "array<string>",
    "valid_from": "timestamp",
    "valid_to": "timestamp",
    "is_current": "boolean",
}


class Member(Strict):
    """A silver table whose rows, as they are now, are records of persons."""

    table: Name
    where: str | None = Field(None, min_length=1, description="Spark SQL condition on a row that counts.")
    since: str = Field(
        min_length=1, description="Spark SQL of when the record was made: a person's first gives the id."
    )
    values: dict[Name, Annotated[str, Field(min_length=1)]] = Field(
        min_length=1,
        description="Spark SQL of the values that link it, by link; one that is missing or blank links nobody.",
    )


class Link(Strict):
    """A kind of value that records of one person may have in common."""

    by: Name
    shareable: bool = Field(
        False,
        description="Whether several records of one member may have the same value because they are of one person; otherwise such "
        "a value, unless a stronger link says that they are, links nobody.",
    )


class Identities(Strict):
    """A silver table of who is whom, computed from other silver tables."""

    identities: Name
    owner: str = Field(min_length=1, description="Team that answers for the table.")
    note: str = Field(min_length=1, description="What a row is, for the data dictionary.")
    members: dict[Name, Member] = Field(min_length=1)
    links: tuple[Link, ...] = Field(
        min_length=1,
        description="The strongest first: who has two values of the first is two persons, whatever else they have in common.",
    )

    @property
    def table(self) -> Table:
        """The silver table that it is."""
        columns = {name: {"type": _TYPES[name], "note": note} for name, note in _COLUMNS.items()}
        return Table.model_validate(
            {
                "table": self.identities,
                "owner": self.owner,
                "note": self.note,
                "key": ["source", "record_id", "valid_from"],
                "write": MergeWrite(),
                "columns": columns,
            }
        )

    @property
    def definition(self) -> str:
        """A digest of all that decides who is whom, which the commits of the table carry."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def of(self, tables: Collection[str]) -> Identities | None:
        """The same where only some silver tables are fed; None where no member is left."""
        members = {name: member for name, member in self.members.items() if member.table in tables}
        told = {value for member in members.values() for value in member.values}
        links = tuple(link for link in self.links if link.by in told)
        return self.model_copy(update={"members": members, "links": links}) if members else None

    def disagreements(self, tables: Mapping[str, Table]) -> Iterator[tuple[Place, str]]:
        """Says where it contradicts the silver tables that it reads."""
        if self.identities in tables:
            yield ("identities",), f"config/tables/{self.identities}.yaml declares a silver table of this name"
        for name, member in self.members.items():
            if member.table not in tables:
                yield ("members", name, "table"), unknown("table", member.table, tables)

    @model_validator(mode="after")
    def _links_are_told(self) -> Identities:
        links = [link.by for link in self.links]
        problems: list[tuple[Place, str]] = [
            (("members", name, "values", value), unknown("link", value, links))
            for name, member in self.members.items()
            for value in member.values
            if value not in links
        ]
        problems += [
            (("links", number, "by"), f"{link} stands twice")
            for number, link in enumerate(links)
            if link in links[:number]
        ]
        told = {value for member in self.members.values() for value in member.values}
        problems += [
            (("links", number, "by"), f"no member tells {link}")
            for number, link in enumerate(links)
            if link not in told
        ]
        if problems:
            raise refusal(problems)
        return self


def current(table: Table) -> str:
    """The condition on the rows of a silver table that are true now."""
    return "is_current" if isinstance(table.write, Scd2Write) else "true"
