"""Sampled rows go through the production code that types and judges them, whatever kind of source they are of."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from headwater.config import FilesStream, JdbcStream, Policy
from headwater.errors import ConfigError
from headwater.explore.found import Field, Sample
from headwater.explore.frames import bronze, judged, left_out

FILES = {
    "table": "things",
    "key": ["id"],
    "prefix": "x/",
    "format": {"kind": "jsonl"},
    "raw": ["id", "amount"],
    "columns": {"id": {"type": "bigint"}, "amount": {"type": "decimal(12,2)"}},
}
TABLE = {
    "relation": "s.things",
    "read": {"kind": "watermark", "column": "updated_at"},
    "partition_column": "id",
    "table": "things",
    "key": ["id"],
    "columns": {
        "id": {"type": "bigint"},
        "flag": {"type": "boolean"},
        "name": {"type": "string", "from": "upper(name)"},
    },
}
CHECKS = {
    "table": "things",
    "rows": [
        {"id": "positive_amount", "that": "amount", "is": "positive"},
        {"id": "thing_known", "that": "id", "is": "known", "table": "others", "column": "id"},
    ],
}


def test_a_row_of_json_has_its_columns_and_every_reason(spark: SparkSession) -> None:
    stream, policy = FilesStream.model_validate(FILES), Policy.model_validate(CHECKS)
    rows = [{"id": 1, "amount": "2.5"}, {"id": "x", "amount": "-1"}, {"_problem": "bad_row", "_value": "?"}]
    told = judged(stream, policy, bronze(spark, stream, Sample(rows)))
    assert told[0] == {"id": "1", "amount": "2.50", "quarantined for": ""}
    assert {*told[1]["quarantined for"].split(", ")} == {"id_complete", "id_readable", "positive_amount"}
    assert told[2]["quarantined for"] == "bad_row"
    assert left_out(policy) == ["thing_known"]


def test_a_row_of_a_table_keeps_its_types(spark: SparkSession) -> None:
    stream = JdbcStream.model_validate(TABLE)
    fields = (Field("id", "bigint"), Field("flag", "boolean"), Field("name", "string"))
    rows = [{"id": 1, "flag": b"\x01", "name": "a"}, {"id": None, "flag": None, "name": None}]
    told = judged(stream, None, bronze(spark, stream, Sample(rows, fields)))
    assert told == [
        {"id": "1", "flag": "true", "name": "A", "quarantined for": ""},
        {"id": None, "flag": None, "name": None, "quarantined for": "id_complete"},
    ]


def test_an_expression_that_spark_refuses_is_one_line(spark: SparkSession) -> None:
    columns = {"id": {"type": "bigint", "from": "lowr(id)"}, "amount": {"type": "string"}}
    stream = FilesStream.model_validate({**FILES, "columns": columns})
    with pytest.raises(ConfigError, match="table things: Spark refuses") as refused:
        judged(stream, None, bronze(spark, stream, Sample([{"id": 1}])))
    assert "\n" not in str(refused.value)
