"""Who is whom by Spark is who is whom by the model, of hundreds of drawn populations at once; and what is written of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import Table
from headwater.config.identities import Identities
from headwater.lake.tables import Lake
from headwater.stages.identities import build_identities
from headwater.stages.linked import history, linked, records
from tests.support.draws import drawn
from tests.support.gold_cases import few_rows
from tests.support.identities import LINKS, Record, groups
from tests.unit.test_identities import populations


@pytest.fixture(scope="module", autouse=True)
def quick(spark: SparkSession) -> Iterator[None]:
    with few_rows(spark):
        yield


def frame(spark: SparkSession, found: list[Record]) -> DataFrame:
    rows = [
        (
            r.source,
            r.record_id,
            "|".join((r.since, r.source, r.record_id)),
            tuple(r.values.get(link.by) for link in LINKS),
        )
        for r in found
    ]
    values = ", ".join(f"{link.by}: string" for link in LINKS)
    return spark.createDataFrame(
        rows, f"source string, record_id string, first string, values struct<{values}>"
    ).coalesce(1)


def test_spark_and_the_model_agree_on_who_is_whom(spark: SparkSession) -> None:
    found: list[Record] = []
    for number, population in enumerate(drawn(populations(), 150)):
        # Side by side: of different populations nothing is the same.
        found += [
            Record(
                r.since, r.source, f"{number} {r.record_id}", {link: f"{number} {v}" for link, v in r.values.items()}
            )
            for r in population
        ]
    # A chain, each of whose records is linked to the next alone, by either link in turn.
    chain = [
        Record("1", f"source {n:03}", str(n), {"email": f"{n // 2}", "phone": f"{(n + 1) // 2}"}) for n in range(60)
    ]
    expected = groups([*found, *chain])
    rows = linked(frame(spark, [*found, *chain]), LINKS).collect()
    persons = {(row.source, row.record_id): row.person_id for row in rows}
    assert len(rows) == len(persons) == len(expected)
    firsts = {(r.source, r.record_id): (p.source, p.record_id) for r, p in expected.items()}
    assert {key: persons[first] for key, first in firsts.items()} == persons
    assert len({*persons.values()}) == len({*expected.values()}) > 200
    told = {(row.source, row.record_id): row for row in rows}
    sizes: dict[str, int] = {}
    for person in persons.values():
        sizes[person] = sizes.get(person, 0) + 1
    # Who is with others says by what, and who is alone does not.
    assert all((told[key].linked_by is not None) == (sizes[person] > 1) for key, person in persons.items())
    assert any(row.left_out for row in rows)


CUSTOMERS: dict[str, Any] = {
    "table": "customers",
    "owner": "Shop",
    "note": "Customers.",
    "key": ["id"],
    "version": "seen",
    "write": {"kind": "scd2"},
    "columns": {"id": {"type": "bigint"}, "email": {"type": "string"}, "seen": {"type": "timestamp"}},
}
WHO = Identities.model_validate(
    {
        "identities": "who",
        "owner": "Shop",
        "note": "Who is whom.",
        "members": {
            "shop": {
                "table": "customers",
                "where": "id < 9",
                "since": "seen",
                "values": {"number": "id", "email": "email"},
            },
            "crm": {"table": "contacts", "since": "seen", "values": {"email": "email"}},
        },
        "links": [{"by": "number", "shareable": True}, {"by": "email"}],
    }
)
AT = datetime(2024, 1, 5, 10, 0, 0)  # noqa: DTZ001 - Spark's rows have no zone


TABLES = {
    "customers": Table.model_validate(CUSTOMERS),
    "contacts": Table.model_validate(
        CUSTOMERS
        | {"table": "contacts", "key": ["account", "id"], "version": None, "write": {"kind": "merge"}}
        | {"columns": {name: {"type": "string"} for name in ("account", "id", "email")}}
    ),
}


def test_rows_as_they_are_now_are_the_records_and_an_empty_value_links_nobody(spark: SparkSession) -> None:
    customers = spark.createDataFrame(
        [(1, "a@x.org", AT, True), (1, "old@x.org", AT, False), (2, " \u00a0", AT, True), (9, "a@x.org", AT, True)],
        "id bigint, email string, seen timestamp, is_current boolean",
    )
    contacts = spark.createDataFrame(
        [("a:b", "1%", "a@x.org", AT), ("c", "2", "", None)], "account string, id string, email string, seen timestamp"
    )
    found = records(WHO, TABLES, {"customers": customers, "contacts": contacts})
    rows = {(row.source, row.record_id): row for row in linked(found, WHO.links).collect()}
    assert {*rows} == {("shop", "1"), ("shop", "2"), ("crm", "a%3Ab:1%"), ("crm", "c:2")}
    assert rows["shop", "1"].person_id == rows["crm", "a%3Ab:1%"].person_id
    assert rows["shop", "1"].linked_by == rows["crm", "a%3Ab:1%"].linked_by == ["email a@x.org"]
    assert len({row.person_id for row in rows.values()}) == 3
    assert all(row.left_out is None for row in rows.values())
    # A member whose table is not there has no records.
    assert {row.record_id for row in records(WHO, TABLES, {"customers": customers}).collect()} == {"1", "2"}


def test_a_merge_and_a_split_are_kept_and_what_goes_on_is_the_same_row(spark: SparkSession) -> None:
    columns = "source string, record_id string, person_id string, linked_by array<string>, left_out array<string>"
    table = f"{columns}, valid_from timestamp, valid_to timestamp, is_current boolean"

    def who(**persons: str) -> DataFrame:
        rows = [("shop", record, person, [person], None) for record, person in persons.items()]
        return spark.createDataFrame(rows, columns)

    told = spark.createDataFrame([], table)
    for day, persons in enumerate(({"a": "A", "b": "B"}, {"a": "A", "b": "A", "c": "C"}, {"a": "A", "b": "B"}), 1):
        told = history(told, who(**persons), F.lit(datetime(2024, 1, day)).cast("timestamp")).localCheckpoint()  # noqa: DTZ001
    rows = [
        (row.record_id, row.person_id, row.valid_from.day, row.valid_to and row.valid_to.day, row.is_current)
        for row in told.orderBy("record_id", "valid_from").collect()
    ]
    assert rows == [
        ("a", "A", 1, None, True),
        ("b", "B", 1, 2, False),
        ("b", "A", 2, 3, False),
        ("b", "B", 3, None, True),
        ("c", "C", 2, 3, False),
    ]
    # Whatever was there before, what is so now is what a first computation would say.
    anew = history(spark.createDataFrame([], table), who(a="A", b="B"), F.lit(datetime(2024, 1, 9)).cast("timestamp"))  # noqa: DTZ001
    now = ["source", "record_id", "person_id", "linked_by", "left_out"]
    assert sorted(told.where("is_current").select(*now).collect()) == sorted(anew.select(*now).collect())


def test_the_table_is_brought_up_to_date_in_one_commit_by_what_differs_and_left_alone_otherwise(
    spark: SparkSession, lake: Lake
) -> None:
    noted: list[str] = []

    @contextmanager
    def sized(_rows: int) -> Iterator[None]:
        yield

    project = SimpleNamespace(identities={"who": WHO}, tables=TABLES)
    job: Any = SimpleNamespace(
        project=project,
        lake=lake,
        spark=spark,
        run_id="r",
        rebuild=frozenset(),
        sized=sized,
        note_schema=lambda zone, _: noted.append(zone),
    )
    lease: Any = SimpleNamespace(check=lambda: None)
    who = lake.table("silver", "who")

    def build() -> dict[tuple[str, str, bool], str]:
        build_identities(job, "who", lease)
        rows = who.read().collect()
        assert len({(r.source, r.record_id, r.valid_from) for r in rows}) == len(rows)
        return {(r.source, r.record_id, r.is_current): r.person_id for r in rows}

    def put(table: str, sql: str) -> None:
        spark.sql(sql).write.format("delta").mode("append").save(lake.table("silver", table).path)

    build_identities(job, "who", lease)
    assert not who.exists()
    put("customers", "SELECT 1L AS id, 'a@x.org' AS email, TIMESTAMP '2024-01-05' AS seen, true AS is_current")
    first = build()
    assert [*first] == [("shop", "1", True)]
    version = who.version()
    assert build() == first
    assert who.version() == version
    # A contact that was there before the customer gives the person its id; what the customer was called is kept.
    put("contacts", "SELECT 'a' AS account, '7' AS id, 'a@x.org' AS email, TIMESTAMP '2023-01-05' AS seen")
    then = build()
    assert then["shop", "1", True] == then["crm", "a:7", True] != first["shop", "1", True]
    assert then["shop", "1", False] == first["shop", "1", True]
    assert who.version() == version + 1
    assert {*noted} == {"silver"}
    # Another declaration is computed anew, also where no row has changed.
    project.identities = {"who": WHO.model_copy(update={"links": WHO.links[:1]})}
    apart = build()
    assert apart["shop", "1", True] == first["shop", "1", True]
    # What somebody has changed by hand stays so until a rebuild is asked for.
    spark.sql(f"DELETE FROM delta.`{who.path}` WHERE is_current")
    assert not any(current for _, _, current in build())
    job.rebuild = frozenset({"who"})
    assert {key: person for key, person in build().items() if key[2]} == {k: p for k, p in apart.items() if k[2]}
