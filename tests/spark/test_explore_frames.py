"""Sampled rows go through the production code that types and judges them, whatever kind of source they are of."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from headwater.config import FilesStream, JdbcStream, Policy, Table
from headwater.errors import ConfigError
from headwater.explore.found import Field, Sample
from headwater.explore.frames import bronze, judged, left_out

FILES = {
    "table": "things",
    "prefix": "x/",
    "format": {"kind": "jsonl"},
    "raw": ["id", "amount"],
}
TABLE = {
    "relation": "s.things",
    "read": {"kind": "watermark", "column": "updated_at"},
    "partition_column": "id",
    "table": "things",
    "raw": ["id", "flag", "name"],
    "columns": {"name": "upper(name)"},
}
CHECKS = {
    "table": "things",
    "rows": [
        {"id": "positive_amount", "that": "amount", "is": "positive"},
        {"id": "thing_known", "that": "id", "is": "known", "table": "others", "column": "id"},
    ],
}


def table(**types: str) -> Table:
    columns = {name: {"type": kind} for name, kind in types.items()}
    return Table.model_validate(
        {"table": "things", "owner": "Shop", "note": "Things.", "key": ["id"], "columns": columns}
    )


def test_a_row_of_json_has_its_columns_and_every_reason(spark: SparkSession) -> None:
    stream, policy = FilesStream.model_validate(FILES), Policy.model_validate(CHECKS)
    rows = [{"id": 1, "amount": "2.5"}, {"id": "x", "amount": "-1"}, {"_problem": "bad_row", "_value": "?"}]
    told = judged(stream, table(id="bigint", amount="decimal(12,2)"), policy, bronze(spark, stream, Sample(rows)))
    assert told[0] == {"id": "1", "amount": "2.50", "quarantined for": ""}
    assert {*told[1]["quarantined for"].split(", ")} == {"id_complete", "id_readable", "positive_amount"}
    assert told[2]["quarantined for"] == "bad_row"
    assert left_out(policy) == ["thing_known"]


def test_a_row_of_a_table_keeps_its_types(spark: SparkSession) -> None:
    stream = JdbcStream.model_validate(TABLE)
    fields = (Field("id", "bigint"), Field("flag", "boolean"), Field("name", "string"))
    rows = [{"id": 1, "flag": b"\x01", "name": "a"}, {"id": None, "flag": None, "name": None}]
    things = table(id="bigint", flag="boolean", name="string")
    told = judged(stream, things, None, bronze(spark, stream, Sample(rows, fields)))
    assert told == [
        {"id": "1", "flag": "true", "name": "A", "quarantined for": ""},
        {"id": None, "flag": None, "name": None, "quarantined for": "id_complete"},
    ]


def test_an_expression_that_spark_refuses_is_one_line(spark: SparkSession) -> None:
    stream = FilesStream.model_validate({**FILES, "columns": {"id": "lowr(id)"}})
    with pytest.raises(ConfigError, match="table things: Spark refuses") as refused:
        judged(stream, table(id="bigint", amount="string"), None, bronze(spark, stream, Sample([{"id": 1}])))
    assert "\n" not in str(refused.value)
