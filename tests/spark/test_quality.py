from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from headwater.config import HttpStream, Parser, Policy
from headwater.ledger.entries import Manifest
from headwater.ledger.shape import FieldChange
from headwater.quality.deequ import verify
from headwater.quality.predicates import judge_rows, row_predicates, summarize
from headwater.quality.typed import typed
from headwater.quality.verdict import judge_drift, worst

TAGS = {"source": "shop", "stream": "sales", "batch": "1", "run_id": "r"}


def stream(**columns: Any) -> HttpStream:
    declared = {"id": {"type": "bigint"}, "amount": {"type": "decimal(10,2)"}, "kind": {"type": "string"}} | columns
    return HttpStream.model_validate(
        {
            "table": "sales",
            "key": ["id"],
            "columns": declared,
            "path": "/sales",
            "read": {"kind": "window", "field": "day", "history_days": 1},
            "raw": list(declared),
        }
    )


def policy(rows: list[dict[str, Any]] | None = None, batch: list[dict[str, Any]] | None = None) -> Policy:
    return Policy.model_validate({"table": "sales", "rows": rows or [], "batch": batch or []})


def raw(
    spark: SparkSession, *rows: tuple[str | None, ...], parser: str | None = None, problem: str | None = None
) -> DataFrame:
    return spark.createDataFrame(
        [(*row, "s3://raw/f", parser, problem) for row in rows],
        "id string, amount string, kind string, _file string, _parser string, _problem string",
    )


def reasons(rows: DataFrame, declared: Policy | None = None) -> list[list[str]]:
    judged = judge_rows(typed(stream(), rows), row_predicates(stream(), declared), {})
    return [sorted(row._reasons) for row in judged.collect()]


def test_a_good_row_has_no_reason(spark: SparkSession) -> None:
    assert reasons(raw(spark, ("1", "2.50", "a"))) == [[]]


def test_text_that_does_not_read_as_its_type_is_a_reason_and_missing_text_is_none(spark: SparkSession) -> None:
    assert reasons(raw(spark, ("1", "two", "a"), ("2", None, "a"))) == [["amount_readable"], []]


def test_a_row_without_its_key_is_refused(spark: SparkSession) -> None:
    assert reasons(raw(spark, (None, "1", "a"))) == [["id_complete"]]


def test_a_row_that_cannot_be_read_has_that_one_reason(spark: SparkSession) -> None:
    declared = policy([{"id": "kind_there", "that": "kind", "is": "complete"}])
    assert reasons(raw(spark, (None, "two", None), problem="not_json"), declared) == [["not_json"]]


def test_each_row_is_read_by_its_own_parser(spark: SparkSession) -> None:
    declared = stream().model_copy(
        update={"parsers": {"v2": Parser(columns={"amount": "cast(amount as decimal(10,2)) / 100"})}}
    )
    rows = raw(spark, ("1", "250", "a")).unionByName(raw(spark, ("2", "250", "a"), parser="v2"))
    assert [str(row.amount) for row in typed(declared, rows).orderBy("id").collect()] == ["250.00", "2.50"]


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
        ({"that": "amount", "is": "between", "values": ["1", "2"]}, "2", "2.01"),
        ({"that": "kind", "is": "matches", "values": ["^[a-z]\\d$"]}, "a1", "A1"),
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
        typed(stream(), raw(spark, ("1", "-1", None), ("2", "-1", "a"), ("3", "1", "a"))),
        row_predicates(stream(), declared),
        {},
    )
    found = summarize(judged, ["positive", "kind"], ["id", "kind"])
    assert (found.refused, found.reasons) == (2, {"positive": 2, "kind": 1})
    assert found.bounds == {"id": (3, 3)}


def verdict(
    spark: SparkSession, tmp_path: Path, declared: Policy, *rows: tuple[str | None, ...]
) -> tuple[str, dict[str, bool]]:
    shaped = typed(stream(), raw(spark, *rows))
    checks = verify(shaped, row_predicates(stream(), declared), declared, f"file://{tmp_path}/metrics.json", TAGS)
    return worst(checks), {check.check: check.passed for check in checks}


def test_few_bad_rows_are_for_quarantine_and_many_halt_the_batch(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy([{"id": "positive", "that": "amount", "is": "positive", "at_most": 0.5}])
    assert verdict(spark, tmp_path, declared, ("1", "1", "a"), ("2", "-1", "a"))[0] == "pass"
    name, checks = verdict(spark, tmp_path, declared, ("1", "-1", "a"), ("2", "-1", "a"))
    assert (name, checks["positive"]) == ("halt", False)


def test_a_failed_warning_warns_and_a_failed_halt_halts(spark: SparkSession, tmp_path: Path) -> None:
    warn = {"id": "unique", "that": "id", "is": "unique", "level": "warn"}
    twice = (("1", "1", "a"), ("1", "2", "a"))
    assert verdict(spark, tmp_path, policy(batch=[warn]), *twice)[0] == "warn"
    assert verdict(spark, tmp_path, policy(batch=[warn | {"level": "halt"}]), *twice)[0] == "halt"


def test_zero_rows_where_rows_are_expected_do_not_pass(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy(batch=[{"id": "rows", "is": "size", "at_least": 1, "level": "halt"}])
    assert verdict(spark, tmp_path, declared) == ("halt", {"id_complete": True} | verdict(spark, tmp_path, declared)[1])


def test_metrics_of_every_batch_are_kept_in_the_repository(spark: SparkSession, tmp_path: Path) -> None:
    declared = policy(batch=[{"id": "rows", "is": "size", "at_least": 1, "level": "halt"}])
    verdict(spark, tmp_path, declared, ("1", "1", "a"))
    assert '"batch": "1"' in (tmp_path / "metrics.json").read_text().replace('"batch":"1"', '"batch": "1"')


@pytest.mark.parametrize(("drift", "level"), [("evolve", "warn"), ("quarantine", "warn"), ("strict", "halt")])
def test_a_change_of_shape_is_told_and_halts_a_strict_stream(drift, level) -> None:
    manifest = Manifest(
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
        drift=(FieldChange(field="amount", change="retyped", before="number", after="string"),),
    )
    told = judge_drift(manifest, drift)
    assert told is not None
    assert (told.check, told.level, told.message) == ("schema", level, "field amount was number and is string")
    assert worst([told]) == level
    assert judge_drift(manifest.model_copy(update={"drift": ()}), drift) is None
