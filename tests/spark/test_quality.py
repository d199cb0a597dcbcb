from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from headwater.config import HttpStream, JdbcStream, Parser, Policy, Table
from headwater.config.table import Column
from headwater.ledger.entries import Manifest
from headwater.ledger.positions import BoundedPosition, Overlap
from headwater.ledger.shape import FieldChange
from headwater.quality.deequ import verify
from headwater.quality.predicates import judge_rows, row_predicates, summarize
from headwater.quality.typed import typed
from headwater.quality.verdict import judge_dates, judge_drift, worst

from .shop import placed

TAGS = {"source": "shop", "stream": "sales", "batch": "1", "run_id": "r"}


SALES = Table.model_validate(
    {
        "table": "sales",
        "owner": "Shop",
        "note": "One row for each sale.",
        "key": ["id"],
        "columns": {"id": {"type": "bigint"}, "amount": {"type": "decimal(10,2)"}, "kind": {"type": "string"}},
    }
)


def stream(**changes: Any) -> HttpStream:
    window = {"kind": "window", "field": "day", "history_days": 1}
    return HttpStream.model_validate(
        {"table": "sales", "path": "/sales", "read": window, "raw": list(SALES.columns), **changes}
    )


def policy(rows: list[dict[str, Any]] | None = None, batch: list[dict[str, Any]] | None = None) -> Policy:
    return Policy.model_validate({"table": "sales", "rows": rows or [], "batch": batch or []})


def raw(
    spark: SparkSession, *rows: tuple[str | None, ...], parser: str | None = None, problem: str | None = None
) -> DataFrame:
    told = [(*row, parser, problem) for row in rows]
    return placed(spark.createDataFrame(told, "id string, amount string, kind string, _parser string, _problem string"))


def reasons(rows: DataFrame, declared: Policy | None = None) -> list[list[str]]:
    judged = judge_rows(typed(stream(), SALES, rows), row_predicates(stream(), SALES, declared), {})
    return [sorted(row._reasons) for row in judged.collect()]


def test_a_good_row_has_no_reason(spark: SparkSession) -> None:
    assert reasons(raw(spark, ("1", "2.50", "a"))) == [[]]


def test_text_that_does_not_read_as_its_type_is_a_reason_and_missing_text_is_none(spark: SparkSession) -> None:
    assert reasons(raw(spark, ("1", "two", "a"), ("2", None, "a"))) == [["amount_readable"], []]


def test_what_a_cast_would_alter_is_a_reason_from_a_source_with_types_too(spark: SparkSession) -> None:
    columns = {
        "id": "int",
        "amount": "decimal(12,2)",
        "points": "int",
        "day": "date",
        "at": "timestamp",
        "name": "varchar(3)",
    }
    table = SALES.model_copy(update={"columns": {name: Column(type=type_) for name, type_ in columns.items()}})
    relation = {"table": "sales", "relation": "shop.sales", "raw": list(columns), "partition_column": "id"}
    declared = JdbcStream.model_validate({**relation, "read": {"kind": "watermark", "column": "at"}})
    rows = spark.sql(
        """
        SELECT * FROM VALUES
            (1, 1.50, 7L, TIMESTAMP '2024-01-05 00:00:00', DATE '2024-01-05', 'abc'),
            (2, 12345678901.23, 3000000000L, TIMESTAMP '2024-01-05 10:00:00.000001', DATE '2024-01-05', 'abcd'),
            (3, 1.005, -7L, NULL, NULL, 'äö') AS raw(id, amount, points, day, at, name)
        """
    )
    shaped = typed(declared, table, placed(rows))
    judged = judge_rows(shaped, row_predicates(declared, table, None), {}).orderBy("id").collect()
    lost = ["amount", "day", "name", "points"]
    assert [sorted(row._reasons) for row in judged] == [
        [],
        [f"{name}_readable" for name in lost],
        ["amount_readable", "name_readable"],
    ]
    assert [judged[1][name] for name in lost] == [None] * 4
    assert json.loads(judged[1]["_raw"]) == {
        "id": 2,
        "amount": 12345678901.23,
        "points": 3_000_000_000,
        "day": "2024-01-05T10:00:00.000001Z",
        "at": "2024-01-05",
        "name": "abcd",
    }


def test_each_item_of_a_list_is_held_to_its_type_wherever_null_may_be(spark: SparkSession) -> None:
    """What `split` makes holds no NULL, and a column may: that alone makes no other value of it."""
    numbers = SALES.model_copy(update={"columns": {"id": Column(type="bigint"), "kind": Column(type="array<bigint>")}})
    texts = SALES.model_copy(update={"columns": {"id": Column(type="bigint"), "kind": Column(type="array<string>")}})
    declared = stream(columns={"kind": "split(kind, ';')"})
    rows = raw(spark, ("1", None, "1;2"), ("2", None, "1;2.5"), ("3", None, ""), ("4", None, None))
    for table, expected in ((numbers, [[1, 2], None, None, None]), (texts, [["1", "2"], ["1", "2.5"], [""], None])):
        judged = (
            judge_rows(typed(declared, table, rows), row_predicates(declared, table, None), {}).orderBy("id").collect()
        )
        assert [row.kind for row in judged] == expected
        assert [bool(row._reasons) for row in judged] == [
            before is not None and kind is None for before, kind in zip(["1", "2", "", None], expected, strict=True)
        ]


def test_a_row_without_its_key_is_refused(spark: SparkSession) -> None:
    assert reasons(raw(spark, (None, "1", "a"))) == [["id_complete"]]


def test_a_row_that_cannot_be_read_has_that_one_reason(spark: SparkSession) -> None:
    declared = policy([{"id": "kind_there", "that": "kind", "is": "complete"}])
    assert reasons(raw(spark, (None, "two", None), problem="not_json"), declared) == [["not_json"]]


def test_a_column_that_the_source_does_not_tell_is_null_of_its_type_and_no_reason(spark: SparkSession) -> None:
    untold = stream(columns={"amount": None})
    rows = typed(untold, SALES, raw(spark, ("1", "two", "a")))
    assert dict(rows.dtypes)["amount"] == "decimal(10,2)"
    [row] = judge_rows(rows, row_predicates(untold, SALES, None), {}).collect()
    assert (row.id, row.amount, row.kind, row._reasons) == (1, None, "a", [])


def test_each_row_is_read_by_its_own_parser(spark: SparkSession) -> None:
    declared = stream().model_copy(
        update={"parsers": {"v2": Parser(columns={"amount": "cast(amount as decimal(10,2)) / 100"})}}
    )
    rows = raw(spark, ("1", "250", "a")).unionByName(raw(spark, ("2", "250", "a"), parser="v2"))
    assert [str(row.amount) for row in typed(declared, SALES, rows).orderBy("id").collect()] == ["250.00", "2.50"]


def test_a_row_carries_every_reason(spark: SparkSession) -> None:
    declared = policy(
        [
            {"id": "amount_positive", "that": "amount", "is": "positive"},
            {"id": "kind_known", "that": "kind", "is": "in_set", "values": ["a", "b"]},
        ]
    )
    rows = raw(spark, ("1", "-1", "z"), ("2", "1", "b"))
    assert reasons(rows, declared) == [["amount_positive", "kind_known"], []]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ({"that": "amount", "is": "non_negative"}, "0", "-0.01"),
        ({"that": "amount", "is": "positive"}, "0.01", "0"),
        ({"that": "amount", "is": "between", "least": 1, "most": "2"}, "2", "2.01"),
        ({"that": "kind", "is": "matches", "pattern": "^[a-z]\\d$"}, "a1", "A1"),
        ({"that": "kind", "is": "in_set", "values": ["it's", "b"]}, "it's", "c"),
    ],
)
def test_each_kind_of_check_tells_good_from_bad_and_passes_what_is_missing(
    spark: SparkSession, check: dict[str, Any], good: str, bad: str
) -> None:
    values = [(good, bad) if check["that"] == name else ("1", "1") for name in ("amount", "kind")]
    missing = [None if check["that"] == name else "1" for name in ("amount", "kind")]
    rows = raw(spark, ("1", values[0][0], values[1][0]), ("2", values[0][1], values[1][1]), ("3", *missing))
    assert reasons(rows, policy([{"id": "c", **check}])) == [[], ["c"], []]


def test_reasons_are_counted_by_reason_and_rows_once(spark: SparkSession) -> None:
    declared = policy(
        [{"id": "positive", "that": "amount", "is": "positive"}, {"id": "kind", "that": "kind", "is": "complete"}]
    )
    judged = judge_rows(
        typed(stream(), SALES, raw(spark, ("1", "-1", None), ("2", "-1", "a"), ("3", "1", "a"))),
        row_predicates(stream(), SALES, declared),
        {},
    )
    found = summarize(judged, ["id", "kind"])
    assert (found.rows, found.refused, found.reasons) == ({1: 3}, {1: 2}, {1: {"positive": 2, "kind": 1}})
    assert found.bounds == {"id": (3, 3)}


def verdict(
    spark: SparkSession, tmp_path: Path, declared: Policy, *rows: tuple[str | None, ...]
) -> tuple[str, dict[str, bool]]:
    shaped = typed(stream(), SALES, raw(spark, *rows))
    metrics = f"file://{tmp_path}/metrics.json"
    checks = verify(shaped, len(rows), row_predicates(stream(), SALES, declared), declared.batch, metrics, TAGS)
    return worst(checks), {check.check: check.passed for check in checks}


def test_few_bad_rows_are_for_quarantine_and_many_halt_the_batch(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy([{"id": "positive", "that": "amount", "is": "positive", "may_fail": 0.5, "least_rows": 2}])
    assert verdict(spark, tmp_path, declared, ("1", "1", "a"), ("2", "-1", "a"))[0] == "pass"
    name, checks = verdict(spark, tmp_path, declared, ("1", "-1", "a"), ("2", "-1", "a"))
    assert (name, checks["positive"]) == ("halt", False)


def test_a_share_counts_from_so_many_rows_on_and_a_check_that_none_may_fail_always(
    spark: SparkSession, tmp_path: Path
) -> None:
    share = {"id": "positive", "that": "amount", "is": "positive", "may_fail": 0.1}
    bad = ("1", "-1", "a")
    assert verdict(spark, tmp_path, policy([share]), *[bad] * 19)[0] == "pass"
    assert verdict(spark, tmp_path, policy([share]), *[bad] * 20)[0] == "halt"
    none = {"id": "positive", "that": "amount", "is": "positive", "level": "halt"}
    assert verdict(spark, tmp_path, policy([none]), bad)[0] == "halt"


@pytest.mark.parametrize(
    ("check", "passes", "fails"),
    [
        ({"that": "id", "is": "unique"}, [1, 2], [1, 1]),
        ({"that": "amount", "is": "complete_share", "least": 0.5}, [1, None], [1, None, None]),
        ({"that": "id", "is": "distinct_at_least", "least": 2}, [1, 2], [1, 1]),
        ({"that": "amount", "is": "mean_between", "least": 1, "most": 2}, [1, 3], [1, 4]),
        ({"that": "amount", "is": "mean_between", "most": 2}, [-9], [3]),
        ({"that": "amount", "is": "mean_between", "least": 2}, [9], [1]),
        ({"is": "size", "least": 2, "most": 3}, [1, 2], [1]),
        ({"is": "size", "most": 1}, [1], [1, 2]),
    ],
)
def test_each_check_of_a_batch_tells_good_from_bad(
    spark: SparkSession, tmp_path: Path, check: dict[str, Any], passes: list[Any], fails: list[Any]
) -> None:
    declared = policy(batch=[{"id": "c", "level": "halt", **check}])
    for values, expected in ((passes, "pass"), (fails, "halt")):
        by = check.get("that", "id")
        rows = [
            (str(value), "1", "a") if by == "id" else (str(n), value and str(value), "a")
            for n, value in enumerate(values)
        ]
        assert verdict(spark, tmp_path, declared, *rows)[0] == expected


def test_a_failed_warning_warns_and_a_failed_halt_halts(spark: SparkSession, tmp_path: Path) -> None:
    warn = {"id": "unique", "that": "id", "is": "unique", "level": "warn"}
    twice = (("1", "1", "a"), ("1", "2", "a"))
    assert verdict(spark, tmp_path, policy(batch=[warn]), *twice)[0] == "warn"
    assert verdict(spark, tmp_path, policy(batch=[warn | {"level": "halt"}]), *twice)[0] == "halt"


def test_zero_rows_where_rows_are_expected_do_not_pass(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy(batch=[{"id": "rows", "is": "size", "least": 1, "level": "halt"}])
    assert verdict(spark, tmp_path, declared) == ("halt", {"id_complete": True} | verdict(spark, tmp_path, declared)[1])


def test_metrics_of_every_batch_are_kept_in_the_repository(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy(batch=[{"id": "rows", "is": "size", "least": 1, "level": "halt"}])
    verdict(spark, tmp_path, declared, ("1", "1", "a"))
    assert '"batch": "1"' in (tmp_path / "metrics.json").read_text().replace('"batch":"1"', '"batch": "1"')


MANIFEST = Manifest(
    source="shop",
    stream="sales",
    batch=2,
    run_id="r",
    attempt="a",
    created_at=datetime(2018, 1, 1, tzinfo=UTC),
    format="jsonl",
    files=(),
    rows=1,
    position_before=None,
    position_after=None,
)


@pytest.mark.parametrize(("drift", "level"), [("evolve", "warn"), ("quarantine", "warn"), ("strict", "halt")])
def test_a_change_of_shape_is_told_and_halts_a_strict_stream(drift, level) -> None:
    change = FieldChange(field="amount", change="retyped", before="number", after="string")
    manifest = MANIFEST.model_copy(update={"drift": (change,)})
    told = judge_drift(manifest, drift)
    assert told is not None
    assert (told.check, told.level, told.message) == ("schema", level, "field amount was number and is string")
    assert worst([told]) == level
    assert judge_drift(manifest.model_copy(update={"drift": ()}), drift) is None


def test_rows_that_no_watermark_orders_are_told() -> None:
    none = Overlap(rows="0", digest="")
    position = BoundedPosition(watermark="2018-01-01 00:00:00", overlap=none, outside=Overlap(rows="3", digest="7"))
    told = judge_dates(MANIFEST.model_copy(update={"position_after": position}))
    assert told is not None
    assert (told.check, told.level, told.failed_rows) == ("dated", "warn", 3)
    assert worst([told]) == "warn"
    for known in (None, position.model_copy(update={"outside": none}), position.doubted()):
        assert judge_dates(MANIFEST.model_copy(update={"position_after": known})) is None
