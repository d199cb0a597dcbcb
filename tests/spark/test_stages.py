"""From raw to silver, stage by stage: each takes its work from the one before, counts what it does, and is gone on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from headwater.config import Policy
from headwater.errors import BooksError, LedgerError
from headwater.lake.delta import Commit, Table
from headwater.ledger.entries import Carried, Manifest
from headwater.stages import check, silver

from .shop import ADS, SOURCE, STREAM, Shop, ad_costs, at, people, policy, raw_of

POSITIVE = policy({"id": "id_positive", "that": "id", "is": "positive"})


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, tmp_path, people(), policy=POSITIVE)


# One stage after the other.


def test_what_bronze_has_not_is_not_judged(shop: Shop) -> None:
    shop.batch([(1, "Graz", at(1))])
    shop.append()
    shop.batch([(2, "Linz", at(1))])
    shop.check()
    assert shop.stream.judged_up_to() == 1
    shop.silver()
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Linz"}


def test_a_batch_that_bronze_has_not_is_named_and_stays_for_a_later_run(shop: Shop) -> None:
    shop.batch([(1, "Graz", at(1))])
    shop.append()
    shop.batch([(2, "Linz", at(1))])
    shop.stream.carry(Carried(batch=2, version=9))
    with pytest.raises(LedgerError, match=r"shop\.people: bronze has the batches up to 1, and not up to 2"):
        shop.check()
    shop.halt(1)
    shop.halt(2)
    shop.release(1)
    shop.release(2)
    with pytest.raises(LedgerError, match="not up to 2"):
        shop.silver()
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Linz"}


def test_what_was_appended_and_not_recorded_is_recorded_by_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.batch([(1, "Graz", at(1))])
    with monkeypatch.context() as patch:
        patch.setattr("headwater.ledger.stream.StreamLedger.carry", _die)
        with pytest.raises(KilledError):
            shop.append()
    assert shop.stream.carried_up_to() == 0
    shop.run()
    assert shop.cities() == {1: "Graz"}
    assert shop.lake.bronze(SOURCE, STREAM).read().count() == 1


def test_a_first_batch_without_rows_passes_and_the_next_comes_after_it(shop: Shop) -> None:
    shop.batch()
    shop.run()
    assert (shop.rows(), shop.counts(1)) == ([], {})
    shop.batch([(1, "Graz", at(1))])
    shop.run()
    assert shop.cities() == {1: "Graz"}


def test_no_rows_where_rows_are_expected_halt(spark: SparkSession, tmp_path: Path) -> None:
    expecting = policy(batch=[{"id": "rows", "is": "size", "least": 1, "level": "halt"}])
    shop = Shop(spark, tmp_path, people(), policy=expecting)
    shop.batch()
    shop.run()
    verdict = shop.stream.verdict(1)
    assert verdict is not None
    assert (verdict.verdict, [check.check for check in verdict.checks]) == ("halt", ["rows"])


# What waits together, goes together.


def test_three_hundred_batches_are_one_append_one_verification_and_one_write(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    monkeypatch.setattr(check, "verify", lambda *given: verified.append(given[1]) or ())
    for number in range(1, 301):
        shop.batch([(number, "Graz", at(1)), (1000, str(number), at(1))])
    shop.run()
    assert verified == [600]
    assert shop.lake.bronze(SOURCE, STREAM).version() == 0
    assert shop.lake.table("silver", "people").version() == 0
    assert len(shop.rows()) == 301
    assert shop.cities()[1000] == "300"
    assert shop.counts(300) == {"extracted": 2, "silver_inserted": 2}
    assert shop.counts(299) == {"extracted": 2, "silver_inserted": 1, "duplicates": 1}


def test_a_bad_batch_halts_itself_and_those_behind_it_alone(spark: SparkSession, tmp_path: Path) -> None:
    none = policy({"id": "id_positive", "that": "id", "is": "positive", "level": "halt"})
    shop = Shop(spark, tmp_path, people(), policy=none)
    for number in (1, 2, -3, 4, 5):
        shop.batch([(number, "Graz", at(1))])
    shop.run()
    verdicts = [verdict and verdict.verdict for verdict in shop.stream.verdicts(1, 5)]
    assert verdicts == ["pass", "pass", "halt", "pass", "pass"]
    assert shop.cities() == {1: "Graz", 2: "Graz"}
    shop.halted = shop.stream.closed_up_to()  # type: ignore[attr-defined]
    shop.discard(3)
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Graz", 4: "Graz", 5: "Graz"}
    assert shop.counts(3) == {"extracted": 1, "discarded": 1}


CHECKS: list[dict[str, Any]] = [
    {"id": "unique", "that": "id", "is": "unique"},
    {"id": "share", "that": "city", "is": "complete_share", "least": 0.5},
    {"id": "distinct", "that": "id", "is": "distinct_at_least", "least": 2},
    {"id": "mean", "that": "id", "is": "mean_between", "least": 2, "most": 4},
    {"id": "size", "is": "size", "least": 2, "most": 3},
]
UNREADABLE = "bad_header"


def test_of_many_batches_each_has_the_verdict_that_it_has_alone(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy(
        {"id": "far", "that": "id", "is": "between", "least": 1, "most": 6, "may_fail": 0.4, "least_rows": 2},
        {"id": "named", "that": "city", "is": "complete", "level": "warn", "may_fail": 0.5, "least_rows": 1},
        batch=[check | {"level": "halt"} for check in CHECKS],
    )
    batches: list[list[tuple[Any, ...]]] = [
        [(2, "Graz", at(1)), (3, "Linz", at(1))],
        [(2, "Graz", at(1)), (2, "Linz", at(1))],
        [(2, None, at(1)), (3, None, at(1)), (4, "Ulm", at(1))],
        [(9, "Graz", at(1)), (8, "Graz", at(1))],
        [(3, "Graz", at(1))],
        [(None, "Graz", at(1)), (3, "Graz", at(1)), (4, None, at(1))],
        [(None, None, at(1)), (None, None, at(1))],
        [UNREADABLE],
        [UNREADABLE, (2, "Graz", at(1)), (3, None, at(1))],
    ]
    together, alone = (Shop(spark, tmp_path / name, people(), policy=declared) for name in ("together", "alone"))
    for rows in batches:
        together.batch(rows)
        alone.batch(rows)
        alone.append()
        alone.check()
    together.append()
    together.check()
    told = [
        [
            (verdict.verdict, sorted((check.check, check.level, check.passed) for check in verdict.checks))
            for verdict in shop.stream.verdicts(1, len(batches))
            if verdict
        ]
        for shop in (together, alone)
    ]
    assert told[0] == told[1]
    assert {verdict for verdict, _ in told[0]} == {"pass", "halt"}


@pytest.mark.parametrize("check", CHECKS[:-1], ids=lambda check: str(check["is"]))
def test_rows_that_cannot_be_read_are_refused_and_halt_nothing(
    spark: SparkSession, tmp_path: Path, check: dict[str, Any]
) -> None:
    """A bad file is one such row: alone in its batch, beside a good one, and in several batches at once."""
    shop = Shop(spark, tmp_path, people(), policy=policy(batch=[check | {"level": "halt"}]))
    shop.batch([UNREADABLE])
    shop.run()
    for rows in ([UNREADABLE, (2, "Graz", at(1)), (3, "Linz", at(1))], [UNREADABLE]):
        shop.batch(rows)
    shop.run()
    assert [verdict and verdict.verdict for verdict in shop.stream.verdicts(1, 3)] == ["pass"] * 3
    books = [book for book in shop.stream.books(1, 3) if book]
    assert [(book.silver_inserted, book.quarantined, book.reasons) for book in books] == [
        (0, 1, {UNREADABLE: 1}),
        (2, 1, {UNREADABLE: 1}),
        (0, 1, {UNREADABLE: 1}),
    ]


# Every number is counted where it happens, and a difference stops the batch.


def _one_more(metric: str) -> Callable[[Commit], Commit]:
    def lie(commit: Commit) -> Commit:
        return Commit(
            commit.version,
            commit.operation,
            commit.metrics | {metric: commit.metrics.get(metric, 0) + 1},
            commit.metadata,
        )

    return lie


@pytest.mark.parametrize(
    ("table", "metric", "step"),
    [
        ("bronze", "numOutputRows", "append"),
        ("quarantine", "numOutputRows", "silver"),
        ("silver", "numTargetRowsInserted", "silver"),
        ("silver", "numTargetRowsUpdated", "silver"),
        ("silver", "numTargetRowsDeleted", "silver"),
    ],
)
def test_a_commit_that_counts_one_more_than_was_decided_is_noticed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, table: str, metric: str, step: str
) -> None:
    shop.batch([(1, "Graz", at(1))])
    shop.run()
    shop.batch([(1, "Wien", at(2)), (2, "Linz", at(2)), (-1, "Ulm", at(2))])
    told = Table.commit_of

    def commit_of(self: Table, app_id: str, transaction: int) -> Commit:
        commit = told(self, app_id, transaction)
        return _one_more(metric)(commit) if f"/{table}/" in self.path else commit

    monkeypatch.setattr(Table, "commit_of", commit_of)
    steps = {"append": [shop.append], "silver": [shop.append, shop.check, shop.silver]}[step]
    for step_ in steps[:-1]:
        step_()
    with pytest.raises(BooksError):
        steps[-1]()
    assert shop.stream.closed_up_to() == 1
    if table == "silver":
        # Nor does the next run close what that one did not dare to.
        with pytest.raises(BooksError):
            shop.silver()
        assert shop.stream.closed_up_to() == 1


@pytest.mark.parametrize("counted", ["insert", "update", "unchanged", "duplicate", "stale"])
def test_a_fate_that_counts_one_more_is_noticed_before_anything_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, counted: str
) -> None:
    shop.batch([(1, "Graz", at(1))])
    honest = silver._count

    def lie(*given: Any) -> Any:
        told = honest(*given)
        told.fates[1][counted] = told.fates[1].get(counted, 0) + 1
        return told

    monkeypatch.setattr(silver, "_count", lie)
    with pytest.raises(BooksError, match="batch 1 does not balance"):
        shop.run()
    assert not shop.lake.table("silver", "people").exists()
    assert shop.stream.closed_up_to() == 0


@pytest.mark.parametrize("stage", ["check", "silver"])
@pytest.mark.parametrize("damage", ["doubled", "lost"])
def test_a_row_that_bronze_has_lost_or_doubled_is_noticed(shop: Shop, stage: str, damage: str) -> None:
    shop.batch([(1, "Graz", at(1)), (2, "Linz", at(1))])
    shop.append()
    if stage == "silver":
        shop.check()
    bronze = shop.lake.bronze(SOURCE, STREAM)
    if damage == "lost":
        bronze.delta().delete("id = '1'")
    else:
        rows = bronze.read().where("id = '1'").localCheckpoint()
        rows.write.format("delta").mode("append").save(bronze.path)
    with pytest.raises(BooksError, match="batch 1 has 2 rows, and bronze has"):
        shop.check() if stage == "check" else shop.silver()
    assert not shop.lake.table("silver", "people").exists()


def test_deequ_and_the_counts_by_batch_are_held_to_each_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = check.check_batches

    def lie(*given: Any) -> Any:
        told = honest(*given)
        told.meeting["id_positive"] -= 1
        return told

    shop.batch([(1, "Graz", at(1))])
    shop.batch([(2, "Graz", at(1))])
    shop.append()
    monkeypatch.setattr(check, "check_batches", lie)
    with pytest.raises(BooksError, match=r"check id_positive: a share of 0\.5 batch by batch, and of 1\.0 by Deequ"):
        shop.check()


# What becomes of a row is decided once.


class KilledError(Exception):
    """The process ends here."""


def _die(*_: object, **__: object) -> None:
    raise KilledError


@pytest.mark.parametrize("then", ["stricter", "milder", "as before"])
def test_what_a_run_that_died_has_refused_stays_refused_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    shop.batch([(1, "Graz", at(1)), (-2, "Linz", at(1)), (-2, "Linz", at(1)), (3, "Ulm", at(1))])
    with monkeypatch.context() as patch:
        patch.setattr(silver, "carry_out", _die)
        with pytest.raises(KilledError):
            shop.run()
    assert len(shop.quarantined()) == 2
    shop.policy = {
        "stricter": policy({"id": "is_1", "that": "id", "is": "between", "least": 1, "most": 1}),
        "milder": None,
        "as before": POSITIVE,
    }[then]
    shop.batch([(-4, "Bonn", at(1))])
    shop.run()
    refused = sorted(raw_of(row)["id"] for row in shop.quarantined())
    assert refused == sorted(["-2", "-2", *([] if then == "milder" else ["-4"])])
    assert shop.cities() == {1: "Graz", 3: "Ulm"} | ({-4: "Bonn"} if then == "milder" else {})
    assert shop.counts(1) == {"extracted": 4, "silver_inserted": 2, "quarantined": 2}
    assert shop.book(1).reasons == {"id_positive": 2}


def test_a_run_that_died_before_it_closed_its_books_is_gone_on_from(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.batch([(1, "Graz", at(1)), (-2, "Linz", at(1))])
    shop.batch([(1, "Wien", at(2))])
    with monkeypatch.context() as patch:
        patch.setattr("headwater.ledger.stream.StreamLedger.close", _die)
        with pytest.raises(KilledError):
            shop.run()
    assert shop.stream.closed_up_to() == 0
    shop.policy = policy({"id": "none", "that": "city", "is": "in_set", "values": ["Nowhere"]})
    shop.silver("another")
    assert shop.cities() == {1: "Wien"}
    assert shop.counts(1) == {"extracted": 2, "duplicates": 1, "quarantined": 1}
    assert shop.counts(2) == {"extracted": 1, "silver_inserted": 1}
    assert shop.book(2).run_id == "run"


# Order and identity of versions.

SAME = [(1, None), (1, "Graz"), (1, "Wien")]


@pytest.mark.parametrize("write", ["merge", "scd2"])
@pytest.mark.parametrize("day", [1, 2, 3])
def test_what_is_read_later_is_true_now_whatever_it_says_of_when(
    spark: SparkSession, tmp_path: Path, write: str, day: int
) -> None:
    shop = Shop(spark, tmp_path, people({"kind": write}), "reading")
    shop.batch([(1, "Graz", at(2))])
    shop.run()
    shop.batch([(1, "Wien", at(day))])
    shop.run()
    now = [row.city for row in shop.rows() if write == "merge" or row.is_current]
    assert now == ["Wien"]
    assert shop.counts(2) == {"extracted": 1, "silver_updated": 1}


@pytest.mark.parametrize("write", ["merge", "scd2"])
def test_a_value_that_moves_to_a_neighbour_is_another_row(spark: SparkSession, tmp_path: Path, write: str) -> None:
    columns = {
        "id": {"type": "bigint"},
        "first": {"type": "string"},
        "last": {"type": "string"},
        "seen": {"type": "timestamp"},
    }
    table = people({"kind": write}, columns=columns)
    shop = Shop(spark, tmp_path, table, raw=("id", "first", "last", "seen"))
    shop.batch([(1, "Ada", None, at(1))])
    shop.run()
    shop.batch([(1, None, "Ada", at(2))])
    shop.run()
    assert ("Ada", None) not in [(row.first, row.last) for row in shop.rows() if write == "merge" or row.is_current]


def test_what_is_older_than_silver_is_counted_as_stale(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop(spark, tmp_path, people())
    shop.batch([(1, "Graz", at(5)), (2, "Linz", None)])
    shop.run()
    shop.batch([(1, "Old", at(2)), (2, "Ulm", None)])
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Ulm"}
    assert shop.counts(2) == {"extracted": 2, "silver_updated": 1, "stale": 1}
    assert '"event": "stale rows", "stream": "people", "batch": 2, "rows": 1' in caplog.text


def test_a_correction_wins_by_file_and_line_where_nothing_else_orders_them(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, people(version=False))
    first = [(number, "first", at(1)) for number in range(50)]
    shop.batch([*first, (0, "corrected below", at(1))], [(number, "corrected", at(1)) for number in range(1, 50)])
    shop.run()
    assert set(shop.cities().values()) == {"corrected below", "corrected"}
    assert shop.counts(1) == {"extracted": 100, "silver_inserted": 50, "duplicates": 50}


# Replacing, replaying, restoring.


@pytest.fixture
def ads(spark: SparkSession, tmp_path: Path) -> Shop:
    costs = policy({"id": "cost", "that": "cost", "is": "non_negative"})
    return Shop(spark, tmp_path, ad_costs(), "reading", costs, ADS[:-1], {"platform": "'mine'"})


def costs(shop: Shop) -> set[tuple[Any, ...]]:
    return {(row.platform, row.account, row.day.day, row.ad, row.cost) for row in shop.rows()}


def day_of(*days: int, account: str = "a") -> tuple[dict[str, str], ...]:
    return tuple({"account": account, "day": f"2024-01-{day:02d}"} for day in days)


MONDAY, TUESDAY = "2024-01-01", "2024-01-02"


def test_what_a_restatement_has_no_more_is_deleted_within_its_days_alone(ads: Shop) -> None:
    ads.batch([("a", MONDAY, 1, 10), ("a", MONDAY, 2, 20), ("a", TUESDAY, 1, 30), ("b", MONDAY, 1, 40)])
    ads.batch([("a", MONDAY, 1, 11)], slices=day_of(1))
    ads.batch(slices=day_of(2))
    ads.run()
    assert costs(ads) == {("mine", "a", 1, 1, 11), ("mine", "b", 1, 1, 40)}
    assert ads.counts(2) == {"extracted": 1, "silver_updated": 1, "deleted": 1}
    assert ads.counts(3) == {"deleted": 1}


@pytest.mark.parametrize("refused", [("a", MONDAY, 2, -20), ("a", MONDAY, None, 20)])
def test_a_refused_restatement_keeps_the_row_that_it_may_be_about(
    ads: Shop, refused: Sequence[Any], caplog: pytest.LogCaptureFixture
) -> None:
    ads.batch([("a", MONDAY, 1, 10), ("a", MONDAY, 2, 20), ("a", TUESDAY, 3, 30)])
    ads.batch([("a", MONDAY, 1, 11), refused], slices=day_of(1, 2))
    ads.run()
    assert costs(ads) == {("mine", "a", 1, 1, 11), ("mine", "a", 1, 2, 20)}
    assert ads.counts(2) == {"extracted": 2, "silver_updated": 1, "quarantined": 1, "deleted": 1}
    assert '"event": "kept what refused rows may restate", "stream": "people", "batch": 2, "rows": 1' in caplog.text


def test_the_days_of_another_platform_are_not_restated(ads: Shop, spark: SparkSession) -> None:
    ads.batch([("a", MONDAY, 1, 10)])
    ads.run()
    silver = ads.lake.table("silver", "people")
    other = silver.read().withColumn("platform", F.lit("other")).localCheckpoint()
    other.write.format("delta").mode("append").save(silver.path)
    ads.batch(slices=day_of(1))
    ads.run()
    assert costs(ads) == {("other", "a", 1, 1, 10)}


def replay(shop: Shop, batch: int) -> Manifest:
    """As `headwater quarantine replay` commits one."""
    old, latest, book = shop.stream.manifest(batch), shop.stream.latest(), shop.book(batch)
    assert latest is not None
    replayed = old.model_copy(
        update={"batch": latest.batch + 1, "files": (), "rows": book.quarantined, "replays": batch}
    )
    shop.stream.commit(replayed)
    return replayed


@pytest.mark.parametrize(
    ("order", "version"), [("version", True), ("version", False), ("reading", True), ("reading", False)]
)
def test_a_replay_offers_what_was_refused_and_writes_over_nothing_that_came_later(
    spark: SparkSession, tmp_path: Path, order: Any, version: bool
) -> None:
    cities = policy({"id": "city", "that": "city", "is": "in_set", "values": ["Graz", "Wien"]})
    shop = Shop(spark, tmp_path, people(version=version), order, cities)
    shop.batch([(1, "Linz", at(2)), (2, "Linz", at(2)), (3, "Graz", at(2)), (4, "Ulm", at(2)), (5, "Linz", at(9))])
    shop.batch([(1, "Wien", at(3)), (3, "Wien", at(3))])
    shop.run()
    shop.policy = policy({"id": "city", "that": "city", "is": "in_set", "values": ["Graz", "Wien", "Linz"]})
    again = replay(shop, 1)
    shop.run()
    assert shop.cities() == {1: "Wien", 2: "Linz", 3: "Wien", 5: "Linz"}
    assert shop.counts(again.batch) == {"extracted": 4, "silver_inserted": 2, "quarantined": 1, "stale": 1}
    assert len(shop.quarantined()) == 4
    assert shop.lake.bronze(SOURCE, STREAM).read().count() == 7


def test_a_replayed_version_goes_to_where_it_belongs_in_time(spark: SparkSession, tmp_path: Path) -> None:
    cities = policy({"id": "city", "that": "city", "is": "in_set", "values": ["Graz", "Wien"]})
    shop = Shop(spark, tmp_path, people({"kind": "scd2"}), "reading", cities)
    for city, day in (("Graz", 1), ("Linz", 2), ("Wien", 3)):
        shop.batch([(1, city, at(day))])
    shop.run()
    shop.policy = None
    replay(shop, 2)
    shop.run()
    found = sorted((row.valid_from.day, row.city, row.valid_to and row.valid_to.day) for row in shop.rows())
    assert found == [(1, "Graz", 2), (2, "Linz", 3), (3, "Wien", None)]


# What is declared otherwise than before.

WRITES: list[dict[str, Any]] = [{"kind": "merge"}, {"kind": "insert"}, {"kind": "scd2"}]


def declare(shop: Shop, **changes: Any) -> None:
    """Declares other columns, the raw fields of the same names among them."""
    columns = {name: column.model_dump() for name, column in shop.table.columns.items()}
    columns = {name: column for name, column in (columns | changes).items() if column is not None}
    shop.table = people(shop.table.write.model_dump(), columns=columns)
    shop.raw = tuple(columns)
    shop.__post_init__()


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write["kind"])
def test_a_column_that_is_declared_later_is_added_and_one_that_is_declared_no_more_stays(
    spark: SparkSession, tmp_path: Path, write: dict[str, Any]
) -> None:
    shop = Shop(spark, tmp_path, people(write))
    shop.batch([(1, "Graz", at(1))])
    shop.run()
    declare(shop, street={"type": "string"}, city=None)
    shop.batch([(2, at(2), "Ring")])
    shop.batch([(1, at(2), "Kai")])
    shop.run()
    now = {row.id: (row.city, row.street) for row in shop.rows() if write["kind"] != "scd2" or row.is_current}
    assert now[2] == (None, "Ring")
    assert now[1] == {"merge": ("Graz", "Kai"), "insert": ("Graz", None), "scd2": (None, "Kai")}[write["kind"]]
    shop.book(3)


# Rows that name what is not known yet.


def known(shop: Shop, *cities: str) -> None:
    """Adds cities to those that are known."""
    rows = shop.spark.createDataFrame([(city,) for city in cities], "city string")
    rows.write.format("delta").mode("append").save(shop.lake.table("silver", "cities").path)


def places(days: int = 7) -> Policy:
    check = {
        "id": "city_known",
        "that": "city",
        "is": "known",
        "table": "cities",
        "column": "city",
        "pending_days": days,
    }
    return policy(check, {"id": "id_positive", "that": "id", "is": "positive"})


@pytest.mark.parametrize("write", ["merge", "insert"])
def test_a_row_that_names_what_is_not_known_yet_is_recovered_once_it_is(
    spark: SparkSession, tmp_path: Path, write: str
) -> None:
    shop = Shop(spark, tmp_path, people({"kind": write}), "reading", places())
    known(shop, "Graz")
    shop.batch([(1, "Graz", at(1)), (2, "Linz", at(1)), (-3, "Linz", at(1)), (9, "Ulm", at(1))])
    shop.run()
    assert shop.cities() == {1: "Graz"}
    known(shop, "Linz")
    shop.batch([(4, "Graz", at(2))])
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Linz", 4: "Graz"}
    assert shop.counts(2) == {"extracted": 1, "silver_inserted": 1, "recovered": 1}
    version = shop.lake.table("silver", "people").version()
    shop.batch([(4, "Graz", at(2))])
    shop.run()
    assert shop.counts(3) == {"extracted": 1, "unchanged": 1}
    assert shop.lake.table("silver", "people").version() == version + 1


def test_a_row_that_comes_again_writes_over_nothing_newer(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, people(), "reading", places())
    known(shop, "Graz")
    shop.batch([(1, "Linz", at(5)), (2, "Linz", at(1)), (3, "Linz", at(9))])
    shop.batch([(1, "Graz", at(5)), (2, "Graz", at(2)), (3, "Graz", at(2))])
    shop.run()
    known(shop, "Linz")
    shop.batch([(2, "Graz", at(3))])
    shop.run()
    assert shop.cities() == {1: "Graz", 2: "Graz", 3: "Linz"}
    assert shop.counts(3) == {"extracted": 1, "silver_updated": 1, "recovered": 1}


def test_a_row_that_comes_again_and_changes_nothing_stands_in_no_other_rows_way(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, people(), "version", places())
    known(shop, "Graz")
    shop.batch([(1, "Graz", None), (2, "Graz", at(9))])
    shop.batch([(1, "Linz", at(5)), (2, "Linz", at(5))])
    shop.run()
    known(shop, "Linz")
    shop.batch([(1, "Graz", at(3)), (2, "Graz", at(3))])
    shop.run()
    assert {row.id: row.seen and row.seen.day for row in shop.rows()} == {1: 3, 2: 9}
    assert shop.counts(3) == {"extracted": 2, "silver_updated": 1, "stale": 1}


def test_a_row_is_pending_for_as_long_as_its_check_says(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path, people(), "reading", places(0))
    known(shop, "Graz")
    shop.batch([(1, "Linz", at(1))])
    shop.run()
    known(shop, "Linz")
    shop.batch([(2, "Graz", at(1))])
    shop.run()
    assert shop.cities() == {2: "Graz"}
    # It is not forgotten: whoever allows it more time gets it.
    shop.policy = places(1)
    shop.batch([(2, "Graz", at(1))])
    shop.run()
    assert shop.cities() == {1: "Linz", 2: "Graz"}


def test_a_replay_of_bad_rows_alone_is_not_halted_for_how_many_they_are(spark: SparkSession, tmp_path: Path) -> None:
    few = {"id": "id_positive", "that": "id", "is": "positive", "may_fail": 0.5, "least_rows": 2}
    shop = Shop(spark, tmp_path, people(), policy=policy(few))
    shop.batch([(number, "Graz", at(1)) for number in (-2, -1, 1, 2)])
    shop.run()
    again = replay(shop, 1)
    shop.run()
    assert shop.counts(again.batch) == {"extracted": 2, "quarantined": 2}


def restore(table: Table, version: int) -> None:
    table.delta().restoreToVersion(version)


def test_bronze_that_was_restored_gets_back_what_it_lacks(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.batch([(number, "Graz", at(1))])
        shop.append()
    bronze = shop.lake.bronze(SOURCE, STREAM)
    restore(bronze, 0)
    shop.append()
    assert sorted(row.id for row in bronze.read().collect()) == ["1", "2", "3"]
    restore(bronze, 1)
    restore(bronze, 0)
    shop.append()
    shop.append()
    assert sorted(row.id for row in bronze.read().collect()) == ["1", "2", "3"]


def test_silver_that_was_restored_or_dropped_gets_back_what_it_lacks(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.batch([(number, "Graz", at(1)), (-number, "Linz", at(1))])
        shop.run()
    table = shop.lake.table("silver", "people")
    restore(table, 0)
    assert shop.cities() == {1: "Graz"}
    shop.policy = None
    shop.silver()
    assert shop.cities() == {1: "Graz", 2: "Graz", 3: "Graz"}
    assert len(shop.quarantined()) == 3
    assert shop.counts(3) == {"extracted": 2, "silver_inserted": 1, "quarantined": 1}


# What a type just holds.

MOMENTS = {
    "0001-01-01T00:00:00Z": "0001-01-01 00:00:00",
    "1582-10-10T12:00:00Z": "1582-10-10 12:00:00",
    "1969-12-31T23:59:59.999999Z": "1969-12-31 23:59:59.999999",
    "9999-12-31T23:59:59.999999Z": "9999-12-31 23:59:59.999999",
    # The hour that Berlin lacks in March and the one that it has twice in October; the zones farthest from UTC.
    "2024-03-31T02:30:00+01:00": "2024-03-31 01:30:00",
    "2024-10-27T02:30:00+02:00": "2024-10-27 00:30:00",
    "2024-10-27T02:30:00+01:00": "2024-10-27 01:30:00",
    "2024-01-01T00:00:00+14:00": "2023-12-31 10:00:00",
    "2024-01-01T00:00:00-12:00": "2024-01-01 12:00:00",
}
TEXTS = ("\u0645\u0631\u062d\u0628\u0627", "\U0001f600", "\u202eabc", "a\u0000b", "", " ", "x" * 5_000_000)


def test_moments_and_texts_at_the_edge_reach_silver_as_they_were_and_half_a_character_is_quarantined(
    spark: SparkSession, tmp_path: Path
) -> None:
    shop = Shop(spark, tmp_path, people())
    shop.batch([(number, "x", moment) for number, moment in enumerate(MOMENTS)])
    shop.batch([*((100 + number, text, at(1)) for number, text in enumerate(TEXTS)), (200, "\ud83d", at(1))])
    shop.run()
    silver = shop.lake.table("silver", "people").read()
    found = silver.select("id", "city", F.date_format("seen", "yyyy-MM-dd HH:mm:ss.SSSSSS").alias("seen")).collect()
    seen = {row.id: row.seen.removesuffix(".000000") for row in found if row.id < 100}
    assert seen == dict(enumerate(MOMENTS.values()))
    assert {row.id: row.city for row in found if row.id >= 100} == {100 + n: text for n, text in enumerate(TEXTS)}
    [refused] = shop.quarantined()
    assert (refused.reasons, refused.batch) == (["bad_encoding"], 2)
