"""The shop's CRM: contacts made of its customers and of people who might become ones, and deals with firms that buy in bulk.

Most contacts are customers of the shop, by their `customer_id`; the others are leads. Archived rows stay (the CRM keeps them
for 90 days, which is the simulator's business); the loser of a merge is gone, and only `crm.merges` still knows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from local.world.dice import dice, draw
from local.world.part import Happened, Step
from local.world.people import CITIES, person
from local.world.tables import copy_rows
from local.world.truth import Connection, Defect, Kind, now

CONTACTS = "hubspot.contacts"
CONTACTS_ARCHIVED = "hubspot.contacts_archived"
DEALS = "hubspot.deals"
DEALS_ARCHIVED = "hubspot.deals_archived"
ASSOCIATIONS = "hubspot.associations"

MALFORMED_EMAIL = "email_wellformed"
NEGATIVE_AMOUNT = "amount_non_negative"
UNKNOWN_STAGE = "stage_known"

RESTORABLE_DAYS = 80
"""Rows archived longer ago than this are left alone, well before the CRM forgets them."""

STAGES = (
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
    "closedwon",
    "closedlost",
)
LIFECYCLE = ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer")

_FIRST_ID = 30_000_000_001
_FIRST_LEAD = 5_000_000
_CUSTOMERS_IN_HUNDRED = 60
_HISTORY_DAYS = 400
_OWNERS = (610001, 610002, 610003, 610004)
_SOURCES = ("ORGANIC_SEARCH", "PAID_SOCIAL", "PAID_SEARCH", "REFERRALS", "DIRECT_TRAFFIC", "OFFLINE")
_CHANNELS = ("email", "sms", "phone", "post")
_MALFORMED = ("no-at-sign", "nobody@", "@nowhere.example", "two@@signs.example", "spaces in@address.example")
_FIRMS = (
    "Hearth Catering",
    "Øresund Deli",
    "Miller & Sons",
    "Blue Plate Diners",
    "Café Ñandú",
    "Northside School Kitchens",
    "Sunrise Hostels",
    "Riverbend Hospital",
    "Kowalczyk Piekarnia",
    "O'Brien's Pubs",
    "田中食堂",
    "Green Fork Events",
)
_CURRENCIES = (*["USD"] * 16, *["EUR"] * 3, "INR")
_UNITS_PER_DOLLAR = {"USD": Decimal(1), "EUR": Decimal("0.85"), "INR": Decimal(65)}

DDL = """
create schema crm;
create table crm.contacts (
    contact_id bigint primary key, customer_id bigint, first_name text, last_name text, email text, phone text, city text,
    company text, lifecycle_stage text not null, owner_id bigint, source text, channels text[] not null,
    merged_ids bigint[] not null, created_at timestamptz not null, updated_at timestamptz not null,
    archived_at timestamptz
);
create table crm.deals (
    deal_id bigint primary key, name text not null, pipeline text not null, stage text not null, amount numeric(14,2),
    currency char(3) not null, close_at timestamptz, deal_type text, owner_id bigint, created_at timestamptz not null,
    updated_at timestamptz not null, archived_at timestamptz
);
create table crm.deal_contacts (deal_id bigint not null, contact_id bigint not null, primary key (deal_id, contact_id));
create table crm.merges (loser_id bigint primary key, winner_id bigint not null, merged_at timestamptz not null);
"""


class _Firm(NamedTuple):
    """Someone a deal can be made with: a contact."""

    contact_id: int
    created_at: datetime


class Crm:
    """The part of the world behind source hubspot."""

    DDL = DDL
    SCHEMA = "crm"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes the CRM's history in step 0; afterwards what sales people did in the days of the step."""
        if step.number == 0:
            return _History(connection, step).write()
        return _Days(connection, step).write()


CRM = Crm()


class _Writer:
    """What history and every later step have in common."""

    def __init__(self, connection: Connection, step: Step) -> None:
        self.connection = connection
        self.step = step
        self.rng = dice(step.seed, step.number, "crm")
        self.size = step.size
        self.defects: list[Defect] = []
        self.changes: Counter[tuple[str, Kind]] = Counter()

    def happened(self) -> Happened:
        """Everything noted so far."""
        return Happened(self.defects, self.changes)

    def add_contacts(self, customers: Sequence[tuple[Any, ...]], leads: int, planted: int, moments: Moments) -> None:
        """Adds contacts for customers (id, names, email, city, since when), leads, and leads with a malformed address."""
        rows: list[list[Any]] = []
        for customer_id, first, last, email, city, since in customers:
            created = moments.after(since)
            rows.append([customer_id, first, last, email, city, None, "customer", created])
        first_lead = self._next("select count(*) from crm.contacts where customer_id is null") + _FIRST_LEAD
        for number in range(first_lead, first_lead + leads + planted):
            who, firm = person(self.rng, number), self.rng.choice(_FIRMS)
            email = self.rng.choice(_MALFORMED) if number >= first_lead + leads else who.email
            stage = self.rng.choice(LIFECYCLE[:-1])
            rows.append([None, *who[:2], email, who.city, firm, stage, moments.any()])
        # Ids grow with time, as the CRM gives them.
        rows.sort(key=lambda row: row[-1])
        first_id = self._next(
            "select coalesce(max(id), 0) + 1 from"
            " (select contact_id as id from crm.contacts union all select loser_id from crm.merges) ids",
            least=_FIRST_ID,
        )
        with self.connection.cursor().copy(
            "copy crm.contacts (contact_id, customer_id, first_name, last_name, email, city, company, lifecycle_stage,"
            " created_at, updated_at, phone, owner_id, source, channels, merged_ids) from stdin"
        ) as copy:
            for contact_id, row in enumerate(rows, first_id):
                created = row[-1]
                updated = moments.between(created) if self.rng.random() < 0.5 else created
                copy.write_row((contact_id, *row, updated, *self._habits(), []))
                if row[3] in _MALFORMED:
                    self.defects.append(Defect(CONTACTS, str(contact_id), MALFORMED_EMAIL))
        self.changes[CONTACTS, "insert"] += len(rows)

    def add_deals(self, firms: Sequence[_Firm], number: int, planted: int, moments: Moments) -> None:
        """Adds deals with contacts, and deals that a check must refuse, with none."""
        times = sorted(moments.any() for _ in range(number + planted))
        wrong = self.rng.sample(range(len(times)), planted)
        first_id = self._next("select coalesce(max(deal_id), 0) + 1 from crm.deals", least=_FIRST_ID)
        deals: list[Sequence[Any]] = []
        pairs: list[tuple[int, int]] = []
        for turn, created in enumerate(times):
            deal_id = first_id + turn
            amount, currency = self._price()
            stage, updated = self._fate(created, moments)
            if turn in wrong:
                # Both kinds in turn, over the steps as well.
                if (wrong.index(turn) + self.step.number) % 2:
                    amount, reason = -(amount or Decimal(100)), NEGATIVE_AMOUNT
                else:
                    stage, reason = "teleported", UNKNOWN_STAGE
                self.defects.append(Defect(DEALS, str(deal_id), reason))
            else:
                known = [firm for firm in self.rng.sample(firms, min(8, len(firms))) if firm.created_at < created]
                pairs += [(deal_id, firm.contact_id) for firm in known[: self.rng.choice((1, 1, 1, 2, 3))]]
            name = f"{self.rng.choice(_FIRMS)}: {self.rng.choice(('weekly', 'monthly', 'event', 'pilot'))} #{deal_id % 10_000}"
            closes = updated if stage.startswith("closed") else created + timedelta(days=self.rng.randint(14, 90))
            kind = self.rng.choice(("newbusiness", "existingbusiness", None))
            owner = self.rng.choice(_OWNERS)
            deals.append(
                (deal_id, name, "default", stage, amount, currency, closes, kind, owner, created, updated, None)
            )
        copy_rows(self.connection, "crm.deals", deals)
        copy_rows(self.connection, "crm.deal_contacts", pairs)
        self.changes[DEALS, "insert"] += len(deals)
        self.changes[ASSOCIATIONS, "insert"] += len(deals)

    def _habits(self) -> tuple[Any, ...]:
        phone = f"+1 513 555 {self.rng.randrange(10_000):04d}" if self.rng.random() < 0.7 else None
        owner = self.rng.choice((*_OWNERS, None))
        channels = sorted(self.rng.sample(_CHANNELS, self.rng.choice((0, 1, 1, 2, 3))))
        return phone, owner, self.rng.choice(_SOURCES), channels

    def _price(self) -> tuple[Decimal | None, str]:
        currency = self.rng.choice(_CURRENCIES)
        if self.rng.random() < 0.08:
            return None, currency
        dollars = Decimal(round(100 * min(60_000, self.rng.lognormvariate(7.3, 1.0)))) / 100
        return (dollars * _UNITS_PER_DOLLAR[currency]).quantize(Decimal("0.01")), currency

    def _fate(self, created: datetime, moments: Moments) -> tuple[str, datetime]:
        """A deal's stage, and since when: after three months nearly every deal is won or lost."""
        age = (moments.end - created).days
        if self.rng.random() < min(0.95, age / 90):
            closed = created + timedelta(days=min(age, self.rng.randint(7, 90)))
            return self.rng.choice(("closedwon", "closedwon", "closedlost")), moments.between(min(created, closed))
        return self.rng.choice(STAGES[:5]), moments.between(created) if age else created

    def _next(self, query: str, least: int = 0) -> int:
        [[number]] = self.connection.execute(query).fetchall()
        return max(int(number), least)


class Moments:
    """Times of one step to the millisecond, as the CRM tells them; none at or after its end."""

    def __init__(self, rng: Random, begin: datetime, end: datetime) -> None:
        self._rng = rng
        self._begin = begin
        self.end = end

    def any(self) -> datetime:
        """Some time in the step."""
        return self.between(self._begin)

    def after(self, moment: datetime) -> datetime:
        """Some time in the step, within a few days after `moment` if it lies in the step."""
        if moment < self._begin:
            return self.any()
        soon = moment + timedelta(milliseconds=self._rng.randint(60_000, 5 * 86_400_000))
        return _to_milliseconds(soon) if soon < self.end else self.between(moment)

    def between(self, moment: datetime) -> datetime:
        """Some time from `moment` to the end of the step."""
        whole = (self.end - moment) // timedelta(milliseconds=1)
        return _to_milliseconds(moment + timedelta(milliseconds=self._rng.randrange(1, max(2, whole))))


class _History(_Writer):
    """Step 0."""

    def write(self) -> Happened:
        end = now(self.step.clock)
        moments = Moments(self.rng, end - timedelta(days=_HISTORY_DAYS), end)
        leads = max(20, round(990 * self.size))
        self.add_contacts(_customers(self.connection, self.step), leads, max(3, round(25 * self.size)), moments)
        rows = self.connection.execute("select contact_id, created_at from crm.contacts order by contact_id").fetchall()
        refused = {int(defect.key) for defect in self.defects}
        firms = [_Firm(*row) for row in rows if row[0] not in refused]
        self.add_deals(firms, max(40, round(1200 * self.size)), max(4, round(16 * self.size)), moments)
        for table, key, stream in (
            ("contacts", "contact_id", CONTACTS_ARCHIVED),
            ("deals", "deal_id", DEALS_ARCHIVED),
        ):
            self._archive_some(table, key, stream, moments)
        return self.happened()

    def _archive_some(self, table: str, key: str, stream: str, moments: Moments) -> None:
        """One row in forty was archived, and four at least; every other one lately, some so long ago that it is forgotten."""
        planted = {int(defect.key) for defect in self.defects}
        rows = self.connection.execute(f"select {key}, updated_at from crm.{table} order by {key}").fetchall()
        sound = [(row, updated) for row, updated in rows if row not in planted]
        gone = self.rng.sample(sound, max(4, len(sound) // 40))
        lately = moments.end - timedelta(days=RESTORABLE_DAYS)
        self.connection.cursor().executemany(
            f"update crm.{table} set archived_at = %s where {key} = %s",
            [
                (moments.between(max(updated, lately) if turn % 2 else updated), row)
                for turn, (row, updated) in enumerate(gone)
            ],
        )
        if table == "contacts":
            archived = [row for row, _ in gone]
            self.connection.execute("delete from crm.deal_contacts where contact_id = any(%s)", [archived])
        self.changes[stream, "insert"] += len(gone)


class _Days(_Writer):
    """A later step. A row changes at most once in it, and not at all if it is new in it or planted."""

    def __init__(self, connection: Connection, step: Step) -> None:
        super().__init__(connection, step)
        self.days = (step.clock - step.since).days
        self.moments = Moments(self.rng, now(step.since), now(step.clock))
        self.busy: set[int] = set()
        """Deals that have changed already."""

    def write(self) -> Happened:
        contacts = self._pool("contacts", "contact_id", CONTACTS)
        merged, archived, updated, touched = (
            [contacts.pop() for _ in range(min(self._count(n), len(contacts) // 2))] for n in (1.4, 1, 25, 10)
        )
        self._merge(merged)
        self._archive_contacts(archived)
        self._update_contacts(updated)
        self._touch("contacts", "contact_id", touched)
        self.changes[CONTACTS, "touch"] += len(touched)
        self._restore("contacts", "contact_id", CONTACTS)
        deals = [deal for deal in self._pool("deals", "deal_id", DEALS) if deal not in self.busy]
        moved, amended, gone, linked, touched = (
            [deals.pop() for _ in range(min(self._count(n), len(deals) // 2))] for n in (15, 4, 1, 3, 5)
        )
        self._move_deals(moved)
        self._amend_deals(amended)
        self._set("deals", "deal_id", "archived_at = v.at", gone)
        self.changes[DEALS_ARCHIVED, "insert"] += len(gone)
        self._link([(deal, contact) for deal, contact in zip(linked, contacts, strict=False)])
        self._touch("deals", "deal_id", touched)
        self.changes[DEALS, "touch"] += len(touched)
        self.changes[ASSOCIATIONS, "touch"] += len(touched)
        self._restore("deals", "deal_id", DEALS)
        planted = max(1, self.days // 3)
        self.add_contacts(_customers(self.connection, self.step), self._count(5), planted, self.moments)
        rows = self.connection.execute(
            "select contact_id, created_at from crm.contacts where contact_id = any(%s) order by contact_id", [contacts]
        ).fetchall()
        self.add_deals([_Firm(*row) for row in rows], self._count(6), planted, self.moments)
        return self.happened()

    def _count(self, per_day: float) -> int:
        """How many in this step, of what the whole CRM has so many of in a day; at least two, for pairs."""
        return max(2, round(per_day * self.days * self.size))

    def _pool(self, table: str, key: str, stream: str) -> list[int]:
        """Live rows that hold up, shuffled."""
        rows = self.connection.execute(
            f"select {key} from crm.{table} where archived_at is null and {key} not in"
            " (select key::bigint from truth.defects where stream = %s)"
            f" order by {key}",
            [stream],
        ).fetchall()
        keys = [row[0] for row in rows]
        self.rng.shuffle(keys)
        return keys

    def _merge(self, contacts: list[int]) -> None:
        """Contacts that were entered twice become one, which takes over the deals and the ids of the other."""
        for winner, loser in zip(contacts[::2], contacts[1::2], strict=False):
            at = self.moments.any()
            deals = self._deals_of([loser])
            self.connection.execute(
                "insert into crm.deal_contacts select deal_id, %s from crm.deal_contacts where contact_id = %s"
                " on conflict do nothing",
                [winner, loser],
            )
            self.connection.execute("delete from crm.deal_contacts where contact_id = %s", [loser])
            self.connection.execute(
                "update crm.contacts w set merged_ids = w.merged_ids || l.contact_id || l.merged_ids, updated_at = %s"
                " from crm.contacts l where w.contact_id = %s and l.contact_id = %s",
                [at, winner, loser],
            )
            self.connection.execute("delete from crm.contacts where contact_id = %s", [loser])
            self.connection.execute("insert into crm.merges values (%s, %s, %s)", [loser, winner, at])
            self._relink(deals, at)
            self.changes[CONTACTS, "update"] += 1
            self.changes[CONTACTS, "delete"] += 1

    def _archive_contacts(self, contacts: list[int]) -> None:
        """An archived contact is no longer linked to any deal."""
        deals = self._deals_of(contacts)
        self.connection.execute("delete from crm.deal_contacts where contact_id = any(%s)", [contacts])
        self._set("contacts", "contact_id", "archived_at = v.at", contacts)
        self._relink(deals, self.moments.any())
        self.changes[CONTACTS_ARCHIVED, "insert"] += len(contacts)

    def _update_contacts(self, contacts: list[int]) -> None:
        """Half of them come nearer to a sale, or fall back; the others move to another town."""
        half = len(contacts) // 2
        stages = dict(
            self.connection.execute(
                "select contact_id, lifecycle_stage from crm.contacts where contact_id = any(%s)", [contacts[:half]]
            ).fetchall()
        )
        cities = dict(
            self.connection.execute(
                "select contact_id, city from crm.contacts where contact_id = any(%s)", [contacts[half:]]
            ).fetchall()
        )
        self._set(
            "contacts",
            "contact_id",
            "lifecycle_stage = v.value, updated_at = v.at",
            contacts[:half],
            [self._another(LIFECYCLE, stages[contact]) for contact in contacts[:half]],
        )
        self._set(
            "contacts",
            "contact_id",
            "city = v.value, updated_at = v.at",
            contacts[half:],
            [self._another(CITIES, cities[contact]) for contact in contacts[half:]],
        )
        self.changes[CONTACTS, "update"] += len(contacts)

    def _move_deals(self, deals: list[int]) -> None:
        stages = dict(
            self.connection.execute("select deal_id, stage from crm.deals where deal_id = any(%s)", [deals]).fetchall()
        )
        new = [self._another(STAGES, stages[deal]) for deal in deals]
        self._set("deals", "deal_id", "stage = v.value, updated_at = v.at", deals, new)
        self.changes[DEALS, "update"] += len(deals)
        self.changes[ASSOCIATIONS, "touch"] += len(deals)

    def _amend_deals(self, deals: list[int]) -> None:
        """A price is agreed on, or taken back."""
        self._set(
            "deals",
            "deal_id",
            "amount = case when amount is null then 500.25 when mod(t.deal_id, 4) = 0 then null"
            " else round(amount * 1.1, 2) + 0.01 end, updated_at = v.at",
            deals,
        )
        self.changes[DEALS, "update"] += len(deals)
        self.changes[ASSOCIATIONS, "touch"] += len(deals)

    def _link(self, pairs: list[tuple[int, int]]) -> None:
        """Every other of these deals loses its contacts; the others get one more."""
        deals = [deal for deal, _ in pairs]
        before = self._contacts_of(deals)
        self.connection.execute("delete from crm.deal_contacts where deal_id = any(%s)", [deals[::2]])
        self.connection.cursor().executemany(
            "insert into crm.deal_contacts values (%s, %s) on conflict do nothing", pairs[1::2]
        )
        self._touch("deals", "deal_id", deals)
        after = self._contacts_of(deals)
        changed = sum(before.get(deal) != after.get(deal) for deal in deals)
        self.changes[DEALS, "touch"] += len(deals)
        self.changes[ASSOCIATIONS, "update"] += changed
        self.changes[ASSOCIATIONS, "touch"] += len(deals) - changed

    def _contacts_of(self, deals: list[int]) -> dict[int, list[int]]:
        return dict(
            self.connection.execute(
                "select deal_id, array_agg(contact_id order by contact_id) from crm.deal_contacts"
                " where deal_id = any(%s) group by deal_id",
                [deals],
            ).fetchall()
        )

    def _deals_of(self, contacts: list[int]) -> list[int]:
        rows = self.connection.execute(
            "select distinct deal_id from crm.deal_contacts join crm.deals using (deal_id)"
            " where contact_id = any(%s) and archived_at is null order by 1",
            [contacts],
        ).fetchall()
        return [row[0] for row in rows]

    def _relink(self, deals: list[int], at: datetime) -> None:
        """A deal counts its contacts, so the time of its last change moves with them."""
        self.connection.execute("update crm.deals set updated_at = %s where deal_id = any(%s)", [at, deals])
        new = set(deals) - self.busy
        self.busy |= new
        self.changes[DEALS, "touch"] += len(new)
        self.changes[ASSOCIATIONS, "update"] += len(new)

    def _restore(self, table: str, key: str, stream: str) -> None:
        """One row comes back out of the archive."""
        row = self.connection.execute(
            f"select {key} from crm.{table} where archived_at between %s and %s order by {key} limit 1",
            [now(self.step.since) - timedelta(days=RESTORABLE_DAYS), now(self.step.since)],
        ).fetchone()
        if row is None:
            return
        self._set(table, key, "archived_at = null, updated_at = v.at", [row[0]])
        self.changes[stream, "update"] += 1
        if stream == DEALS:
            self.changes[ASSOCIATIONS, "touch"] += 1

    def _another(self, choices: Sequence[str], old: str | None) -> str:
        return self.rng.choice([choice for choice in choices if choice != old])

    def _touch(self, table: str, key: str, keys: list[int]) -> None:
        """Something changed that no reader asks for: only the time of the change is seen."""
        self._set(table, key, "updated_at = v.at", keys)

    def _set(
        self, table: str, key: str, assignments: str, keys: list[int], values: Sequence[str] | None = None
    ) -> None:
        self.connection.execute(
            f"update crm.{table} t set {assignments}"
            " from unnest(%s::bigint[], %s::text[], %s::timestamptz[]) as v (key, value, at)"
            f" where t.{key} = v.key",
            [keys, values or [""] * len(keys), [self.moments.any() for _ in keys]],
        )


def _customers(connection: Connection, step: Step) -> list[tuple[Any, ...]]:
    """Customers that sales people enter into the CRM in this step: id, names, email, city, since when."""
    rows = connection.execute(
        "select customer_id, first_name, last_name, email, city, created_at from shop.customers c"
        " where deleted_at is null and email ~ '^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$'"
        " and created_at >= %s and created_at < %s"
        " and not exists (select 1 from crm.contacts k where k.customer_id = c.customer_id) order by customer_id",
        ["-infinity" if step.number == 0 else now(step.since), now(step.clock)],
    ).fetchall()
    return [row for row in rows if draw(100, step.world_seed, "contact", row[0]) < _CUSTOMERS_IN_HUNDRED]


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
