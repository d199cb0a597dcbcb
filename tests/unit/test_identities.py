"""Laws of who is whom, of the model to which Spark's answer is held (tests/spark/test_linked.py), and what is refused when declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.config.documents import problems_of
from headwater.config.identities import Identities
from headwater.ledger.entries import Held
from headwater.ledger.held import waiting_tables
from tests.support import declared
from tests.support.identities import LINKS, Record, groups

SOURCES = ("shop", "crm", "app")
VALUES = {"number": "12", "ticket": "xy", "email": "abc", "phone": "pqr"}


@st.composite
def populations(draw: st.DrawFn) -> list[Record]:
    """A few records that have a few values in common; a customer of the shop has a number of its own."""
    made = []
    for number in range(draw(st.integers(0, 8))):
        source = draw(st.sampled_from(SOURCES))
        values = {link: draw(st.sampled_from(letters)) for link, letters in VALUES.items() if draw(st.booleans())}
        if source == "shop":
            values["number"] = f"shop-{number}" if draw(st.booleans()) else draw(st.sampled_from("12"))
        made.append(Record(draw(st.sampled_from("123")), source, str(number), values))
    return made


@given(populations(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_the_order_in_which_records_came_makes_no_difference(found: list[Record], random: Any) -> None:
    other = list(found)
    random.shuffle(other)
    assert groups(found) == groups(other)


@given(populations())
@settings(max_examples=100)
def test_nobody_has_two_numbers_and_records_of_one_number_are_of_one_person(found: list[Record]) -> None:
    persons = groups(found)
    by_person: dict[Record, set[str]] = {}
    for record in found:
        by_person.setdefault(persons[record], set()).update(
            {record.values["number"]} & {*record.values.values()} if "number" in record.values else set()
        )
    assert all(len(numbers) <= 1 for numbers in by_person.values())
    numbered = [record for record in found if "number" in record.values]
    assert all(persons[a] == persons[b] for a in numbered for b in numbered if a.values["number"] == b.values["number"])


@given(populations())
@settings(max_examples=100)
def test_a_person_is_called_by_its_first_record_and_nobody_is_linked_without_a_value_in_common(
    found: list[Record],
) -> None:
    persons = groups(found)
    for record, first in persons.items():
        assert first <= record
        assert persons[first] == first
        others = [other for other in found if persons[other] == first and other != record]
        assert not others or any(
            record.values.get(link) == value for other in others for link, value in other.values.items()
        )


@given(populations(), st.sampled_from(["email", "phone"]))
@settings(max_examples=100)
def test_a_value_that_two_customers_of_the_shop_share_links_nobody(found: list[Record], link: str) -> None:
    twins = [Record("0", "shop", f"twin {n}", {"number": f"twin {n}", link: "shared"}) for n in (1, 2)]
    lone = Record("9", "crm", "lone", {link: "shared"})
    persons = groups([*found, *twins, lone])
    assert persons[lone] == lone
    assert persons[twins[0]] != persons[twins[1]]
    assert {r: p for r, p in persons.items() if r in found} == groups(found)


@given(populations(), populations())
@settings(max_examples=60)
def test_who_has_nothing_in_common_with_others_does_not_change_them(found: list[Record], others: list[Record]) -> None:
    apart = [
        Record(r.since, r.source, f"apart {r.record_id}", {k: f"apart {v}" for k, v in r.values.items()})
        for r in others
    ]
    assert groups([*found, *apart]) == groups(found) | groups(apart)


def test_a_person_is_joined_across_sources_and_told_apart_again_when_the_value_goes() -> None:
    customer = Record("1", "shop", "5", {"number": "5", "email": "a"})
    contact = Record("2", "crm", "7", {"email": "a", "phone": "p"})
    profile = Record("3", "app", "9", {"phone": "p"})
    assert {*groups([profile, contact, customer]).values()} == {customer}
    moved = Record("2", "crm", "7", {"email": "b", "phone": "p"})
    assert groups([profile, moved, customer]) == {customer: customer, moved: moved, profile: moved}


GOOD: dict[str, Any] = {
    "identities": "who",
    "owner": "Shop",
    "note": "Who is whom.",
    "members": {"shop": {"table": "customers", "since": "created_at", "values": {"number": "customer_id"}}},
    "links": [{"by": "number"}],
}


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"links": [{"by": "numbr"}]}, "members.shop.values.number", "no link number, did you mean numbr?"),
        ({"links": [{"by": "number"}, {"by": "number"}]}, "links.1.by", "number stands twice"),
        ({"links": [{"by": "number"}, {"by": "email"}]}, "links.1.by", "no member tells email"),
    ],
)
def test_a_link_that_is_not_told_is_refused_with_its_place(change: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Identities.model_validate(GOOD | change)
    assert (place, said) in [
        (".".join(map(str, at)), problem) for at, problem in problems_of(caught.value) if said in problem
    ] or any(".".join(map(str, at)) == place and said in problem for at, problem in problems_of(caught.value))


def test_what_contradicts_silver_is_told() -> None:
    tables = declared.project().tables
    assert [*Identities.model_validate(GOOD).disagreements(tables)] == []
    named = Identities.model_validate(GOOD | {"identities": "orders"})
    assert [place for place, _ in named.disagreements(tables)] == [("identities",)]
    stranger = {"members": {"shop": GOOD["members"]["shop"] | {"table": "custmers"}}}
    [(place, problem)] = Identities.model_validate(GOOD | stranger).disagreements(tables)
    assert place == ("members", "shop", "table")
    assert "did you mean customers?" in problem


def test_the_declared_links_are_those_that_the_model_tries() -> None:
    [found] = declared.project().identities.values()
    assert [link.shareable for link in found.links] == [link.shareable for link in LINKS]


def test_who_is_whom_and_what_reads_it_wait_for_the_streams_that_tell_it_but_for_no_optional_source() -> None:
    project = declared.project()
    reader = project.gold["regional_sales"].model_copy(update={"inputs": ("customer_identities",), "optional": ()})
    why = {"Check": Held(run_id="run", stage="Check", error="Halted", cause="bad")}
    held = dict.fromkeys(("rds_postgres.customers", "hubspot.contacts", "rds_postgres.orders"), why)
    waits = waiting_tables(project.model_copy(update={"gold": {"persons": reader}}), held)
    assert waits == {name: ["rds_postgres.customers"] for name in ("customer_identities", "persons")}


def test_a_member_whose_table_nothing_feeds_is_left_out() -> None:
    [found] = declared.project().identities.values()
    left = found.of({"customers"})
    assert left is not None
    assert [*left.members] == ["shop"]
    assert found.of({"orders"}) is None
