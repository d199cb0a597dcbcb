"""The shop's mobile app: what its users do in it, as the analytics platform behind it has been told.

Four projects of the platform (an account each) share the users. Purchases in the app are the shop's own orders: a Charged
event has the order's id, total and time. Devices that were offline send their sessions days later, some events are
sent twice, some people have two profiles, and some have never said who they are.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from local.world.dice import dice, draw
from local.world.part import Happened, Step
from local.world.truth import Connection, Defect, Kind, now

LATE_DAYS = 6
"""An offline device sends its sessions after so many days at most."""

LAUNCHED, VIEWED, CHARGED, VISITED = "App Launched", "Product Viewed", "Charged", "UTM Visited"
EVENTS_STREAM, PROFILES_STREAM = "clevertap.events", "clevertap.profiles"

_MOST_USERS = 150
_ORDER_SHARE = 3  # of three orders of a user, one is made in the app
_UNKNOWN_ORDER = 90_000_000_000
_UNKNOWN_PRODUCT = 99_000_000
_MALFORMED_EMAILS = ("nobody", "someone@", "@example.com", "a@@example.com")
_MALFORMED_PHONES = ("none", "+", "call me", "0")
_SECOND = timedelta(seconds=1)


class AppProject(NamedTuple):
    """A project of the analytics platform; its days and times are those of its own time zone."""

    account: str
    name: str
    time_zone: str


# Zones without daylight saving: the platform's version 1 tells local times only, and an hour that comes twice cannot be
# told apart in them.
PROJECTS = (
    AppProject("4R7-5K6-466Z", "Complete Journey Android", "Asia/Kolkata"),
    AppProject("8W5-9K4-R46Z", "Complete Journey iOS", "America/Phoenix"),
    AppProject("W6R-4Z7-864Z", "Complete Journey Lite", "America/Bogota"),
    AppProject("ZK9-7R8-554Z", "Complete Journey Web app", "Asia/Dubai"),
)

_PHONES = (
    ("Android", "10", "xiaomi", "M2006"),
    ("Android", "8.1.0", "samsung", "SM-G610F"),
    ("iOS", "11.2", "Apple", "iPhone10,3"),
    ("iOS", "10.3", "Apple", "iPhone8,1"),
)
_PLANS = ("Free", "Silver", "Gold")


class Device(NamedTuple):
    """An installation of the app on one phone; `object_id` is the platform's name for it."""

    object_id: str
    platform: str
    os_version: str
    app_version: str
    make: str
    model: str


@dataclass(frozen=True)
class Profile:
    """What the platform knows of one user; no identity as long as nobody has logged in."""

    profile_id: int
    account: str
    customer_id: int | None
    identities: tuple[str, ...]
    name: str | None
    email: str | None
    phone: str | None
    attributes: dict[str, Any]
    devices: tuple[Device, ...]

    @property
    def identity(self) -> str | None:
        """The first of the identities."""
        return self.identities[0] if self.identities else None


@dataclass(frozen=True)
class Event:
    """Something that a user did; `clock_lost` when the device sent no time that the platform could read."""

    event_id: int
    profile_id: int
    device: int
    name: str
    occurred_at: datetime
    clock_lost: bool
    properties: dict[str, Any]
    session: dict[str, Any]


@dataclass(frozen=True)
class AppWorld:
    """All profiles and events so far; events by project and name, in the order of their time."""

    profiles: dict[int, Profile]
    events: dict[tuple[str, str], list[Event]]


class AppEvents:
    """The part of the world that this module makes."""

    SCHEMA = "app"
    DDL = """
    create schema app;
    create table app.profiles (
        profile_id bigint primary key, account text not null, customer_id bigint, identities jsonb not null, name text,
        email text, phone text, attributes jsonb not null, devices jsonb not null
    );
    create table app.events (
        event_id bigint primary key, profile_id bigint not null, device int not null, name text not null,
        occurred_at timestamptz not null, clock_lost boolean not null,
        properties jsonb not null, session jsonb not null
    );
    create table app.steps (step int primary key, last_order bigint not null);
    """

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Users join, use the app and buy in it; see the module."""
        return _Step(connection, step).write()


def read_app(connection: Connection) -> AppWorld:
    """The app's users and events at the newest step."""
    profiles = _read_profiles(connection)
    events: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for row in connection.execute("select * from app.events order by occurred_at, event_id"):
        event = Event(*row)
        events[profiles[event.profile_id].account, event.name].append(event)
    return AppWorld(profiles, dict(events))


def _read_profiles(connection: Connection) -> dict[int, Profile]:
    profiles = {}
    for number, account, customer, identities, name, email, phone, attributes, devices in connection.execute(
        "select * from app.profiles order by profile_id"
    ):
        known = tuple(Device(*device) for device in devices)
        who = (tuple(identities), name, email, phone)
        profiles[number] = Profile(number, account, customer, *who, attributes, known)
    return profiles


class _Order(NamedTuple):
    order_id: int
    customer_id: int
    ordered_at: datetime
    total: Decimal
    currency: str
    campaign_id: int | None
    items: int
    product_id: int | None
    category: str | None


@dataclass
class _Step:
    connection: Connection
    step: Step
    profiles: dict[int, Profile] = field(default_factory=dict)
    joined: list[Profile] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    _taken: set[tuple[int, int, str, datetime, str]] = field(default_factory=set)
    _first_event: int = 1
    _first_profile: int = 1

    def write(self) -> Happened:
        """Makes the step's rows and stores them."""
        self.profiles = _read_profiles(self.connection)
        [[self._first_event, self._first_profile]] = self.connection.execute(
            "select (select coalesce(max(event_id), 0) + 1 from app.events),"
            " (select coalesce(max(profile_id), 0) + 1 from app.profiles)"
        ).fetchall()
        rng = dice(self.step.seed, self.step.number, "app")
        seen = {
            number
            for (number,) in self.connection.execute(
                "select distinct profile_id from app.events where name = %s", [LAUNCHED]
            )
        }
        self._join()
        self._sessions()
        self._twins()
        self._strangers(rng)
        if self.step.number:
            self._offline(rng)
        sent = len(self.events)
        self._plant(rng)
        distinct = len(self.events)
        late = sum(event.occurred_at < now(self.step.since) for event in self.events)
        self._send_twice(sent)
        launched = {event.profile_id for event in self.events if event.name == LAUNCHED}
        self._change_plans(launched & seen)
        self._store()
        changes: Counter[tuple[str, Kind]] = Counter()
        changes[EVENTS_STREAM, "insert"] = distinct
        changes[EVENTS_STREAM, "late"] = late
        changes[PROFILES_STREAM, "insert"] = len(launched - seen)
        changes[PROFILES_STREAM, "update"] = len(launched & seen)
        return Happened(self.defects, changes)

    def _join(self) -> None:
        """Some of the shop's customers install the app, one in five of them on two phones."""
        one_in = max(2, self.step.households // _MOST_USERS)
        rows = self.connection.execute(
            "select customer_id, first_name, last_name, email from shop.customers where deleted_at is null"
            " and email ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$'"
            " and customer_id not in (select customer_id from app.profiles where customer_id is not null)"
            " order by customer_id"
        ).fetchall()
        for customer_id, first_name, last_name, email in rows:
            if draw(one_in, self.step.world_seed, "app user", customer_id):
                continue
            rng = dice(self.step.world_seed, "app user", customer_id)
            self._profile(
                rng,
                customer_id=customer_id,
                identities=(f"user-{customer_id}", *([email] if rng.random() < 0.3 else [])),
                name=f"{first_name} {last_name}",
                email=email,
                phone=f"+1555{customer_id:07d}",
                attributes={
                    "Plan": rng.choice(_PLANS),
                    "Opt-in": rng.random() < 0.7,
                    "Stores": sorted(rng.sample(range(300, 450), rng.randint(0, 3))),
                    "Motto": rng.choice(("", 'say "yes"', "søt ✓", "C:\\")),
                },
                devices=2 if rng.random() < 0.2 else 1,
            )

    def _profile(
        self,
        rng: Random,
        *,
        account: str | None = None,
        customer_id: int | None = None,
        identities: Sequence[str] = (),
        name: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        attributes: dict[str, Any] | None = None,
        devices: int = 1,
    ) -> Profile:
        number = self._first_profile + len(self.joined)
        account = account or PROJECTS[number % len(PROJECTS)].account
        phones = []
        for _ in range(devices):
            platform, os_version, make, model = rng.choice(_PHONES)
            version = f"1.{rng.randint(0, 4)}.{rng.randint(0, 9)}"
            phones.append(Device(f"__{rng.getrandbits(128):032x}", platform, os_version, version, make, model))
        profile = Profile(
            number, account, customer_id, tuple(identities), name, email, phone, attributes or {}, tuple(phones)
        )
        self.joined.append(profile)
        self.profiles[number] = profile
        return profile

    def _sessions(self) -> None:
        """Around each order of a user: a purchase in the app, or a look around hours before, or nothing."""
        users = {
            profile.customer_id: profile
            for profile in reversed(self.profiles.values())
            if profile.customer_id is not None
        }
        orders = self._orders(list(users))
        for order in orders:
            profile = users[order.customer_id]
            rng = dice(self.step.world_seed, "app order", order.order_id)
            device, lot = rng.randrange(len(profile.devices)), rng.randrange(2 * _ORDER_SHARE)
            if lot < 2:
                self._purchase(rng, profile, device, order)
            elif lot == 2:
                self._look(rng, profile, device, order.ordered_at - timedelta(seconds=rng.randint(3600, 9000)), order)
        [[last]] = self.connection.execute("select coalesce(max(order_id), 0) from shop.orders").fetchall()
        self.connection.execute("insert into app.steps (step, last_order) values (%s, %s)", [self.step.number, last])

    def _orders(self, customers: list[int]) -> list[_Order]:
        """New orders of the app's users, each with one of its products."""
        rows = self.connection.execute(
            """
            select o.order_id, o.customer_id, o.ordered_at, o.total_amount, trim(o.currency), o.campaign_id,
                coalesce(i.items, 0), i.product_id, p.product_category
            from shop.orders o
            left join (
                select order_id, count(*) as items, min(product_id) as product_id from shop.order_items
                where product_id < %(unknown)s group by order_id
            ) i using (order_id)
            left join shop.products p on p.product_id = i.product_id
            where o.customer_id = any(%(customers)s) and o.status in ('completed', 'returned', 'cancelled')
                and o.order_id > (select coalesce(max(last_order), 0) from app.steps)
            order by o.order_id
            """,
            {"customers": customers, "unknown": _UNKNOWN_PRODUCT},
        )
        return [_Order(*row) for row in rows]

    def _purchase(self, rng: Random, profile: Profile, device: int, order: _Order) -> None:
        begun = order.ordered_at - timedelta(seconds=rng.randint(60, 1500))
        session: dict[str, Any] = {"session_id": int(begun.timestamp())}
        if order.campaign_id is not None:
            source = {"utm_source": "facebook", "utm_medium": "paid", "utm_campaign": str(order.campaign_id)}
            session |= source
            self._event(profile, device, VISITED, begun - 2 * _SECOND, {**source, "Landing": "/sale"}, session)
        self._look(rng, profile, device, begun, order, session)
        charged = {
            "Charged ID": order.order_id,
            "Amount": float(order.total),
            "Currency": order.currency,
            "Payment mode": rng.choice(("card", "wallet", "на руки")),
            "Items": [{"Product ID": order.product_id, "Category": order.category}] if order.product_id else [],
            "Items count": order.items,
        }
        # Properties have no types: what is a number from one version of the app is a text from another.
        if rng.random() < 0.1:
            charged |= {"Charged ID": str(order.order_id), "Amount": str(order.total)}
        self._event(profile, device, CHARGED, order.ordered_at, charged, session)

    def _look(
        self,
        rng: Random,
        profile: Profile,
        device: int,
        at: datetime,
        order: _Order | None,
        session: dict[str, Any] | None = None,
    ) -> None:
        session = session or ({"session_id": int(at.timestamp())} if rng.random() < 0.9 else {})
        self._event(profile, device, LAUNCHED, at, {"Source": rng.choice(("icon", "push"))}, session)
        product = order.product_id if order and order.product_id else 1_000_000 + rng.randrange(1000)
        viewed = {
            "Product ID": str(product) if rng.random() < 0.1 else product,
            "Category": order.category if order else None,
            "Price": rng.randint(50, 3000) / 100,
            "Referrer": {"screen": rng.choice(("home", "search")), "position": rng.randint(1, 9)},
        }
        viewed = {name: value for name, value in viewed.items() if value is not None}
        self._event(profile, device, VIEWED, at + timedelta(seconds=rng.randint(10, 50)), viewed, session)

    def _event(
        self,
        profile: Profile,
        device: int,
        name: str,
        at: datetime,
        properties: dict[str, Any],
        session: dict[str, Any],
        *,
        clock_lost: bool = False,
    ) -> Event:
        content = json.dumps(properties, sort_keys=True)
        # Two events that tell the same are one: what is not meant to be the same differs by a second.
        while (profile.profile_id, device, name, at, content) in self._taken:
            at -= _SECOND
        self._taken.add((profile.profile_id, device, name, at, content))
        number = self._first_event + len(self.events)
        event = Event(number, profile.profile_id, device, name, at, clock_lost, properties, session)
        self.events.append(event)
        return event

    def _twins(self) -> None:
        """One new user in ten has a second, older profile under the same identity, which is never used again."""
        begun = {event.profile_id: event for event in reversed(self.events) if event.name == LAUNCHED}
        for profile in [profile for profile in self.joined if profile.customer_id and profile.profile_id in begun]:
            if draw(10, self.step.world_seed, "app twin", profile.customer_id):
                continue
            rng = dice(self.step.world_seed, "app twin", profile.customer_id)
            twin = self._profile(
                rng,
                account=profile.account,
                customer_id=profile.customer_id,
                identities=profile.identities[:1],
                name=profile.name,
                attributes={"Plan": "Free"},
            )
            self._event(twin, 0, LAUNCHED, begun[profile.profile_id].occurred_at + _SECOND, {"Source": "icon"}, {})

    def _strangers(self, rng: Random) -> None:
        """People who look around and never log in."""
        for _ in range(self._count(6, 300)):
            self._look(rng, self._profile(rng), 0, self._moment(rng), None)

    def _offline(self, rng: Random) -> None:
        """Sessions of days before the step, of which the devices tell only now, as they do of late orders."""
        users = self._users()
        for _ in range(self._count(60, 100)):
            at = now(self.step.since) - timedelta(seconds=rng.randint(3600, 86_400 * (LATE_DAYS - 1)))
            self._look(rng, rng.choice(users), 0, at, None)

    def _plant(self, rng: Random) -> None:
        """Events and profiles that a check must find, of each kind as many."""
        users = self._users()
        for _ in range(self._count(40, 1000)):
            for reason, wrong in (
                ("amount_non_negative", {"Amount": -rng.randint(100, 9000) / 100}),
                ("amount_readable", {"Amount": "12,50 USD"}),
                ("currency_wellformed", {"Currency": "Dollars"}),
            ):
                number = self._first_event + len(self.events)
                told = {"Charged ID": _UNKNOWN_ORDER + number, "Amount": 9.99, "Currency": "USD"} | wrong
                event = self._event(rng.choice(users), 0, CHARGED, self._moment(rng), told, {})
                self.defects.append(Defect(EVENTS_STREAM, str(event.event_id), reason))
            product = {"Product ID": _UNKNOWN_PRODUCT + self._first_event + len(self.events)}
            event = self._event(rng.choice(users), 0, VIEWED, self._moment(rng), product, {}, clock_lost=True)
            self.defects.append(Defect(EVENTS_STREAM, str(event.event_id), "occurred_at_complete"))
            for reason, email, phone in (
                ("email_wellformed", rng.choice(_MALFORMED_EMAILS), None),
                ("phone_wellformed", None, rng.choice(_MALFORMED_PHONES)),
            ):
                number = self._first_profile + len(self.joined)
                guest = self._profile(rng, identities=(f"guest-{number}",), email=email, phone=phone)
                self._event(guest, 0, LAUNCHED, self._moment(rng), {"Source": "icon"}, {})
                self.defects.append(Defect(PROFILES_STREAM, str(guest.profile_id), reason))

    def _send_twice(self, sent: int) -> None:
        """One event in a hundred reaches the platform twice."""
        for event in self.events[:sent]:
            if draw(100, self.step.world_seed, "app twice", event.event_id) == 0:
                again = self._first_event + len(self.events)
                self.events.append(replace(event, event_id=again))

    def _change_plans(self, active: set[int]) -> None:
        """Every third active user changes the plan."""
        for number in sorted(active):
            profile = self.profiles[number]
            if profile.attributes and draw(3, self.step.seed, self.step.number, "app plan", number) == 0:
                others = [plan for plan in _PLANS if plan != profile.attributes["Plan"]]
                plan = others[draw(len(others), self.step.seed, "app plan", number)]
                self.connection.execute(
                    "update app.profiles set attributes = %s where profile_id = %s",
                    [Jsonb({**profile.attributes, "Plan": plan}), number],
                )

    def _store(self) -> None:
        with self.connection.cursor().copy("copy app.profiles from stdin") as copy:
            for profile in self.joined:
                values = vars(profile) | {"identities": Jsonb(profile.identities), "devices": Jsonb(profile.devices)}
                copy.write_row(list((values | {"attributes": Jsonb(profile.attributes)}).values()))
        with self.connection.cursor().copy("copy app.events from stdin") as copy:
            for event in self.events:
                values = vars(event) | {"properties": Jsonb(event.properties), "session": Jsonb(event.session)}
                copy.write_row(list(values.values()))

    def _users(self) -> list[Profile]:
        """Profiles that are in use: neither strangers nor guests nor somebody's second one."""
        return [profile for profile in self.profiles.values() if profile.name and profile.email]

    def _count(self, one_in: int, one_in_a_day: int) -> int:
        """How many of something, by the number of users: of history as a whole, or of a step's days; at least one."""
        users = len(self._users())
        if self.step.number == 0:
            return max(2, users // one_in)
        return max(1, users * (self.step.clock - self.step.since).days // one_in_a_day)

    def _moment(self, rng: Random) -> datetime:
        days = (self.step.clock - self.step.since).days
        # The first day of history begins with the real data's first purchase: no earlier day is ever asked for.
        return now(self.step.since) + timedelta(seconds=rng.randrange(43_200, 86_400 * days - 60))


APP_EVENTS = AppEvents()
