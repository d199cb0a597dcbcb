"""The helpdesk's tickets are about the shop's orders, move on, and every planted defect is counted."""

from __future__ import annotations

from datetime import date, timedelta

import psycopg

from local import world
from local.world.truth import now
from local.world.zendesk import RATINGS, TICKETS, Desk, Ticket, read_desk

CLOCK = date(2018, 1, 1)


def read(dsn: str) -> Desk:
    with psycopg.connect(dsn) as connection:
        return read_desk(connection)


def clean(desk: Desk) -> dict[int, Ticket]:
    return {ticket.ticket_id: ticket for ticket in desk.tickets if ticket.ticket_id < 900_000_000}


def test_a_ticket_is_about_an_order_of_the_shop_by_who_placed_it(small_shop: str) -> None:
    with psycopg.connect(small_shop) as connection:
        orders = dict(connection.execute("select order_id, customer_id from shop.orders").fetchall())
    tickets = clean(read(small_shop))
    assert len(tickets) > 30
    assert all(orders[ticket.order_id] == ticket.customer_id for ticket in tickets.values())
    assert len({ticket.order_id for ticket in tickets.values()}) == len(tickets)


def test_nothing_has_happened_after_the_clock(small_shop: str) -> None:
    world.advance(small_shop, days=2, seed=3)
    desk = read(small_shop)
    assert max(ticket.generated_at for ticket in desk.tickets) < now(CLOCK + timedelta(days=2))
    assert max(rating.updated_at for rating in desk.ratings) < now(CLOCK + timedelta(days=2))
    assert all(t.created_at <= t.updated_at <= t.generated_at for t in clean(desk).values())


def test_the_same_seed_gives_the_same_helpdesk(small_shop, another_database, server) -> None:
    world.seed(another_database, 7, households=50)
    for dsn in (small_shop, another_database):
        world.advance(dsn, days=3, seed=5)
    assert read(small_shop) == read(another_database)


def test_what_a_step_counts_is_what_it_did(small_shop: str) -> None:
    before = read(small_shop)
    told = world.advance(small_shop, days=5, seed=1)
    after = read(small_shop)
    old, new = clean(before), clean(after)
    planted = sum(n for (stream, _), n in told.defects.items() if stream == TICKETS)
    assert told.changes[TICKETS, "insert"] == len(new.keys() - old.keys()) + planted > 0
    changed = {number for number in old if new[number] != old[number]}
    gone = {number for number in changed if new[number].status == "deleted"}
    assert told.changes[TICKETS, "delete"] == len(gone) > 0
    assert changed - gone
    # A ticket that was answered may be deleted in the same step.
    assert len(changed - gone) <= told.changes[TICKETS, "update"] <= len(changed)
    assert all(new[number].generated_at > old[number].generated_at for number in changed)
    rated = {rating.rating_id for rating in after.ratings} - {rating.rating_id for rating in before.ratings}
    assert told.changes[RATINGS, "insert"] == len(rated) > 0


def test_each_step_changes_something(small_shop: str) -> None:
    for step in range(1, 5):
        before = read(small_shop)
        world.advance(small_shop, days=1, seed=step)
        assert read(small_shop) != before


def test_only_planted_rows_break_the_rules_and_all_are_counted(small_shop: str) -> None:
    for step in (1, 2):
        world.advance(small_shop, days=3, seed=step)
    desk, counted = read(small_shop), world.defects(small_shop)
    assert sum(ticket.subject is None for ticket in desk.tickets) == counted[TICKETS, "subject_complete"]
    early = [ticket for ticket in desk.tickets if ticket.created_at > ticket.updated_at]
    assert len(early) == counted[TICKETS, "created_before_updated"]
    assert sum(rating.score not in {"good", "bad"} for rating in desk.ratings) == counted[RATINGS, "score_known"]
