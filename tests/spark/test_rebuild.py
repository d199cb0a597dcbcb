"""A silver table is made anew of bronze: as its batches made it where nothing is declared anew, and by what is declared otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from headwater.config import Table
from headwater.config.rule import NOTES_TYPE
from headwater.config.stream import Order
from headwater.errors import ConfigError
from headwater.lake.session import having
from headwater.ledger.entries import Verdict

from .shop import ADS, RAW, Shop, ad_costs, at, people, policy

KEYS, SEED = 300, 5
CHECKED = {"id": "city", "that": "city", "is": "in_set", "values": ["A", "B", "C", "new"]}
EITHER_CASE = CHECKED | {"values": ["A", "B", "C", "a", "b", "c", "new"]}
MILDER = CHECKED | {"values": ["A", "B", "C", "new", "?"]}
KNOWN_CITY = CHECKED | {"values": ["Graz", "Linz", "Wien"]}
KNOWN = {"id": "known", "that": "city", "is": "known", "table": "cities", "column": "city", "pending_days": 7}
WAYS: list[tuple[dict[str, Any], Order, bool]] = [
    ({"kind": "merge"}, "reading", True),
    ({"kind": "merge"}, "reading", False),
    ({"kind": "merge"}, "version", True),
    ({"kind": "merge"}, "version", False),
    ({"kind": "insert"}, "version", True),
    ({"kind": "scd2"}, "reading", True),
    ({"kind": "scd2"}, "version", True),
]


def known(shop: Shop, *cities: str) -> None:
    rows = shop.spark.createDataFrame([(city,) for city in cities], "city string")
    rows.write.format("delta").mode("append").save(shop.lake.table("silver", "cities").path)


def arrive(shop: Shop, random: Random) -> int:
    """A batch of two files, whose rows say few things at few times; returns its number."""
    number = 1 + (shop.stream.extracted_up_to() or 0)

    def row(key: int) -> tuple[int, str, str | None]:
        city = "new" if random.random() < 0.15 else random.choice("ABC?")
        return key, city, at(number + random.randint(1, 4))

    files = [[row(key) for key in random.sample(range(KEYS), KEYS // 2)] for _ in (0, 1)]
    return shop.batch(*files).batch


def go_on(shop: Shop, checks: Sequence[dict[str, Any]], halted: int | None = None) -> None:
    """Takes what has arrived to silver; a batch that is `halted` is discarded."""
    shop.policy = policy(*checks)
    shop.append()
    for batch in range(shop.stream.judged_up_to() + 1, shop.stream.extracted_up_to() + 1):
        if batch == halted:
            shop.halt(batch)
            shop.discard(batch)
        else:
            told = {"source": "shop", "stream": "people", "batch": batch, "run_id": "r", "rows": 1, "checks": ()}
            shop.stream.judge(Verdict.model_validate({**told, "verdict": "pass"}))
    shop.silver()


def live(shop: Shop, random: Random, *pending: dict[str, Any]) -> None:
    """Lets everything happen that can: rows are refused and replayed, or come again by themselves, and a batch is discarded."""
    known(shop, "A", "B", "C", "?")
    for _ in range(3):
        arrive(shop, random)
    go_on(shop, (CHECKED, *pending), halted=2)
    known(shop, "new")
    arrive(shop, random)
    replay(shop, random.choice((1, 3)))
    arrive(shop, random)
    go_on(shop, (MILDER, *pending))
    replay(shop, random.choice((1, 3)))
    arrive(shop, random)
    go_on(shop, (CHECKED, *pending))
    assert shop.quarantined()
    # Maintain deletes no more than old versions of quarantine: what has come again is within its folder.
    with having(shop.spark, {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}):
        shop.lake.table("quarantine", "people").delta().vacuum(0)


def replay(shop: Shop, batch: int) -> None:
    """As `headwater quarantine replay` commits one."""
    old, latest = shop.stream.manifest(batch), shop.stream.latest()
    assert latest is not None
    told = {"batch": latest.batch + 1, "files": (), "rows": shop.book(batch).quarantined, "replays": batch}
    shop.stream.commit(old.model_copy(update=told))


def told(shop: Shop) -> list[Row]:
    return sorted(shop.rows(), key=str)


def told_thrice(shop: Shop) -> set[int]:
    """The keys that say the same at three instants or more: of those, silver remembers the first and the last, a rebuild all."""
    days: dict[tuple[int, str], set[str]] = {}
    for row in shop.lake.bronze("shop", "people").read().collect():
        days.setdefault((int(row.id), row.city), set()).add(row.seen)
    return {key for (key, _), instants in days.items() if len(instants) > 2}


def rebuild(shop: Shop) -> None:
    shop.rebuild = frozenset(("people",))
    shop.silver("rebuild")
    shop.rebuild = frozenset()


@pytest.mark.parametrize(("write", "order", "version"), WAYS)
def test_a_rebuild_comes_to_what_the_batches_made(
    spark: SparkSession, tmp_path: Path, write: dict[str, Any], order: Order, version: bool
) -> None:
    shop = Shop(spark, tmp_path, people(write, version=version), order)
    live(shop, Random(SEED), *([] if write["kind"] == "scd2" else [KNOWN]))
    before, number = told(shop), shop.lake.table("silver", "people").version()
    rebuild(shop)
    vague = told_thrice(shop) if write["kind"] == "scd2" else set()
    assert len(vague) < KEYS / 2
    assert [row for row in told(shop) if row.id not in vague] == [row for row in before if row.id not in vague]
    assert shop.lake.table("silver", "people").version() == number + 1


def test_a_rebuild_of_a_table_whose_days_are_replaced_has_what_was_restated_last(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, ad_costs(), "reading", None, ADS[:-1], {"platform": "'mine'"})
    random = Random(SEED)
    for _ in range(6):
        slices = [(account, f"2024-01-{day:02d}") for account in "ab" for day in range(1, 9) if random.random() < 0.6]
        rows = [
            (account, day, ad if random.random() < 0.95 else None, random.choice((1, 2, 3, -1)))
            for account, day in slices
            for ad in range(12)
            if random.random() < 0.7
        ]
        shop.batch(rows, slices=tuple({"account": account, "day": day} for account, day in slices))
    go_on(shop, ({"id": "cost", "that": "cost", "is": "non_negative"},), halted=4)
    before, number = told(shop), shop.lake.table("silver", "people").version()
    assert sum(shop.book(batch).deleted for batch in range(1, 7)) > 30
    assert len(shop.quarantined()) > 50
    rebuild(shop)
    assert told(shop) == before
    assert shop.lake.table("silver", "people").version() == number + 1


def declare(shop: Shop, table: Table, columns: dict[str, str] | None = None) -> None:
    """Declares the table, and the expressions of its stream, otherwise than before."""
    shop.table, shop.columns = table, columns or {}
    shop.__post_init__()


def types(**changes: str | None) -> dict[str, Any]:
    declared = {"id": "bigint", "city": "string", "seen": "timestamp"} | changes
    return {"columns": {name: {"type": type_} for name, type_ in declared.items() if type_}}


RULED: dict[str, Any] = {
    "id": {"type": "bigint"},
    "city": {"type": "string", "possible": {"most": "Z"}, "missing": {"by": "constant", "value": "A"}},
    "seen": {"type": "timestamp"},
    "normal": {"type": "string", "made": {"by": "name", "of": "city"}},
    "notes": {"type": NOTES_TYPE, "made": {"by": "notes"}},
}
CHANGES: dict[str, tuple[Table, dict[str, str]]] = {
    "another expression": (people(), {"city": "lower(city)"}),
    "another type": (people(**types(id="string")), {}),
    "another key": (people(key=["id", "city"]), {}),
    "no version": (people(version=False), {}),
    "insert": (people({"kind": "insert"}), {}),
    "scd2": (people({"kind": "scd2"}), {}),
    "a rule": (people(columns=RULED), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_is_declared_otherwise_comes_to_what_it_had_been_had_it_always_been_declared_so(
    spark: SparkSession, tmp_path: Path, change: str
) -> None:
    shops = [Shop(spark, tmp_path / name, people(), "reading") for name in ("before", "always")]
    declare(shops[1], *CHANGES[change])
    for shop in shops:
        random = Random(SEED)
        arrive(shop, random)
        go_on(shop, (EITHER_CASE,))
        before = shop.lake.table("silver", "people").version()
        declare(shop, *CHANGES[change])
        arrive(shop, random)
        go_on(shop, (EITHER_CASE,))
    assert told(shops[0]) == told(shops[1])
    changed = shops[0].lake.table("silver", "people")
    # Two commits, the rebuild and the batch that came after it; and before them one where the rule brings columns along.
    rebuilt = 2 if change == "a rule" else 1
    assert (changed.version(), before) == (rebuilt + 1, 0)
    whole = change in {"another type", "another key", "scd2"}
    assert changed.overwritten(0) == whole
    if not whole:
        # Who follows the table sees the rows that differ, and no others.
        kinds = {
            row["_change_type"] for row in changed.changes(rebuilt).where(f"_commit_version = {rebuilt}").collect()
        }
        assert kinds <= {"update_preimage", "update_postimage"}


def test_a_column_that_is_declared_later_is_filled_by_a_rebuild(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, people())
    shop.batch([(1, "Graz", at(1)), (2, "Linz", at(1))])
    go_on(shop, (KNOWN_CITY,))
    declare(shop, people(**types(small="string")), {"small": "lower(city)"})
    shop.batch([(3, "Wien", at(1))])
    go_on(shop, (KNOWN_CITY,))
    assert {row.id: row.small for row in shop.rows()} == {1: None, 2: None, 3: "wien"}
    silver = shop.lake.table("silver", "people")
    assert silver.latest_metadata()["definition"]["unfilled"] == ["small"]
    rebuild(shop)
    assert {row.id: row.small for row in shop.rows()} == {1: "graz", 2: "linz", 3: "wien"}
    assert silver.latest_metadata()["definition"]["unfilled"] == []


@pytest.mark.parametrize(
    ("table", "columns", "raw", "message"),
    [
        (people(), {"city": "town"}, (*RAW, "town"), r"city in 2 rows of shop\.people"),
        (people(**types(id="int")), {}, RAW, r"id in 1 rows of shop\.people|have no id"),
        (
            people(key=["id", "town"], **types(town="string")),
            {},
            (*RAW, "town"),
            "2 rows of shop.people .* have no id or town",
        ),
    ],
)
def test_a_rebuild_that_nobody_asked_for_takes_nothing_away(
    spark: SparkSession, tmp_path: Path, table: Table, columns: dict[str, str], raw: tuple[str, ...], message: str
) -> None:
    shop = Shop(spark, tmp_path, people())
    shop.batch([(1, "Graz", at(1)), (3_000_000_000, "Linz", at(1))])
    go_on(shop, (KNOWN_CITY,))
    before = told(shop)
    shop.raw = raw
    declare(shop, table, columns)
    shop.batch([(3, "Wien", at(1), "Wien")[: len(raw)]])
    with pytest.raises(ConfigError, match=message):
        go_on(shop, (KNOWN_CITY,))
    assert told(shop) == before


def test_the_rows_of_a_stream_that_is_declared_no_more_go_when_somebody_asks(
    spark: SparkSession, tmp_path: Path
) -> None:
    positive = {"id": "id_positive", "that": "id", "is": "positive"}
    shop = Shop(spark, tmp_path, people())
    shop.batch([(1, "Graz", at(1))])
    go_on(shop, (positive,))
    silver = shop.lake.table("silver", "people")
    definition = silver.latest_metadata()["definition"]
    streams = {**definition["streams"], "shop.old": definition["streams"]["shop.people"]}
    with silver.transact("shop.old", 1, definition={**definition, "streams": streams}):
        spark.createDataFrame([(9, "Ulm")], "id bigint, city string").write.format("delta").mode("append").save(
            silver.path
        )
    shop.batch([(2, "Linz", at(1))])
    go_on(shop, (positive,))
    assert shop.cities() == {1: "Graz", 2: "Linz", 9: "Ulm"}
    declare(shop, people(), {"city": "lower(city)"})
    shop.batch([(3, "Wien", at(1))])
    with pytest.raises(
        ConfigError, match=r"the rows of stream shop\.old, which is declared no more.*headwater rebuild people"
    ):
        go_on(shop, (positive,))
    assert shop.cities() == {1: "Graz", 2: "Linz", 9: "Ulm"}
    rebuild(shop)
    assert shop.cities() == {1: "graz", 2: "linz", 3: "wien"}
