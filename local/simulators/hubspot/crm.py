"""The CRM as HubSpot shows it: contacts, deals and their associations, every property a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from local.simulators.hubspot.messages import iso
from local.world.dice import draw
from local.world.truth import Connection, now, read_world

RESTORABLE = timedelta(days=90)


MODIFIED = {"contacts": "lastmodifieddate", "deals": "hs_lastmodifieddate"}


_SHOWN = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "deals": (
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ),
}


class Thing(NamedTuple):
    """A contact or a deal."""

    number: int
    properties: dict[str, str | None]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True)
class Crm:
    """Everything the API shows, at one clock; rows in order of their ids."""

    clock: datetime
    things: dict[str, list[Thing]]
    contacts_of: dict[int, list[int]]

    def listed(self, kind: str, *, archived: bool) -> list[Thing]:
        """Rows that are live, or archived and not forgotten yet."""
        if archived:
            return [t for t in self.things[kind] if t.archived_at and t.archived_at > self.clock - RESTORABLE]
        return [t for t in self.things[kind] if t.archived_at is None]


def read_crm(connection: Connection) -> Crm:
    """Reads the CRM as it stands at the world's clock."""
    clock = now(read_world(connection).clock)
    with connection.cursor(row_factory=dict_row) as cursor:
        contacts = [_contact(row) for row in cursor.execute("select * from crm.contacts order by contact_id")]
        contacts_of: dict[int, list[int]] = {}
        for row in cursor.execute("select deal_id, contact_id from crm.deal_contacts order by deal_id, contact_id"):
            contacts_of.setdefault(row["deal_id"], []).append(row["contact_id"])
        deals = [
            _deal(row, len(contacts_of.get(row["deal_id"], [])))
            for row in cursor.execute("select * from crm.deals order by deal_id")
        ]
    return Crm(clock, {"contacts": contacts, "deals": deals}, contacts_of)


def _contact(row: Mapping[str, Any]) -> Thing:
    email = row["email"] or ""
    return _thing(
        row["contact_id"],
        row,
        "contacts",
        {
            "email": row["email"],
            "firstname": row["first_name"],
            "lastname": row["last_name"],
            "phone": row["phone"],
            "city": row["city"],
            "company": row["company"],
            "hs_email_domain": email.rpartition("@")[2] if "@" in email else None,
            "lifecyclestage": row["lifecycle_stage"],
            "hubspot_owner_id": row["owner_id"],
            "hs_analytics_source": row["source"],
            "preferred_channels": ";".join(row["channels"]) or None,
            "customer_id": row["customer_id"],
            "hs_merged_object_ids": ";".join(map(str, row["merged_ids"])) or None,
        },
    )


def _deal(row: Mapping[str, Any], contacts: int) -> Thing:
    return _thing(
        row["deal_id"],
        row,
        "deals",
        {
            "dealname": row["name"],
            "pipeline": row["pipeline"],
            "dealstage": row["stage"],
            "amount": row["amount"],
            "deal_currency_code": row["currency"],
            "closedate": row["close_at"] and iso(row["close_at"]),
            "dealtype": row["deal_type"],
            "hubspot_owner_id": row["owner_id"],
            "num_associated_contacts": contacts,
        },
    )


def _thing(number: int, row: Mapping[str, Any], kind: str, properties: Mapping[str, Any]) -> Thing:
    """Every property is text; one that was filled once and emptied since is an empty text, one never filled is null."""
    texts = {
        name: str(value) if value is not None else "" if draw(3, name, number) == 0 else None
        for name, value in properties.items()
    }
    system = {
        "hs_object_id": str(number),
        "createdate": iso(row["created_at"]),
        MODIFIED[kind]: iso(row["updated_at"]),
    }
    return Thing(number, {**texts, **system}, row["created_at"], row["updated_at"], row["archived_at"])


def shown(kind: str, thing: Thing, wanted: Sequence[str]) -> dict[str, Any]:
    """An object with the properties that were asked for; names that nobody knows are passed over."""
    names = {*wanted, "hs_object_id", "createdate", MODIFIED[kind]} if wanted else set(_SHOWN[kind])
    return {
        "id": str(thing.number),
        "properties": {name: thing.properties[name] for name in sorted(names) if name in thing.properties},
        "createdAt": iso(thing.created_at),
        "updatedAt": iso(thing.updated_at),
        "archived": thing.archived_at is not None,
        **({"archivedAt": iso(thing.archived_at)} if thing.archived_at else {}),
    }
