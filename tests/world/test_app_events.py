"""The app's users do in it what the shop's orders say, and every planted defect is counted."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg

from local import world
from local.world.clevertap import CHARGED, LATE_DAYS, LAUNCHED, PROJECTS, AppWorld, Event, read_app
from local.world.truth import now

EVENTS, PROFILES = "clevertap.events", "clevertap.profiles"


def read(dsn: str) -> AppWorld:
    with psycopg.connect(dsn) as connection:
        return read_app(connection)


def all_events(app: AppWorld) -> list[Event]:
    return [event for events in app.events.values() for event in events]


def content(event: Event) -> tuple[object, ...]:
    return (event.profile_id, event.device, event.name, event.occurred_at, event.clock_lost, repr(event.properties))


def purchases(app: AppWorld) -> dict[int, Event]:
    """Charged events by order, without those of orders that do not exist."""
    charged = [event for event in all_events(app) if event.name == CHARGED]
    return {number: event for event in charged if (number := int(event.properties["Charged ID"])) < 90_000_000_000}


def test_a_purchase_in_the_app_is_an_order_of_the_shop(small_shop):
    app = read(small_shop)
    with psycopg.connect(small_shop) as connection:
        orders = {
            row[0]: row[1:]
            for row in connection.execute(
                "select order_id, customer_id, ordered_at, total_amount, campaign_id from shop.orders"
            )
        }
    found = purchases(app)
    assert len(found) > 100
    campaigns = Counter[str]()
    for order_id, event in found.items():
        customer, ordered_at, total, campaign = orders[order_id]
        assert app.profiles[event.profile_id].customer_id == customer
        assert event.occurred_at == ordered_at
        assert Decimal(str(event.properties["Amount"])) == total
        assert event.session.get("utm_campaign") == (str(campaign) if campaign else None)
        campaigns["with" if campaign else "without"] += 1
    assert min(campaigns["with"], campaigns["without"]) > 0


def test_the_same_seed_gives_the_same_app(small_shop, another_database, server):
    world.seed(server.dsn_of("another"), 7, households=50)
    for dsn in (small_shop, server.dsn_of("another")):
        world.advance(dsn, days=3, seed=5)
    assert read(small_shop) == read(server.dsn_of("another"))


def test_every_project_has_users_and_everybody_belongs_to_one(small_shop):
    app = read(small_shop)
    assert {profile.account for profile in app.profiles.values()} == {project.account for project in PROJECTS}
    by_customer: dict[int, set[str]] = {}
    for profile in app.profiles.values():
        if profile.customer_id is not None:
            by_customer.setdefault(profile.customer_id, set()).add(profile.account)
    assert all(len(accounts) == 1 for accounts in by_customer.values())


def test_some_have_two_profiles_two_devices_or_no_identity(small_shop):
    app = read(small_shop)
    identities = Counter((profile.account, profile.identity) for profile in app.profiles.values() if profile.identity)
    assert max(identities.values()) == 2
    assert {len(profile.devices) for profile in app.profiles.values()} == {1, 2}
    assert any(profile.identity is None for profile in app.profiles.values())
    objects = [device.object_id for profile in app.profiles.values() for device in profile.devices]
    assert len(objects) == len(set(objects))


def test_no_zone_of_a_project_has_an_hour_twice():
    year = [now(date(2017, 1, 1)) + timedelta(days=number) for number in range(400)]
    for project in PROJECTS:
        zone = ZoneInfo(project.time_zone)
        assert len({moment.astimezone(zone).utcoffset() for moment in year}) == 1


def test_what_a_step_counts_is_what_it_added(small_shop):
    before = read(small_shop)
    told = world.advance(small_shop, days=3, seed=1)
    after = read(small_shop)
    old = {content(event) for event in all_events(before)}
    new = {content(event) for event in all_events(after)} - old
    assert told.changes[EVENTS, "insert"] == len(new) > 20
    begun = now(told.clock - timedelta(days=3))
    late = [event for event in all_events(after) if content(event) in new and event.occurred_at < begun]
    assert told.changes[EVENTS, "late"] == len(late) > 0
    assert min(event.occurred_at for event in late) > begun - timedelta(days=LATE_DAYS, hours=3)
    launched = [{event.profile_id for event in all_events(app) if event.name == LAUNCHED} for app in (before, after)]
    active = {event.profile_id for event in all_events(after) if event.name == LAUNCHED and content(event) in new}
    assert told.changes[PROFILES, "insert"] == len(launched[1] - launched[0]) > 0
    assert told.changes[PROFILES, "update"] == len(launched[0] & active) > 0


def test_profiles_change_only_while_their_user_is_there(small_shop):
    before = read(small_shop)
    world.advance(small_shop, days=14, seed=1)
    after = read(small_shop)
    changed = {number for number, profile in before.profiles.items() if after.profiles[number] != profile}
    old = {content(event) for event in all_events(before)}
    active = {event.profile_id for event in all_events(after) if content(event) not in old}
    assert changed
    assert changed <= active
    assert all(after.profiles[number].attributes["Plan"] for number in changed)


def test_some_events_are_sent_twice(small_shop):
    sent = Counter(map(content, all_events(read(small_shop))))
    assert set(sent.values()) == {1, 2}


def test_only_planted_rows_break_the_rules_and_all_are_counted(small_shop):
    for step in (1, 2):
        world.advance(small_shop, days=3, seed=step)
    app, counted = read(small_shop), world.defects(small_shop)
    distinct = {content(event): event for event in all_events(app)}.values()
    charged = [event.properties for event in distinct if event.name == CHARGED]
    unreadable = [properties for properties in charged if "USD" in str(properties["Amount"])]
    assert len(unreadable) == counted[EVENTS, "amount_readable"]
    negative = [properties for properties in charged if str(properties["Amount"]).startswith("-")]
    assert len(negative) == counted[EVENTS, "amount_non_negative"]
    assert sum(len(told["Currency"]) != 3 for told in charged) == counted[EVENTS, "currency_wellformed"]
    assert sum(event.clock_lost for event in distinct) == counted[EVENTS, "occurred_at_complete"]
    guests = [profile for profile in app.profiles.values() if (profile.identity or "").startswith("guest-")]
    assert sum(guest.email is not None for guest in guests) == counted[PROFILES, "email_wellformed"]
    assert sum(guest.phone is not None for guest in guests) == counted[PROFILES, "phone_wellformed"]


def test_nothing_happens_after_the_clock(small_shop):
    told = world.advance(small_shop, days=2, seed=9)
    assert max(event.occurred_at for event in all_events(read(small_shop))) < now(told.clock)
