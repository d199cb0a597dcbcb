"""The CRM: who is in it, what happens to it, and that the truth counts just that."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local import world
from local.world.hubspot import STAGES
from local.world.truth import now

CLOCK = date(2018, 1, 1)
KEYS = {"contacts": "contact_id", "deals": "deal_id"}
SOUND_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def ask(dsn: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def snapshot(dsn: str, table: str) -> dict[int, dict[str, Any]]:
    return {row[KEYS[table]]: row for row in ask(dsn, f"select * from crm.{table}")}


def links(dsn: str) -> dict[int, frozenset[int]]:
    """The contacts of every live deal."""
    found: dict[int, set[int]] = {
        row["deal_id"]: set() for row in ask(dsn, "select deal_id from crm.deals where archived_at is null")
    }
    for row in ask(dsn, "select * from crm.deal_contacts"):
        if row["deal_id"] in found:
            found[row["deal_id"]].add(row["contact_id"])
    return {deal: frozenset(contacts) for deal, contacts in found.items()}


def kind_of_change(old: dict[str, Any] | None, new: dict[str, Any]) -> str | None:
    """What a reader of live rows sees."""
    if new["archived_at"] is not None or old == new:
        return None
    if old is None:
        return "insert"
    return "touch" if {**old, "updated_at": None} == {**new, "updated_at": None} else "update"


def told_of(told: world.Truth, stream: str) -> dict[str, int]:
    return {kind: n for (name, kind), n in told.changes.items() if name == f"hubspot.{stream}"}


def test_most_contacts_are_the_shop_s_own_customers(small_shop):
    contacts = ask(small_shop, "select * from crm.contacts where customer_id is not null")
    customers = {row["customer_id"]: row for row in ask(small_shop, "select * from shop.customers")}
    assert 15 < len(contacts) < 45
    for contact in contacts:
        customer = customers[contact["customer_id"]]
        assert (contact["email"], contact["city"]) == (customer["email"], customer["city"])
    assert len({contact["customer_id"] for contact in contacts}) == len(contacts)


@pytest.mark.parametrize("table", KEYS)
def test_a_row_is_made_then_changed_then_archived_and_all_before_the_clock(small_shop, table):
    world.advance(small_shop, 3, seed=3)
    for row in snapshot(small_shop, table).values():
        times = [row["created_at"], row["updated_at"], row["archived_at"] or row["updated_at"]]
        assert times == sorted(times)
        assert times[-1] < now(CLOCK + timedelta(days=3))
        assert all(moment.microsecond % 1000 == 0 for moment in times)


def test_ids_grow_with_time(small_shop):
    for table in KEYS:
        rows = sorted(snapshot(small_shop, table).items())
        made = [row["created_at"] for _, row in rows]
        assert made == sorted(made)


def test_a_deal_s_contacts_are_live_and_older_than_the_deal(small_shop):
    world.advance(small_shop, 7, seed=3)
    pairs = ask(
        small_shop,
        "select d.created_at > c.created_at as older, c.archived_at from crm.deal_contacts"
        " join crm.deals d using (deal_id) left join crm.contacts c using (contact_id)"
        f" where d.created_at < '{now(CLOCK)}' and d.updated_at < '{now(CLOCK)}'",
    )
    assert pairs
    assert all(pair["older"] and pair["archived_at"] is None for pair in pairs)


def refused(dsn: str) -> Counter[tuple[str, str]]:
    """What the quality policies must find."""
    found: Counter[tuple[str, str]] = Counter()
    for contact in snapshot(dsn, "contacts").values():
        found["hubspot.contacts", "email_wellformed"] += not SOUND_EMAIL.fullmatch(contact["email"])
    for deal in snapshot(dsn, "deals").values():
        found["hubspot.deals", "stage_known"] += deal["stage"] not in STAGES
        found["hubspot.deals", "amount_non_negative"] += (deal["amount"] or 0) < 0
    return found


def test_the_planted_defects_are_those_that_are_there(small_shop):
    for days in (0, 3, 9):
        if days:
            world.advance(small_shop, days, seed=days)
        told = {key: n for key, n in world.defects(small_shop).items() if key[0].startswith("hubspot")}
        assert told == dict(refused(small_shop))
        assert all(told.values())


@pytest.mark.parametrize("days", [1, 7])
def test_the_truth_counts_what_really_changed(small_shop, days):
    before = {table: snapshot(small_shop, table) for table in KEYS}
    before_links = links(small_shop)
    told = world.advance(small_shop, days, seed=days)
    for table in KEYS:
        after = snapshot(small_shop, table)
        kinds = Counter(kind_of_change(before[table].get(key), row) for key, row in after.items())
        kinds.pop(None, None)
        gone = before[table].keys() - after.keys()
        if gone:
            kinds["delete"] = len(gone)
        assert told_of(told, table) == kinds
        archived = sum(
            row["archived_at"] is not None and before[table][key]["archived_at"] is None
            for key, row in after.items()
            if key in before[table]
        )
        assert told_of(told, f"{table}_archived") == {"insert": archived}
    deals, linked = snapshot(small_shop, "deals"), links(small_shop)
    seen: Counter[str] = Counter()
    for deal, contacts in linked.items():
        if deal not in before["deals"]:
            seen["insert"] += 1
        elif deals[deal] != before["deals"][deal]:
            seen["update" if deal in before_links and before_links[deal] != contacts else "touch"] += 1
        else:
            assert before_links[deal] == contacts
    assert told_of(told, "associations") == seen


def test_a_merge_removes_the_loser_and_hands_over_what_it_had(small_shop):
    before = ask(small_shop, "select contact_id from crm.contacts")
    for days in (3, 3):
        world.advance(small_shop, days, seed=days)
    merges = ask(small_shop, "select * from crm.merges")
    contacts = snapshot(small_shop, "contacts")
    assert merges
    for merge in merges:
        assert merge["loser_id"] not in contacts
        takers = [row for row in contacts.values() if merge["loser_id"] in row["merged_ids"]]
        losers = {row["loser_id"] for row in merges}
        assert len(takers) == 1 or merge["winner_id"] in losers
        assert {merge["loser_id"]} <= {row["contact_id"] for row in before} | losers
    assert not ask(small_shop, "select 1 from crm.deal_contacts join crm.merges on contact_id = loser_id")


def test_history_and_steps_are_the_same_for_the_same_seeds(small_shop, another_database):
    world.advance(small_shop, 3, seed=5)
    first = {table: snapshot(small_shop, table) for table in KEYS}
    dsn = another_database
    world.seed(dsn, 7, households=50)
    world.advance(dsn, 3, seed=5)
    assert {table: snapshot(dsn, table) for table in KEYS} == first


def test_some_archived_rows_are_restored(small_shop):
    archived = {key for key, row in snapshot(small_shop, "deals").items() if row["archived_at"]}
    assert archived
    world.advance(small_shop, 3, seed=5)
    back = {
        key: row for key, row in snapshot(small_shop, "deals").items() if key in archived and not row["archived_at"]
    }
    assert len(back) == 1
    assert all(isinstance(row["updated_at"], datetime) and row["updated_at"] > now(CLOCK) for row in back.values())
