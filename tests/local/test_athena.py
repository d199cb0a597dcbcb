"""The local Athena, through boto3: queries really run over the Glue catalog and leave their CSV in S3."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from deltalake import DeltaTable, write_deltalake

from local.gateway.server import running_gateway
from tests.support.aws import Aws
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Athena:
    """Athena and a Glue database of one test."""

    aws: Aws
    database: str

    @property
    def api(self) -> Any:
        return self.aws.client("athena")

    def start(self, sql: str, **more: Any) -> str:
        asked = {
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": f"s3://{self.aws.bucket}/results/"},
        }
        return str(self.api.start_query_execution(QueryString=sql, **asked | more)["QueryExecutionId"])

    def ended(self, query: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.api.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            return found if found["Status"]["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

        return wait_for(look, 60)

    def done(self, sql: str, **more: Any) -> dict[str, Any]:
        execution = self.ended(self.start(sql, **more))
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return execution

    def failure(self, sql: str) -> str:
        status = self.ended(self.start(sql))["Status"]
        assert status["State"] == "FAILED"
        return str(status["StateChangeReason"])

    def rows(self, sql: str, **more: Any) -> list[tuple[str | None, ...]]:
        """The rows of a query, header first."""
        query = self.done(sql, **more)["QueryExecutionId"]
        pages = self.api.get_paginator("get_query_results").paginate(QueryExecutionId=query)
        return [
            tuple(cell.get("VarCharValue") for cell in row["Data"])
            for page in pages
            for row in page["ResultSet"]["Rows"]
        ]

    def body(self, url: str) -> str:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return str(self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def table(
        self, name: str, columns: dict[str, str], location: str, keys: tuple[str, ...] = (), **entry: Any
    ) -> None:
        """Puts a table into the catalog; `keys` are the columns that it is partitioned by."""
        descriptor = {
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items() if column not in keys],
            "Location": location,
            "SerdeInfo": entry.pop("SerdeInfo", {}),
        }
        table = {
            "Name": name,
            "StorageDescriptor": descriptor,
            "PartitionKeys": [{"Name": key, "Type": columns[key]} for key in keys],
            "TableType": "EXTERNAL_TABLE",
            **entry,
        }
        self.aws.client("glue").create_table(DatabaseName=self.database, TableInput=table)

    def delta(self, name: str, rows: pa.Table, **how: Any) -> str:
        """Writes a Delta table, and puts it into the catalog as a crawler does."""
        location = f"s3://{self.aws.bucket}/{name}/"
        write_deltalake(location, rows, storage_options=self.storage, **how)
        self.table(
            name, dict.fromkeys(rows.schema.names, "string"), location,
            Parameters={"classification": "delta", "table_type": "DELTA"},
        )  # fmt: skip
        return location

    @property
    def storage(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.aws.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("athena")
    with running_gateway(home) as url:
        yield url, home


@pytest.fixture
def athena(endpoint: tuple[str, Path]) -> Athena:
    name = uuid.uuid4().hex[:12]
    aws = Aws(*endpoint, f"test-{name}")
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws.client("glue").create_database(DatabaseInput={"Name": f"db_{name}"})
    return Athena(aws, f"db_{name}")


ORDERS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "total": pa.array([Decimal("1.10"), None, Decimal("2.20")], pa.decimal128(18, 2)),
        "region": ["eu", "us", "eu"],
        "placed": pa.array([date(2024, 1, 31), date(2024, 2, 1), None]),
        "at": pa.array([datetime(2024, 1, 31, 10, 0, 0, 5000, UTC)] * 3, pa.timestamp("us", "UTC")),
    }
)


def test_a_delta_table_is_read_with_its_partitions(athena: Athena) -> None:
    athena.delta("orders", ORDERS, partition_by=["region"])
    assert athena.rows("SELECT id, total FROM orders WHERE region = 'eu' ORDER BY id") == [
        ("id", "total"), ("1", "1.10"), ("3", "2.20"),
    ]  # fmt: skip


def test_the_newest_version_of_a_delta_table_is_read(athena: Athena) -> None:
    location = athena.delta("orders", ORDERS)
    DeltaTable(location, storage_options=athena.storage).delete("id = 1")
    write_deltalake(location, ORDERS.slice(1, 1), mode="append", storage_options=athena.storage)
    assert athena.rows("SELECT count(*) AS n, max(id) AS top FROM orders") == [("n", "top"), ("3", "3")]


def test_a_column_that_spark_gives_no_greatest_value_keeps_its_rows(athena: Athena) -> None:
    athena.delta("orders", ORDERS.append_column("paid", pa.array([True, True, False])))
    log = "orders/_delta_log/00000000000000000000.json"
    lines = [json.loads(line) for line in athena.body(f"s3://{athena.aws.bucket}/{log}").splitlines()]
    for line in lines:
        if "add" in line:
            stats = json.loads(line["add"]["stats"])
            # Delta in Spark keeps no bounds of what is true or false.
            del stats["minValues"]["paid"], stats["maxValues"]["paid"]
            line["add"]["stats"] = json.dumps(stats)
    athena.aws.put(log, "\n".join(map(json.dumps, lines)))
    assert athena.rows("SELECT id FROM orders WHERE paid = true ORDER BY id") == [("id",), ("1",), ("2",)]


@pytest.mark.parametrize("name", ["{db}.orders", '"{db}"."orders"', '"AwsDataCatalog"."{db}".orders', "{db}.ORDERS"])
def test_a_table_is_found_under_each_of_its_names(athena: Athena, name: str) -> None:
    athena.delta("orders", ORDERS)
    assert athena.rows(f"SELECT count(*) AS n FROM {name.format(db=athena.database)}")[1] == ("3",)


def test_a_common_table_expression_hides_a_table(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    assert athena.rows("WITH orders AS (SELECT 7 AS id) SELECT id FROM orders") == [("id",), ("7",)]


def test_only_the_tables_that_a_query_names_are_opened(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    athena.table("broken", {"id": "int"}, "s3://no-such-bucket/x/", Parameters={"table_type": "DELTA"})
    assert athena.rows("SELECT count(*) AS n FROM orders")[1] == ("3",)
    assert athena.failure("SELECT * FROM broken").startswith("HIVE_CANNOT_OPEN_SPLIT")


def test_parquet_files_are_read_with_partition_columns(athena: Athena) -> None:
    for day, number in (("2024-01-01", 1), ("2024-01-02", 2)):
        file = io.BytesIO()
        pq.write_table(pa.table({"n": pa.array([number], pa.int32())}), file)
        athena.aws.put(f"raw/day={day}/part-0.parquet", file.getvalue())
    athena.aws.put("raw/_SUCCESS", "x")
    columns = {"n": "int", "day": "date"}
    athena.table("raw", columns, f"s3://{athena.aws.bucket}/raw/", ("day",), Parameters={"classification": "parquet"})
    assert athena.rows("SELECT * FROM raw WHERE day > date '2024-01-01'") == [("n", "day"), ("2", "2024-01-02")]


def test_json_lines_and_csv_are_read_as_the_catalog_types_them(athena: Athena) -> None:
    athena.aws.put("json/a.json", '{"id": 1, "tags": ["x", "y"], "more": 1}\n{"id": 2}\n')
    athena.aws.put("csv/a.csv", 'id,name\n1,"a, b"\n2,\n')
    athena.table(
        "events", {"id": "bigint", "tags": "array<string>"}, f"s3://{athena.aws.bucket}/json/",
        Parameters={"classification": "json"},
    )  # fmt: skip
    athena.table(
        "people", {"id": "int", "name": "string"}, f"s3://{athena.aws.bucket}/csv/",
        Parameters={"classification": "csv", "skip.header.line.count": "1"},
    )  # fmt: skip
    assert athena.rows("SELECT id, tags FROM events ORDER BY id")[1:] == [("1", "[x, y]"), ("2", None)]
    assert athena.rows("SELECT id + 1 AS next, name FROM people ORDER BY id")[1:] == [("2", "a, b"), ("3", "")]


def test_a_table_without_files_is_empty(athena: Athena) -> None:
    athena.table("empty", {"id": "int"}, f"s3://{athena.aws.bucket}/none/", Parameters={"classification": "parquet"})
    assert athena.rows("SELECT * FROM empty") == [("id",)]


def test_an_unknown_table_or_database_is_named(athena: Athena) -> None:
    missing = f"Table 'awsdatacatalog.{athena.database}.nowhere' does not exist"
    assert missing in athena.failure("SELECT * FROM nowhere")
    assert "Schema 'nobody' does not exist" in athena.failure("SELECT * FROM nobody.nowhere")


def test_results_are_written_as_quoted_csv(athena: Athena) -> None:
    execution = athena.done("SELECT 1 AS n, 'say \"hi\", twice' AS s, NULL AS nothing, '' AS blank")
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://{athena.aws.bucket}/results/{execution['QueryExecutionId']}.csv"
    body = athena.body(location)
    assert body == '"n","s","nothing","blank"\n"1","say ""hi"", twice",,""\n'
    assert list(csv.reader(io.StringIO(body)))[1] == ["1", 'say "hi", twice', "", ""]


def test_values_and_types_are_athenas(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    query = (
        "SELECT sum(id) AS total, sum(total) AS money, avg(id) AS mean, 12345678.0e0 AS big, true AS yes, at, placed, "
        "ARRAY[1, 2] AS list, MAP(ARRAY['a'], ARRAY[1]) AS pairs, CAST(ROW(1, 'x') AS ROW(a INTEGER, b VARCHAR)) AS pair "
        "FROM orders WHERE id = 1 GROUP BY at, placed"
    )
    query_id = athena.done(query)["QueryExecutionId"]
    result = athena.api.get_query_results(QueryExecutionId=query_id)["ResultSet"]
    kinds = [column["Type"] for column in result["ResultSetMetadata"]["ColumnInfo"]]
    assert kinds == [
        "bigint", "decimal", "double", "double", "boolean", "timestamp with time zone", "date", "array", "map", "row",
    ]  # fmt: skip
    money = result["ResultSetMetadata"]["ColumnInfo"][1]
    assert (money["Precision"], money["Scale"]) == (38, 2)
    assert [cell["VarCharValue"] for cell in result["Rows"][1]["Data"]] == [
        "1", "1.10", "1.0", "1.2345678E7", "true", "2024-01-31 10:00:00.005 UTC", "2024-01-31", "[1, 2]", "{a=1}", "{a=1, b=x}",
    ]  # fmt: skip


def test_a_result_comes_in_pages_after_its_header(athena: Athena) -> None:
    query = athena.done("SELECT n FROM UNNEST(sequence(1, 2500)) AS t(n) ORDER BY n")["QueryExecutionId"]
    first = athena.api.get_query_results(QueryExecutionId=query, MaxResults=3)
    assert [row["Data"][0]["VarCharValue"] for row in first["ResultSet"]["Rows"]] == ["n", "1", "2"]
    second = athena.api.get_query_results(QueryExecutionId=query, MaxResults=3, NextToken=first["NextToken"])
    assert [row["Data"][0]["VarCharValue"] for row in second["ResultSet"]["Rows"]] == ["3", "4", "5"]
    pages = athena.api.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    assert sum(len(page["ResultSet"]["Rows"]) for page in pages) == 2501


def test_an_execution_tells_what_it_cost(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    execution = athena.done("SELECT * FROM orders")
    assert execution["Statistics"]["DataScannedInBytes"] > 0
    assert (
        execution["Statistics"]["TotalExecutionTimeInMillis"] >= execution["Statistics"]["EngineExecutionTimeInMillis"]
    )
    assert (execution["StatementType"], execution["WorkGroup"]) == ("DML", "primary")
    assert execution["Status"]["CompletionDateTime"] >= execution["Status"]["SubmissionDateTime"]


def test_an_enforcing_workgroup_decides_where_results_go(athena: Athena) -> None:
    name = f"wg-{uuid.uuid4().hex[:6]}"
    location = f"s3://{athena.aws.bucket}/workgroup/"
    athena.api.create_work_group(Name=name, Configuration={"ResultConfiguration": {"OutputLocation": location}})
    execution = athena.done("SELECT 1 AS n", WorkGroup=name)
    assert execution["ResultConfiguration"]["OutputLocation"] == f"{location}{execution['QueryExecutionId']}.csv"
    assert athena.api.list_query_executions(WorkGroup=name)["QueryExecutionIds"] == [execution["QueryExecutionId"]]


def test_a_query_needs_an_output_location(athena: Athena) -> None:
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="No output location provided"):
        athena.api.start_query_execution(QueryString="SELECT 1")


def test_a_missing_result_bucket_fails_the_query(athena: Athena) -> None:
    execution = athena.start("SELECT 1", ResultConfiguration={"OutputLocation": "s3://no-such-bucket-here/x/"})
    status = athena.ended(execution)["Status"]
    assert (status["State"], "output bucket no-such-bucket-here" in status["StateChangeReason"]) == ("FAILED", True)


def test_an_unfinished_or_failed_query_has_no_results(athena: Athena) -> None:
    query = athena.ended(athena.start("SELECT 1 / 0"))
    assert query["Status"]["StateChangeReason"] == "DIVISION_BY_ZERO: Division by zero"
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="Final query state: FAILED"):
        athena.api.get_query_results(QueryExecutionId=query["QueryExecutionId"])


def test_stopping_cancels_a_running_query(athena: Athena) -> None:
    query = athena.start(
        "SELECT count(*) FROM UNNEST(sequence(1, 300000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 300000)) AS b(y) "
        "WHERE x * y % 7 = 3"
    )
    wait_for(
        lambda: athena.api.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"] != "QUEUED"
    )
    athena.api.stop_query_execution(QueryExecutionId=query)
    assert athena.ended(query)["Status"]["State"] == "CANCELLED"


def test_unknown_executions_are_told_apart_in_a_batch(athena: Athena) -> None:
    known, unknown = athena.done("SELECT 1")["QueryExecutionId"], str(uuid.uuid4())
    answer = athena.api.batch_get_query_execution(QueryExecutionIds=[known, unknown])
    assert [execution["QueryExecutionId"] for execution in answer["QueryExecutions"]] == [known]
    assert answer["UnprocessedQueryExecutionIds"][0]["QueryExecutionId"] == unknown
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="was not found"):
        athena.api.get_query_execution(QueryExecutionId=unknown)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7.0e0 / 2", "3.5"),
        ("7 % 3", "1"),
        ("date_add('day', -1, date '2024-03-01')", "2024-02-29"),
        ("date '2024-03-01' - interval '1' day", "2024-02-29"),
        ("timestamp '2024-03-01 10:00:00' + interval '1' hour", "2024-03-01 11:00:00.000"),
        ("date_diff('month', date '2024-01-31', date '2024-02-01')", "1"),
        ("date_trunc('month', date '2024-03-15')", "2024-03-01"),
        ("day_of_week(date '2024-03-03')", "7"),
        ("date_format(timestamp '2024-03-01 10:05:00', '%Y-%m-%d %H:%i')", "2024-03-01 10:05"),
        ("from_iso8601_timestamp('2024-01-01T00:00:00Z')", "2024-01-01 00:00:00.000 UTC"),
        ("to_iso8601(date '2024-01-01')", "2024-01-01"),
        ("json_extract_scalar('{\"a\": {\"b\": 5}}', '$.a.b')", "5"),
        ("try_cast('x' AS integer)", None),
        ("element_at(MAP(ARRAY['k'], ARRAY[5]), 'k')", "5"),
        ("cardinality(ARRAY[1, 2, 3])", "3"),
        ("array_join(transform(ARRAY[1, 2], x -> x + 1), '-')", "2-3"),
        ("regexp_extract('order 42', '([0-9]+)', 1)", "42"),
        ("regexp_like('order 42', '[0-9]')", "true"),
        ("split_part('a,b', ',', 2)", "b"),
        ("coalesce(NULL, 'x') || 'y'", "xy"),
        ("if(1 > 2, 'a', 'b')", "b"),
        ("CAST(1.005 AS decimal(10, 2))", "1.01"),
        ("approx_distinct(1)", "1"),
        ("max_by('a', 1)", "a"),
        ("count_if(true)", "1"),
    ],
)
def test_a_function_of_athena_is_carried_out(athena: Athena, expression: str, expected: str | None) -> None:
    assert athena.rows(f"SELECT {expression} AS v")[1] == (expected,)


def test_a_column_without_a_name_is_counted(athena: Athena) -> None:
    assert athena.rows("SELECT 1 AS a, 1 + 1, count(*)")[0] == ("a", "_col1", "_col2")


def test_parameters_take_the_place_of_question_marks(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    query = "SELECT id FROM orders WHERE id > ? AND region = ? AND 'it''s' = ?"
    assert athena.rows(query, ExecutionParameters=["1", "eu", "'it''s'"])[1:] == [("3",)]
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="expected 3 but found 2"):
        athena.start(query, ExecutionParameters=["1", "2"])
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="only in a WHERE clause"):
        athena.start("SELECT ?", ExecutionParameters=["1"])
    assert "ExecutionParameters" not in athena.done(query, ExecutionParameters=["1", "eu", "''"])


def test_a_clients_token_starts_one_execution(athena: Athena) -> None:
    token = uuid.uuid4().hex
    assert athena.start("SELECT 1", ClientRequestToken=token) == athena.start("SELECT 1", ClientRequestToken=token)
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="parameters do not match"):
        athena.start("SELECT 2", ClientRequestToken=token)
    assert athena.start("SELECT 1") != athena.start("SELECT 1")


def test_a_page_token_is_one_of_its_own_result(athena: Athena) -> None:
    one, other = (athena.done("SELECT * FROM (VALUES 1, 2, 3) AS t (n)")["QueryExecutionId"] for _ in range(2))
    token = athena.api.get_query_results(QueryExecutionId=one, MaxResults=2)["NextToken"]
    for wrong in (token, "2", "made up"):
        with pytest.raises(athena.api.exceptions.InvalidRequestException, match="Invalid next token"):
            athena.api.get_query_results(QueryExecutionId=other, NextToken=wrong)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE copy AS SELECT 1 AS n",
        "INSERT INTO orders SELECT 1",
        "MSCK REPAIR TABLE orders",
        "DROP TABLE orders",
        "UNLOAD (SELECT 1) TO 's3://bucket/x' WITH (format = 'PARQUET')",
    ],
)
def test_what_writes_tables_is_refused_with_a_reason(athena: Athena, sql: str) -> None:
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="Glue jobs write the tables"):
        athena.start(sql)


@pytest.mark.parametrize("sql", ["SELECT FROM WHERE", "SELECT 1; SELECT 2"])
def test_a_text_that_cannot_be_parsed_is_refused_at_once(athena: Athena, sql: str) -> None:
    with pytest.raises(athena.api.exceptions.InvalidRequestException):
        athena.start(sql)


def test_an_unknown_column_is_named(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    assert "COLUMN_NOT_FOUND" in athena.failure("SELECT nope FROM orders")


def test_a_query_cannot_read_files_past_the_catalog(athena: Athena) -> None:
    assert athena.failure("SELECT * FROM read_csv('/etc/passwd')")


def test_show_and_describe_list_the_catalog(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    athena.table("returns", {"id": "int", "day": "date"}, f"s3://{athena.aws.bucket}/r/", ("day",))
    assert athena.rows("SHOW TABLES") == [("orders",), ("returns",)]
    assert athena.rows(f"SHOW TABLES IN {athena.database} 'ret*'") == [("returns",)]
    assert (athena.database,) in athena.rows("SHOW DATABASES")
    described = [(row[0] or "").split() for row in athena.rows("DESCRIBE returns")]
    assert described == [["id", "int"], ["day", "date"]]
    execution = athena.done("SHOW TABLES")
    assert athena.body(execution["ResultConfiguration"]["OutputLocation"]) == "orders\nreturns\n"


def test_a_view_is_kept_in_the_catalog_and_expanded(athena: Athena) -> None:
    athena.delta("orders", ORDERS)
    athena.done("CREATE VIEW big AS SELECT id, total FROM orders WHERE total > 2")
    athena.done("CREATE OR REPLACE VIEW bigger AS SELECT id + 1 AS next FROM big")
    assert athena.rows("SELECT * FROM bigger") == [("next",), ("4",)]
    table = athena.aws.client("glue").get_table(DatabaseName=athena.database, Name="big")["Table"]
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert json.loads(json.dumps(table["StorageDescriptor"]["Columns"])) == [
        {"Name": "id", "Type": "bigint"}, {"Name": "total", "Type": "decimal(18,2)"},
    ]  # fmt: skip


def test_a_view_is_replaced_only_when_asked_and_can_be_dropped(athena: Athena) -> None:
    athena.done("CREATE VIEW v AS SELECT 1 AS n")
    assert "already exists" in athena.failure("CREATE VIEW v AS SELECT 2 AS n")
    athena.done("CREATE OR REPLACE VIEW v AS SELECT 2 AS n")
    assert athena.rows("SELECT n FROM v")[1] == ("2",)
    athena.done("DROP VIEW v")
    assert "does not exist" in athena.failure("SELECT * FROM v")


def test_a_saved_query_that_is_deleted_is_gone_and_cannot_be_deleted_again(athena: Athena) -> None:
    saved = {"Name": "all", "Database": athena.database, "QueryString": "SELECT 1", "WorkGroup": "primary"}
    query = athena.api.create_named_query(**saved)["NamedQueryId"]
    athena.api.delete_named_query(NamedQueryId=query)
    assert query not in athena.api.list_named_queries(WorkGroup="primary")["NamedQueryIds"]
    with pytest.raises(athena.api.exceptions.InvalidRequestException, match="was not found"):
        athena.api.delete_named_query(NamedQueryId=query)


def test_what_the_local_stack_lacks_is_named_and_not_tried_again(athena: Athena) -> None:
    with pytest.raises(ClientError, match=r"lacks athena\.DeletePreparedStatement") as refused:
        athena.api.delete_prepared_statement(StatementName="one", WorkGroup="primary")
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    # Of a service whose requests are forms and whose answers are XML as well.
    with pytest.raises(ClientError, match=r"NotImplementedException.*lacks sns\.ListOriginationNumbers"):
        athena.aws.client("sns").list_origination_numbers()
