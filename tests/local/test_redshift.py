"""The Data API of the local warehouse, through boto3: SQL, transactions, COPY and UNLOAD really happen."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto.core.exceptions import JsonRESTError

from headwater.warehouse import data_api
from local.gateway.iam.principals import Principal
from local.gateway.redshift.executions import Execution, Executions
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support.aws import Aws, assumed, make_own_role, person_role
from tests.support.waiting import wait_for
from tests.unit.test_redshift_words import VALUES

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/headwater-local'"
ENDED = {"FINISHED", "FAILED", "ABORTED"}


@dataclass(frozen=True)
class Warehouse:
    """The Data API and the bucket of one test."""

    aws: Aws
    schema: str

    @property
    def api(self) -> Any:
        return self.aws.client("redshift-data")

    def ended(self, statement_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.api.describe_statement(Id=statement_id)
            return found if found["Status"] in ENDED else None

        return wait_for(look, 30)

    def batch(self, *sqls: str, **more: Any) -> dict[str, Any]:
        """Runs statements as one transaction, to the end."""
        answer = self.api.batch_execute_statement(WorkgroupName="local", Database="headwater", Sqls=list(sqls), **more)
        return self.ended(answer["Id"])

    def done(self, *sqls: str) -> dict[str, Any]:
        answer = self.batch(*sqls)
        assert answer["Status"] == "FINISHED", answer.get("Error")
        return answer

    def refused(self, *sqls: str) -> str:
        """The error of a batch that has to fail."""
        answer = self.batch(*sqls)
        assert answer["Status"] == "FAILED"
        return str(answer["Error"])

    def rows(self, query: str, **parameters: str) -> list[tuple[Any, ...]]:
        """Runs one query and reads its result."""
        given = [{"name": name, "value": value} for name, value in parameters.items()]
        more = {"Parameters": given} if given else {}
        answer = self.api.execute_statement(WorkgroupName="local", Database="headwater", Sql=query, **more)
        described = self.ended(answer["Id"])
        assert described["Status"] == "FINISHED", described.get("Error")
        pages = self.api.get_paginator("get_statement_result").paginate(Id=answer["Id"])
        return [tuple(value(cell) for cell in record) for page in pages for record in page["Records"]]

    def put(self, key: str, table: pa.Table, **settings: Any) -> str:
        """Writes a Parquet file and returns its URL."""
        file = io.BytesIO()
        pq.write_table(table, file, **settings)
        return self.aws.put(key, file.getvalue())

    def manifest(self, key: str, *entries: dict[str, Any]) -> str:
        return self.aws.put(key, json.dumps({"entries": entries}))

    def keys(self, prefix: str) -> list[str]:
        found = self.aws.client("s3").list_objects_v2(Bucket=self.aws.bucket, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def read(self, url: str) -> pa.Table:
        key = url.removeprefix(f"s3://{self.aws.bucket}/")
        body = self.aws.client("s3").get_object(Bucket=self.aws.bucket, Key=key)["Body"].read()
        return pq.ParquetFile(io.BytesIO(body)).read()


def value(cell: dict[str, Any]) -> Any:
    return None if cell.get("isNull") else next(iter(cell.values()))


@pytest.fixture(scope="module")
def endpoint(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("redshift")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as url:
        make_own_role(url)
        Aws(url, home, "-").workgroup("local")
        yield url, home


@pytest.fixture
def warehouse(endpoint: tuple[str, Path]) -> Iterator[Warehouse]:
    name = uuid.uuid4().hex[:12]
    aws = Aws(*endpoint, f"test-{name}")
    aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    warehouse = Warehouse(aws, f"s{name}")
    warehouse.done(f"CREATE SCHEMA {warehouse.schema}")
    yield warehouse
    aws.own("faults", "DELETE")


def orders(**columns: pa.Array) -> pa.Table:
    rows: dict[str, pa.Array] = {
        "id": pa.array([1, 2], pa.int64()),
        "name": pa.array(["a", None]),
        "total": pa.array([Decimal("1.50"), Decimal("-2.00")], pa.decimal128(18, 2)),
        "placed": pa.array([date(2024, 1, 1), None]),
    }
    return pa.table(rows | columns)


ORDERS = "(id BIGINT NOT NULL, name VARCHAR(10), total DECIMAL(18, 2), placed DATE)"


def test_a_query_returns_typed_cells(warehouse: Warehouse) -> None:
    query = (
        "SELECT 7 AS n, 1.5::float8 AS f, true AS b, 2.50::decimal(10,2) AS d, date '2024-01-02' AS day, "
        "timestamp '2024-01-02 03:04:05' AS at, NULL::int AS nothing, 'x' AS s"
    )
    assert warehouse.rows(query) == [(7, 1.5, True, "2.50", "2024-01-02", "2024-01-02 03:04:05", None, "x")]


def test_column_metadata_names_redshift_types(warehouse: Warehouse) -> None:
    answer = warehouse.api.execute_statement(
        WorkgroupName="local",
        Sql="SELECT 1::bigint AS n, 'x'::varchar(3) AS s, 1.5::decimal(9,2) AS d, '1'::super AS j",
    )
    warehouse.ended(answer["Id"])
    metadata = warehouse.api.get_statement_result(Id=answer["Id"])["ColumnMetadata"]
    assert [(column["name"], column["typeName"]) for column in metadata] == [
        ("n", "int8"), ("s", "varchar"), ("d", "numeric"), ("j", "super"),
    ]  # fmt: skip
    assert (metadata[2]["precision"], metadata[2]["scale"]) == (9, 2)


def test_a_long_result_comes_in_pages(warehouse: Warehouse) -> None:
    rows = warehouse.rows("SELECT generate_series(1, 2500) AS n")
    assert [row[0] for row in rows] == list(range(1, 2501))


def test_parameters_take_their_type_from_where_they_stand(warehouse: Warehouse) -> None:
    assert warehouse.rows("SELECT ':id' AS s, :n::int + 1 AS n WHERE 5 = :id", id="5", n="2") == [(":id", 3)]


def test_a_parameter_is_never_read_as_sql(warehouse: Warehouse) -> None:
    assert warehouse.rows("SELECT :s AS s", s="'; DROP TABLE x; --") == [("'; DROP TABLE x; --",)]


def test_a_missing_parameter_is_refused_at_once(warehouse: Warehouse) -> None:
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="'id'"):
        warehouse.api.execute_statement(WorkgroupName="local", Sql="SELECT :id")


def test_a_failed_statement_says_why(warehouse: Warehouse) -> None:
    answer = warehouse.api.execute_statement(WorkgroupName="local", Sql="SELECT * FROM nowhere")
    described = warehouse.ended(answer["Id"])
    assert (described["Status"], described["HasResultSet"]) == ("FAILED", False)
    assert described["Error"] == 'ERROR: relation "nowhere" does not exist'
    with pytest.raises(warehouse.api.exceptions.ResourceNotFoundException):
        warehouse.api.get_statement_result(Id=answer["Id"])


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "CREATE TEMP TABLE a (n INT); DROP TABLE a"])
def test_two_statements_in_one_text_are_refused(warehouse: Warehouse, sql: str) -> None:
    answer = warehouse.api.execute_statement(WorkgroupName="local", Sql=sql)
    assert "multiple commands" in warehouse.ended(answer["Id"])["Error"]


def test_an_unknown_database_fails_the_statement(warehouse: Warehouse) -> None:
    answer = warehouse.api.execute_statement(WorkgroupName="local", Database="nowhere", Sql="SELECT 1")
    assert 'database "nowhere" does not exist' in warehouse.ended(answer["Id"])["Error"]


def test_a_repeated_client_token_runs_once(warehouse: Warehouse) -> None:
    token = uuid.uuid4().hex
    sqls = [f"CREATE TABLE {warehouse.schema}.once (n INT)"]
    first = warehouse.batch(*sqls, ClientToken=token)
    again = warehouse.batch(*sqls, ClientToken=token)
    assert (first["Id"], first["Status"], again["Status"]) == (again["Id"], "FINISHED", "FINISHED")


def test_cancelling_aborts_a_running_statement(warehouse: Warehouse) -> None:
    answer = warehouse.api.execute_statement(WorkgroupName="local", Sql="SELECT pg_sleep(60)")
    wait_for(lambda: warehouse.api.describe_statement(Id=answer["Id"])["RedshiftPid"] > 0)
    assert warehouse.api.cancel_statement(Id=answer["Id"])["Status"] is True
    assert warehouse.ended(answer["Id"])["Status"] == "ABORTED"
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="already in ABORTED state"):
        warehouse.api.cancel_statement(Id=answer["Id"])


def test_statements_are_listed_by_name_newest_first(warehouse: Warehouse) -> None:
    name = f"load-{uuid.uuid4().hex}"
    ids = [warehouse.batch("SELECT 1", StatementName=f"{name}-{number}")["Id"] for number in range(3)]
    first = warehouse.api.list_statements(StatementName=name, MaxResults=2)
    second = warehouse.api.list_statements(StatementName=name, MaxResults=2, NextToken=first["NextToken"])
    assert [entry["Id"] for entry in [*first["Statements"], *second["Statements"]]] == ids[::-1]
    assert first["Statements"][0]["QueryStrings"] == ["SELECT 1"]


def test_an_unknown_id_is_not_found(warehouse: Warehouse) -> None:
    with pytest.raises(warehouse.api.exceptions.ResourceNotFoundException):
        warehouse.api.describe_statement(Id=str(uuid.uuid4()))


def test_a_batch_reports_each_statement(warehouse: Warehouse) -> None:
    answer = warehouse.done(
        f"CREATE TABLE {warehouse.schema}.t (n INT)",
        f"INSERT INTO {warehouse.schema}.t VALUES (1), (2)",
        f"SELECT n FROM {warehouse.schema}.t ORDER BY n",
    )
    parts = answer["SubStatements"]
    assert [(part["Status"], part["ResultRows"], part["HasResultSet"]) for part in parts] == [
        ("FINISHED", 0, False), ("FINISHED", 2, False), ("FINISHED", 2, True),
    ]  # fmt: skip
    records = warehouse.api.get_statement_result(Id=f"{answer['Id']}:3")["Records"]
    assert records == [[{"longValue": 1}], [{"longValue": 2}]]
    assert answer["Duration"] > 0


def test_a_batch_is_one_transaction(warehouse: Warehouse) -> None:
    warehouse.done(f"CREATE TABLE {warehouse.schema}.t (n INT)")
    answer = warehouse.batch(f"INSERT INTO {warehouse.schema}.t VALUES (1)", "SELECT 1 / 0", "SELECT 1")
    assert answer["Status"] == "FAILED"
    assert [part["Status"] for part in answer["SubStatements"]] == ["FINISHED", "FAILED", "ABORTED"]
    assert answer["SubStatements"][1]["Error"] == "ERROR: division by zero"
    assert warehouse.rows(f"SELECT * FROM {warehouse.schema}.t") == []


def test_a_batch_takes_forty_statements(warehouse: Warehouse) -> None:
    warehouse.done(*["SELECT 1"] * 40)
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="41"):
        warehouse.batch(*["SELECT 1"] * 41)


def test_a_temp_table_lives_for_one_batch(warehouse: Warehouse) -> None:
    warehouse.done("CREATE TEMP TABLE incoming AS SELECT 1 AS n", "SELECT n FROM incoming")
    assert 'relation "incoming" does not exist' in warehouse.refused("SELECT n FROM incoming")


def test_truncate_commits(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} (n INT)", f"INSERT INTO {table} VALUES (1)")
    warehouse.refused(
        f"INSERT INTO {table} VALUES (2)", f"TRUNCATE {table}", f"INSERT INTO {table} VALUES (3)", "SELECT 1 / 0"
    )
    assert warehouse.rows(f"SELECT * FROM {table}") == []


def test_vacuum_is_refused_in_a_batch_and_runs_alone(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} (n INT)")
    assert "VACUUM cannot run inside a transaction block" in warehouse.refused(f"VACUUM {table}")
    answer = warehouse.api.execute_statement(WorkgroupName="local", Sql=f"VACUUM FULL {table} TO 99 PERCENT")
    assert warehouse.ended(answer["Id"])["Status"] == "FINISHED"


def test_a_connection_lost_after_commit_reports_failure_over_committed_rows(warehouse: Warehouse) -> None:
    warehouse.done(f"CREATE TABLE {warehouse.schema}.t (n INT)")
    warehouse.aws.own("faults", "POST", {"action": "error", "point": "redshift.after_commit"})
    assert warehouse.refused(f"INSERT INTO {warehouse.schema}.t VALUES (1)") == "connection lost"
    assert warehouse.rows(f"SELECT n FROM {warehouse.schema}.t") == [(1,)]


def test_physical_design_is_accepted_and_keys_are_not_enforced(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.sales"
    warehouse.done(
        f"""CREATE TABLE IF NOT EXISTS {table} (
              id BIGINT IDENTITY(1,1) ENCODE az64 DISTKEY,
              -- the shop's own number
              sku VARCHAR NOT NULL ENCODE lzo UNIQUE SORTKEY,
              note VARCHAR(MAX), extra SUPER, price DECIMAL DEFAULT 0,
              at TIMESTAMP DEFAULT GETDATE(), PRIMARY KEY (id)
            ) BACKUP NO DISTSTYLE KEY""",
        f"CREATE TABLE {warehouse.schema}.other (a INT, b INT) DISTSTYLE ALL COMPOUND SORTKEY (a, b)",
        f"CREATE TABLE {warehouse.schema}.third DISTKEY(a) INTERLEAVED SORTKEY(a) AS SELECT a FROM {warehouse.schema}.other",
        f"INSERT INTO {table} (sku) VALUES ('a'), ('a')",
        f"INSERT INTO {table} (id, sku) VALUES (1, 'a')",
        f"CREATE GROUP readers_{warehouse.schema}",
        f"GRANT SELECT ON {table} TO GROUP readers_{warehouse.schema}",
    )
    assert warehouse.rows(f"SELECT id, sku, price FROM {table} ORDER BY 1") == [
        (1, "a", "0"),
        (1, "a", "0"),
        (2, "a", "0"),
    ]


def test_not_null_is_enforced_also_on_a_primary_key(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} (id INT, n INT NOT NULL, PRIMARY KEY (id))")
    assert '"id"' in warehouse.refused(f"INSERT INTO {table} VALUES (NULL, 1)")
    assert '"n"' in warehouse.refused(f"INSERT INTO {table} VALUES (1, NULL)")


def test_a_varchar_without_length_holds_256(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} (s VARCHAR)", f"INSERT INTO {table} SELECT REPEAT('x', 256)")
    assert "too long" in warehouse.refused(f"INSERT INTO {table} SELECT REPEAT('x', 257)")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NVL(NULL, 2)", 2),
        ("NVL2(NULL, 1, 2)", 2),
        ("DECODE(3, 1, 'one', 3, 'three', 'many')", "three"),
        ("ISNULL(NULL, 4)", 4),
        ("LEN('abc')", 3),
        ("CHARINDEX('b', 'abc')", 2),
        ("DATEADD(day, -7, '2024-01-03')", "2023-12-27 00:00:00"),
        ("DATEADD(month, 1, date '2024-01-31')", "2024-02-29 00:00:00"),
        ("DATEADD(qtr, 2, timestamp '2024-01-01 10:00:00')", "2024-07-01 10:00:00"),
        ("DATEDIFF(day, '2024-01-01 23:59:59', '2024-01-02 00:00:00')", 1),
        ("DATEDIFF(month, '2024-01-31', '2024-02-01')", 1),
        ("DATEDIFF('hour', '2024-01-01 10:59:00', '2024-01-01 12:01:00')", 2),
        ("DATEDIFF(year, date '2023-12-31', date '2024-01-01')", 1),
        ("DATE_TRUNC('month', date '2024-02-03')::date", "2024-02-01"),
        ("TRUNC(timestamp '2024-02-03 04:05:06')", "2024-02-03"),
        ("LAST_DAY(date '2024-02-03')", "2024-02-29"),
        ("ADD_MONTHS(date '2024-01-15', 2)::date", "2024-03-15"),
        ("MONTHS_BETWEEN(date '2024-03-15', date '2024-01-15')", 2.0),
        ("REGEXP_SUBSTR('order 42', '[0-9]+')", "42"),
        ("REGEXP_REPLACE('a-b-c', '-', '')", "abc"),
        ("SHA2('x', 256)", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("JSON_EXTRACT_PATH_TEXT('{\"a\": {\"b\": 5}}', 'a', 'b')", "5"),
        ("CONVERT_TIMEZONE('UTC', 'Europe/Paris', timestamp '2024-07-01 10:00:00')", "2024-07-01 12:00:00"),
        ("7 / 2", 3),
        ("ROUND(2.345::float8, 2)", "2.35"),
        ("DATEDIFF(second, SYSDATE, GETDATE()) BETWEEN -5 AND 5", True),
    ],
)
def test_a_function_of_redshift_is_carried_out(warehouse: Warehouse, expression: str, expected: object) -> None:
    assert warehouse.rows(f"SELECT {expression} AS v") == [(expected,)]


def test_listagg_keeps_its_order_and_qualify_filters(warehouse: Warehouse) -> None:
    rows = "(SELECT 1 AS k, 'b' AS v UNION ALL SELECT 1, 'a' UNION ALL SELECT 2, 'c') AS t"
    listed = f"SELECT k, LISTAGG(DISTINCT v, '|') WITHIN GROUP (ORDER BY v) FROM {rows} GROUP BY k ORDER BY k"
    assert warehouse.rows(listed) == [(1, "a|b"), (2, "c")]
    newest = f"SELECT k, v FROM {rows} QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) = 1 ORDER BY k"
    assert warehouse.rows(newest) == [(1, "b"), (2, "c")]
    assert warehouse.rows(f"SELECT TOP 1 APPROXIMATE COUNT(DISTINCT v) FROM {rows}") == [(3,)]


def test_a_quoted_name_folds_to_lower_case(warehouse: Warehouse) -> None:
    warehouse.done(f'CREATE TABLE {warehouse.schema}.t ("Total" INT)', f"SELECT total FROM {warehouse.schema}.t")


def test_a_late_binding_view_may_change_its_columns(warehouse: Warehouse) -> None:
    view = f"{warehouse.schema}.v"
    warehouse.done(f"CREATE OR REPLACE VIEW {view} AS SELECT 1 AS a WITH NO SCHEMA BINDING")
    warehouse.done(f"CREATE OR REPLACE VIEW {view} AS SELECT 'x' AS b, 2 AS a WITH NO SCHEMA BINDING")
    assert warehouse.rows(f"SELECT b, a FROM {view}") == [("x", 2)]


def test_what_cannot_be_carried_out_is_refused_not_dropped(warehouse: Warehouse) -> None:
    refused = warehouse.refused("SELECT * FROM (SELECT 1 AS a, 'x' AS b) PIVOT (SUM(a) FOR b IN ('x'))")
    assert "not carried out by the local warehouse: PIVOT" in refused


@pytest.fixture
def merging(warehouse: Warehouse) -> Warehouse:
    s = warehouse.schema
    warehouse.done(
        f"CREATE TABLE {s}.target (id INT, name VARCHAR(10))",
        f"CREATE TABLE {s}.source (LIKE {s}.target)",
        f"INSERT INTO {s}.target VALUES (1, 'old'), (2, 'kept')",
        f"INSERT INTO {s}.source VALUES (1, 'new'), (3, 'added')",
    )
    return warehouse


def target(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(f"SELECT id, name FROM {warehouse.schema}.target ORDER BY id, name")


def test_merge_updates_and_inserts(merging: Warehouse) -> None:
    s = merging.schema
    answer = merging.done(
        f"""MERGE INTO {s}.target USING {s}.source AS s ON target.id = s.id
            WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.name)"""
    )
    assert answer["SubStatements"][0]["ResultRows"] == 2
    assert target(merging) == [(1, "new"), (2, "kept"), (3, "added")]


def test_merge_deletes(merging: Warehouse) -> None:
    s = merging.schema
    merging.done(
        f"""MERGE INTO {s}.target USING {s}.source ON target.id = source.id
            WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (name, id) VALUES (source.name, source.id)"""
    )
    assert target(merging) == [(2, "kept"), (3, "added")]


def test_merge_remove_duplicates_replaces_matching_rows(merging: Warehouse) -> None:
    s = merging.schema
    merging.done(f"INSERT INTO {s}.target VALUES (1, 'older')")
    merging.done(f"MERGE INTO {s}.target USING {s}.source ON target.id = source.id REMOVE DUPLICATES")
    assert target(merging) == [(1, "new"), (2, "kept"), (3, "added")]


def test_merge_refuses_two_matches_of_one_row(merging: Warehouse) -> None:
    s = merging.schema
    merging.done(f"INSERT INTO {s}.source VALUES (1, 'newer')")
    merge = f"""MERGE INTO {s}.target USING {s}.source ON target.id = source.id
                WHEN MATCHED THEN UPDATE SET name = source.name WHEN NOT MATCHED THEN INSERT VALUES (source.id, source.name)"""
    assert merging.refused(merge) == "ERROR: Found multiple matches to update the same tuple."


@pytest.mark.parametrize(
    ("merge", "why"),
    [
        ("INTO {s}.target t USING {s}.source ON t.id = source.id {both}", "the target of MERGE takes no alias"),
        ("INTO {s}.target USING (SELECT 1 AS id) x ON target.id = x.id {both}", "not a subquery"),
        ("INTO {s}.target USING {s}.source ON target.id = source.id WHEN MATCHED THEN DELETE", "exactly one"),
        (
            "INTO {s}.target USING {s}.source ON target.id = source.id WHEN MATCHED AND source.id > 1 THEN DELETE "
            "WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')",
            "no further condition",
        ),
    ],
)
def test_merge_keeps_to_redshifts_restrictions(merging: Warehouse, merge: str, why: str) -> None:
    both = "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')"
    assert why in merging.refused(f"MERGE {merge.format(s=merging.schema, both=both)}")


def test_copy_loads_every_file_under_a_prefix(warehouse: Warehouse) -> None:
    warehouse.put("in/part-1.parquet", orders())
    warehouse.put("in/part-2.parquet", orders(id=pa.array([3, 4], pa.int64())))
    table = f"{warehouse.schema}.orders"
    answer = warehouse.done(
        f"CREATE TABLE {table} {ORDERS}",
        f"COPY {table} FROM 's3://{warehouse.aws.bucket}/in/part-' {ROLE} FORMAT AS PARQUET",
        "SELECT pg_last_copy_count()",
    )
    assert answer["SubStatements"][1]["ResultRows"] == 4
    assert warehouse.api.get_statement_result(Id=f"{answer['Id']}:3")["Records"] == [[{"longValue": 4}]]
    assert warehouse.rows(f"SELECT * FROM {table} WHERE id < 3 ORDER BY id") == [
        (1, "a", "1.50", "2024-01-01"),
        (2, None, "-2.00", None),
    ]


def test_copy_reads_what_the_role_that_it_names_may_read(warehouse: Warehouse) -> None:
    warehouse.put("roles/a.parquet", orders())
    table = f"{warehouse.schema}.unread"
    warehouse.done(f"CREATE TABLE {table} {ORDERS}")
    blind = warehouse.aws.role("blind")
    files = f"s3://{warehouse.aws.bucket}/roles/"
    assert "Access Denied" in warehouse.refused(f"COPY {table} FROM '{files}' IAM_ROLE '{blind}' FORMAT PARQUET")


def test_copy_takes_parquet_columns_by_position(warehouse: Warehouse) -> None:
    url = warehouse.put("x.parquet", pa.table({"b": pa.array([1], pa.int64()), "a": pa.array([2], pa.int64())}))
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} (a BIGINT, b BIGINT)", f"COPY {table} FROM '{url}' {ROLE} PARQUET")
    assert warehouse.rows(f"SELECT a, b FROM {table}") == [(1, 2)]
    warehouse.done(f"COPY {table} (b, a) FROM '{url}' {ROLE} FORMAT PARQUET")
    assert warehouse.rows(f"SELECT a, b FROM {table} ORDER BY a") == [(1, 2), (2, 1)]


def test_copy_keeps_every_type(warehouse: Warehouse) -> None:
    at = datetime(2024, 1, 2, 3, 4, 5, 678901, UTC)
    rows = pa.table(
        {
            "i2": pa.array([1, None], pa.int16()),
            "i4": pa.array([-2, None], pa.int32()),
            "f4": pa.array([0.5, None], pa.float32()),
            "f8": pa.array([1e300, None], pa.float64()),
            "yes": pa.array([True, None]),
            "at": pa.array([at, None], pa.timestamp("us", "UTC")),
            "naive": pa.array([at.replace(tzinfo=None), None], pa.timestamp("us")),
            "text": pa.array(['a "quoted", line\n\\N', ""]),
            "big": pa.array([Decimal("12345678901234567890.123456789"), None], pa.decimal128(38, 9)),
            "tags": pa.array([{"k": [1, 2]}, None]),
        }
    )
    url = warehouse.put("types.parquet", rows)
    table = f"{warehouse.schema}.types"
    warehouse.done(
        f"""CREATE TABLE {table} (i2 SMALLINT, i4 INTEGER, f4 REAL, f8 FLOAT8, yes BOOLEAN, at TIMESTAMPTZ, naive TIMESTAMP,
                                  text VARCHAR(100), big DECIMAL(38, 9), tags SUPER)""",
        f"COPY {table} FROM '{url}' {ROLE} FORMAT AS PARQUET SERIALIZETOJSON",
    )
    assert warehouse.rows(f"SELECT * FROM {table} WHERE i2 = 1") == [
        (1, -2, 0.5, 1e300, True, "2024-01-02 03:04:05.678901+00", "2024-01-02 03:04:05.678901",
         'a "quoted", line\n\\N', "12345678901234567890.123456789", '{"k": [1, 2]}'),
    ]  # fmt: skip
    assert warehouse.rows(f"SELECT * FROM {table} WHERE i2 IS NULL") == [(*[None] * 7, "", None, None)]


@pytest.mark.parametrize(
    ("ddl", "columns", "said"),
    [
        ("(id BIGINT, name VARCHAR(10))", {}, "Unmatched number of columns between table and file. Table columns: 2, Data columns: 4"),
        (ORDERS, {"id": pa.array([1, 2], pa.int32())}, "incompatible Parquet schema for column 'id'. Column type: BIGINT"),
        (ORDERS, {"placed": pa.array(["2024-01-01", None])}, "incompatible Parquet schema for column 'placed'"),
        (ORDERS, {"total": pa.array([1.5, 2.0])}, "Column type: DECIMAL(18, 2), Parquet schema: optional double total"),
        (
            ORDERS,
            {"total": pa.array([Decimal("1.5"), None], pa.decimal128(29, 2))},
            "column 'total' has an invalid type length. Expecting: 8 len in file: 13",
        ),
        (ORDERS, {"id": pa.array([1, None], pa.int64())}, "Missing data for not-null field: column 'id'"),
        (ORDERS, {"name": pa.array(["ééééé", "éééééé"])}, "length of the data column name is longer"),
        (
            "(id BIGINT, name VARCHAR(10), total DECIMAL(17, 2), placed DATE)",
            {"total": pa.array([Decimal("1.50"), Decimal("9999999999999999.00")], pa.decimal128(18, 2))},
            "Numeric data overflow",
        ),
    ],
)  # fmt: skip
def test_copy_refuses_what_redshift_refuses(warehouse: Warehouse, ddl: str, columns: dict[str, Any], said: str) -> None:
    url = warehouse.put("bad.parquet", orders(**columns))
    table = f"{warehouse.schema}.orders"
    warehouse.done(f"CREATE TABLE {table} {ddl}")
    refused = warehouse.refused(f"COPY {table} FROM '{url}' {ROLE} FORMAT AS PARQUET")
    assert said in refused
    assert "bad.parquet" in refused
    assert warehouse.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_copy_of_a_manifest_loads_its_files_alone(warehouse: Warehouse) -> None:
    wanted = warehouse.put("in/a.parquet", orders())
    warehouse.put("in/b.parquet", orders())
    size = warehouse.aws.client("s3").head_object(Bucket=warehouse.aws.bucket, Key="in/a.parquet")["ContentLength"]
    manifest = warehouse.manifest(
        "manifest.json",
        {"url": wanted, "mandatory": True, "meta": {"content_length": size}},
        {"url": f"s3://{warehouse.aws.bucket}/in/gone.parquet", "mandatory": False, "meta": {"content_length": 1}},
    )
    table = f"{warehouse.schema}.orders"
    warehouse.done(
        f"CREATE TABLE {table} {ORDERS}", f"COPY {table} FROM '{manifest}' {ROLE} FORMAT AS PARQUET MANIFEST"
    )
    assert warehouse.rows(f"SELECT count(*) FROM {table}") == [(2,)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"mandatory": True}, "content_length is missing"),
        ({"mandatory": True, "meta": {"content_length": 5}}, "has 9 bytes, content_length says 5"),
        ({"url": "gone", "mandatory": True, "meta": {"content_length": 5}}, "mandatory file"),
    ],
)
def test_copy_refuses_a_manifest_that_does_not_fit(warehouse: Warehouse, entry: dict[str, Any], said: str) -> None:
    present = warehouse.aws.put("present", "nine byte")
    missing = f"s3://{warehouse.aws.bucket}/missing"
    manifest = warehouse.manifest("m.json", entry | {"url": missing if entry.get("url") else present})
    table = f"{warehouse.schema}.orders"
    warehouse.done(f"CREATE TABLE {table} {ORDERS}")
    assert said in warehouse.refused(f"COPY {table} FROM '{manifest}' {ROLE} FORMAT AS PARQUET MANIFEST")


def test_copy_of_nothing_is_an_error(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.orders"
    warehouse.done(f"CREATE TABLE {table} {ORDERS}")
    assert "S3 prefix 'none/' does not exist" in warehouse.refused(
        f"COPY {table} FROM 's3://{warehouse.aws.bucket}/none/' {ROLE} FORMAT AS PARQUET"
    )
    assert "The specified bucket does not exist" in warehouse.refused(
        f"COPY {table} FROM 's3://no-such-bucket-here/x' {ROLE} FORMAT AS PARQUET"
    )


def test_copy_needs_a_role(warehouse: Warehouse) -> None:
    assert "CREDENTIALS argument is not supplied" in warehouse.refused("COPY t FROM 's3://b/k' FORMAT AS PARQUET")


def test_a_failed_copy_leaves_nothing_of_its_batch(warehouse: Warehouse) -> None:
    good = warehouse.put("good.parquet", orders())
    bad = warehouse.put("bad.parquet", orders(id=pa.array([None, 1], pa.int64())))
    table = f"{warehouse.schema}.orders"
    warehouse.done(f"CREATE TABLE {table} {ORDERS}")
    warehouse.refused(*[f"COPY {table} FROM '{url}' {ROLE} FORMAT AS PARQUET" for url in (good, bad)])
    assert warehouse.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_copy_reads_csv_and_json(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.orders"
    csv = warehouse.aws.put("orders.csv.gz", gzip.compress(b'id,name,total,placed\n1,"a,b",1.50,2024-01-01\n2,,,\n'))
    ndjson = warehouse.aws.put(
        "orders.json", '{"ID": 3, "name": "x", "total": 1.10}\n{"id": 4, "name": null}\n{"id": 5, "name": ""}'
    )
    warehouse.done(
        f"CREATE TABLE {table} {ORDERS}",
        f"COPY {table} FROM '{csv}' {ROLE} FORMAT AS CSV GZIP IGNOREHEADER 1",
        f"COPY {table} FROM '{ndjson}' {ROLE} FORMAT AS JSON 'auto'",
    )
    assert warehouse.rows(f"SELECT id, name, total FROM {table} ORDER BY id") == [
        (1, "a,b", "1.50"), (2, "", None), (3, "x", "1.10"), (4, None, None), (5, "", None),
    ]  # fmt: skip


def test_unload_writes_typed_parquet_that_copy_takes_back(warehouse: Warehouse) -> None:
    url, table, to = (
        warehouse.put("x.parquet", orders()),
        f"{warehouse.schema}.orders",
        f"s3://{warehouse.aws.bucket}/out/",
    )
    warehouse.done(
        f"CREATE TABLE {table} {ORDERS}",
        f"COPY {table} FROM '{url}' {ROLE} FORMAT AS PARQUET",
        f"UNLOAD ('SELECT * FROM {table} WHERE name = ''a'' OR name IS NULL') TO '{to}' {ROLE} FORMAT AS PARQUET MANIFEST",
        f"COPY {table} FROM '{to}manifest' {ROLE} FORMAT AS PARQUET MANIFEST",
    )
    assert warehouse.keys("out/") == ["out/0000_part_00.parquet", "out/manifest"]
    written = warehouse.read(f"{to}0000_part_00.parquet")
    assert [str(kind) for kind in written.schema.types] == ["int64", "string", "decimal128(18, 2)", "date32[day]"]
    assert warehouse.rows(f"SELECT count(*) FROM {table}") == [(4,)]


def test_unload_partitions_into_folders(warehouse: Warehouse) -> None:
    to = f"s3://{warehouse.aws.bucket}/out/"
    query = "SELECT 1 AS n, ''eu'' AS region UNION ALL SELECT 2, ''us'' UNION ALL SELECT 3, ''eu''"
    warehouse.done(f"UNLOAD ('{query}') TO '{to}' {ROLE} FORMAT PARQUET PARTITION BY (region) PARALLEL OFF")
    assert warehouse.keys("out/") == ["out/region=eu/000.parquet", "out/region=us/000.parquet"]
    assert warehouse.read(f"{to}region=eu/000.parquet").to_pydict() == {"n": [1, 3]}


def test_unload_keeps_what_is_there_unless_told(warehouse: Warehouse) -> None:
    warehouse.aws.put("out/old.parquet", "old")
    unload = f"UNLOAD ('SELECT 1 AS n') TO 's3://{warehouse.aws.bucket}/out/' {ROLE} FORMAT PARQUET"
    assert "unload destination on S3 is not empty" in warehouse.refused(unload)
    warehouse.done(f"{unload} ALLOWOVERWRITE")
    assert warehouse.keys("out/") == ["out/0000_part_00.parquet", "out/old.parquet"]
    warehouse.done(f"{unload} CLEANPATH")
    assert warehouse.keys("out/") == ["out/0000_part_00.parquet"]


def test_a_replayed_load_changes_nothing(warehouse: Warehouse) -> None:
    s = warehouse.schema
    url = warehouse.put("change.parquet", orders())
    warehouse.done(
        f"CREATE TABLE {s}.orders {ORDERS} DISTKEY (id) SORTKEY (id)",
        f"CREATE TABLE {s}.load_ledger (load_id VARCHAR(64) NOT NULL, loaded_at TIMESTAMP NOT NULL)",
    )
    unseen = f"NOT EXISTS (SELECT 1 FROM {s}.load_ledger WHERE load_id = 'orders@1')"
    load = [
        f"CREATE TEMP TABLE incoming (LIKE {s}.orders)",
        f"COPY incoming FROM '{url}' {ROLE} FORMAT AS PARQUET",
        f"INSERT INTO {s}.orders SELECT * FROM incoming WHERE {unseen}",
        f"INSERT INTO {s}.load_ledger SELECT 'orders@1', GETDATE() WHERE {unseen}",
    ]
    warehouse.done(*load)
    again = warehouse.done(*load)
    assert [part["ResultRows"] for part in again["SubStatements"]] == [0, 2, 0, 0]
    assert warehouse.rows(f"SELECT count(*) FROM {s}.orders") == [(2,)]


def test_other_clients_see_what_a_batch_committed(warehouse: Warehouse, postgres: PostgresServer) -> None:
    warehouse.done(f"CREATE TABLE {warehouse.schema}.t AS SELECT 1 AS n")
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute(f"SELECT n FROM {warehouse.schema}.t".encode()).fetchone() == (1,)


def test_of_two_transactions_that_change_one_row_the_later_is_refused_as_1023(
    warehouse: Warehouse, postgres: PostgresServer
) -> None:
    table = f"{warehouse.schema}.t"
    warehouse.done(f"CREATE TABLE {table} AS SELECT 1 AS n")
    with psycopg.connect(postgres.dsn) as other, ThreadPoolExecutor(1) as thread:
        other.execute(f"UPDATE {table} SET n = 2".encode())
        later = thread.submit(warehouse.refused, f"UPDATE {table} SET n = 3")
        wait_for(lambda: waits_for_lock(postgres.dsn), 30)
        other.commit()
        assert later.result(30).startswith("ERROR: 1023")
    assert warehouse.rows(f"SELECT n FROM {table}") == [(2,)]


def waits_for_lock(dsn: str) -> bool:
    with psycopg.connect(dsn) as server:
        return server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone() is not None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text="\\", room=1)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=14), room=st.integers(1, 14))
def test_a_varchar_holds_as_many_bytes_as_it_says_and_no_more(warehouse: Warehouse, text: str, room: int) -> None:
    table = f"{warehouse.schema}.t{uuid.uuid4().hex[:8]}"
    warehouse.done(f"CREATE TABLE {table} (id INT)", f"ALTER TABLE {table} ADD COLUMN note VARCHAR({room})")
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    inserted = warehouse.batch(f"INSERT INTO {table} VALUES (1, '{quoted}')")
    fits = len(text.encode()) <= room
    assert inserted["Status"] == ("FINISHED" if fits else "FAILED"), inserted
    assert fits or "too long" in inserted["Error"]


def test_a_copy_of_text_counts_bytes_too(warehouse: Warehouse) -> None:
    table = f"{warehouse.schema}.notes"
    warehouse.done(f"CREATE TABLE {table} (note VARCHAR(3))")
    url = warehouse.aws.put("notes.csv", "éé")
    assert "String length exceeds DDL length: column 'note'" in warehouse.refused(
        f"COPY {table} FROM '{url}' {ROLE} FORMAT AS CSV"
    )


@pytest.mark.parametrize("word", sorted(VALUES))
def test_a_reserved_word_that_is_a_value_names_no_column(warehouse: Warehouse, word: str) -> None:
    warehouse.refused(f"CREATE TABLE {warehouse.schema}.t ({word} INT)")


def test_what_the_data_api_does_not_take_is_refused_before_it_runs(warehouse: Warehouse) -> None:
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="takes 100 KB"):
        warehouse.rows(f"SELECT '{'é' * 50_000}'")
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="1 to 40 statements"):
        warehouse.batch(*["SELECT 1"] * 41)


def test_who_is_there_is_not_made_twice(warehouse: Warehouse) -> None:
    for made in (f"CREATE ROLE r_{warehouse.schema}", f'CREATE USER "IAMR:{warehouse.schema}" PASSWORD DISABLE'):
        warehouse.done(made)
        assert "already exists" in warehouse.refused(made)
    assert "needs PASSWORD" in warehouse.refused("CREATE USER somebody")


def test_a_workgroup_that_is_not_there_has_no_endpoint(warehouse: Warehouse) -> None:
    with pytest.raises(warehouse.api.exceptions.ValidationException, match="endpoint doesn't exist"):
        warehouse.api.execute_statement(WorkgroupName="other", Database="headwater", Sql="SELECT 1")


def test_a_secret_with_another_password_does_not_log_in(warehouse: Warehouse) -> None:
    value = json.dumps({"username": "admin", "password": "guessed"})
    secret = warehouse.aws.client("secretsmanager").create_secret(Name=warehouse.schema, SecretString=value)["ARN"]
    assert "password authentication failed" in warehouse.batch("SELECT 1", SecretArn=secret)["Error"]


DATA_API = {"Effect": "Allow", "Action": ["redshift-data:*", "redshift-serverless:GetCredentials"], "Resource": "*"}


def test_a_statement_is_forgotten_a_day_after_its_end_and_its_token_after_eight_hours(warehouse: Warehouse) -> None:
    api = warehouse.api
    given = {"WorkgroupName": "local", "Database": "headwater", "Sql": "SELECT 1", "ClientToken": uuid.uuid4().hex}
    first = api.execute_statement(**given)["Id"]
    warehouse.ended(first)
    warehouse.aws.moved(8 * 3600 - 600)
    assert api.execute_statement(**given)["Id"] == first
    warehouse.aws.moved(600)
    assert api.execute_statement(**given)["Id"] != first
    warehouse.aws.moved(16 * 3600 - 600)
    assert api.get_statement_result(Id=first)["TotalNumRows"] == 1
    warehouse.aws.moved(600)
    for asks in (api.describe_statement, api.get_statement_result):
        with pytest.raises(api.exceptions.ResourceNotFoundException):
            asks(Id=first)
    assert first not in {found["Id"] for found in api.list_statements()["Statements"]}


def test_statements_are_listed_to_the_role_that_ran_them(warehouse: Warehouse) -> None:
    role, other = person_role(warehouse.aws, DATA_API), person_role(warehouse.aws, DATA_API)
    own = assumed(warehouse.aws, role, "redshift-data")
    mine = own.execute_statement(WorkgroupName="local", Database="headwater", Sql="SELECT 1")["Id"]
    assert [found["Id"] for found in own.list_statements()["Statements"]] == [mine]
    again = assumed(warehouse.aws, role, "redshift-data", "again")
    assert [found["Id"] for found in again.list_statements()["Statements"]] == [mine]
    assert again.list_statements(RoleLevel=False)["Statements"] == []
    assert assumed(warehouse.aws, other, "redshift-data").list_statements()["Statements"] == []


def test_the_parts_of_a_batch_are_its_owners_too(warehouse: Warehouse) -> None:
    asked = {
        "Effect": "Allow",
        "Action": ["redshift-data:DescribeStatement", "redshift-data:GetStatementResult"],
        "Resource": "*",
        "Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}},
    }
    role = person_role(
        warehouse.aws, {**DATA_API, "Action": ["redshift-data:BatchExecuteStatement", DATA_API["Action"][1]]}, asked
    )
    own = assumed(warehouse.aws, role, "redshift-data")
    batch = own.batch_execute_statement(WorkgroupName="local", Database="headwater", Sqls=["SELECT 1", "SELECT 2"])[
        "Id"
    ]
    wait_for(lambda: own.describe_statement(Id=batch)["Status"] == "FINISHED", 30)
    assert own.get_statement_result(Id=f"{batch}:2")["Records"] == [[{"longValue": 2}]]
    with pytest.raises(own.exceptions.ClientError, match="AccessDenied"):
        assumed(warehouse.aws, role, "redshift-data", "another").get_statement_result(Id=f"{batch}:2")


def test_a_statement_is_told_to_who_submitted_it_alone_though_policies_let_others_ask(warehouse: Warehouse) -> None:
    own, other = (assumed(warehouse.aws, person_role(warehouse.aws, DATA_API), "redshift-data") for _ in range(2))
    batch = own.batch_execute_statement(WorkgroupName="local", Database="headwater", Sqls=["SELECT 1", "SELECT 2"])[
        "Id"
    ]
    wait_for(lambda: own.describe_statement(Id=batch)["Status"] == "FINISHED", 30)
    for asks in (other, warehouse.api):
        for id_, calls in (
            (batch, ("describe_statement", "cancel_statement")),
            (f"{batch}:2", ("describe_statement", "get_statement_result")),
        ):
            for call in calls:
                with pytest.raises(asks.exceptions.ResourceNotFoundException):
                    getattr(asks, call)(Id=id_)


def test_a_row_of_more_than_64_kb_is_refused_and_what_fits_is_not(warehouse: Warehouse) -> None:
    assert len(warehouse.rows("SELECT REPEAT('a', 65536)")[0][0]) == 64 << 10
    answer = warehouse.api.execute_statement(
        WorkgroupName="local", Database="headwater", Sql="SELECT REPEAT('a', 65000), REPEAT('b', 537)"
    )
    assert "Packet for query is too large" in warehouse.ended(answer["Id"])["Error"]


def test_a_workgroup_takes_500_active_statements() -> None:
    somebody = Principal("somebody", "arn", "-", frozenset(), ())
    kept = Executions()

    def ask(workgroup: str = "local", **more: str) -> Execution:
        return kept.add({"WorkgroupName": workgroup, **more}, somebody, ["SELECT 1"], is_batch=False)[0]

    first = ask(ClientToken="t")
    for _ in range(499):
        ask()
    with pytest.raises(JsonRESTError) as refused:
        ask()
    assert refused.value.error_type == "ActiveStatementsExceededException"
    assert ask(ClientToken="t") is first
    assert ask("other")
    first.move("FINISHED")
    assert ask()


def test_a_new_user_may_do_what_redshift_lets_everybody_do_and_nothing_else(warehouse: Warehouse) -> None:
    role = person_role(warehouse.aws, DATA_API)
    api = assumed(warehouse.aws, role, "redshift-data")
    warehouse.done(
        f"CREATE TABLE {warehouse.schema}.own (id INT)",
        f"CREATE ROLE r_{warehouse.schema}",
        f"CREATE VIEW {warehouse.schema}.seen AS SELECT id FROM {warehouse.schema}.own",
    )

    def asked(sql: str) -> tuple[str, Any]:
        answer = api.execute_statement(WorkgroupName="local", Database="headwater", Sql=sql)
        wait_for(lambda: api.describe_statement(Id=answer["Id"])["Status"] in ENDED, 30)
        described = api.describe_statement(Id=answer["Id"])
        if described["Status"] == "FAILED":
            return "refused", described["Error"]
        rows = api.get_statement_result(Id=answer["Id"])["Records"] if described["HasResultSet"] else []
        return "done", [tuple(value(cell) for cell in row) for row in rows]

    own, user = f"public.t_{warehouse.schema}", f"IAMR:{role.rpartition('/')[2]}"
    assert asked(f"CREATE TABLE {own} AS SELECT 1 AS id")[0] == "done"
    assert asked(f"SELECT id FROM {own}") == ("done", [(1,)])
    assert asked("CREATE TEMP TABLE t (id INT)")[0] == "done"
    for closed in (
        f"SELECT * FROM {warehouse.schema}.own",
        f"SELECT * FROM {warehouse.schema}.seen",
        f"CREATE TABLE {warehouse.schema}.more (id INT)",
        "CREATE SCHEMA another",
        "CREATE ROLE another",
        f'GRANT ROLE r_{warehouse.schema} TO "{user}"',
    ):
        did, error = asked(closed)
        assert did == "refused", closed
        assert "permission denied" in error, error
    # Of the catalogs everybody sees what is his: other users' tables, roles and grants are not there.
    mine = f"SELECT COUNT(*) FROM svv_tables WHERE table_schema = '{warehouse.schema}'"
    assert (asked(mine), warehouse.rows(mine)) == (("done", [(0,)]), [(2,)])
    roles = f"SELECT role_name FROM svv_roles WHERE role_name = 'r_{warehouse.schema}'"
    grants = f"SELECT user_name FROM svv_user_grants WHERE role_name = 'r_{warehouse.schema}'"
    warehouse.done(f"CREATE USER other_{warehouse.schema} PASSWORD DISABLE")
    warehouse.done(f"GRANT ROLE r_{warehouse.schema} TO other_{warehouse.schema}")
    assert (asked(roles), asked(grants)) == (("done", []), ("done", []))
    assert len(warehouse.rows(grants)) == 1
    warehouse.done(f'GRANT ROLE r_{warehouse.schema} TO "{user}"')
    assert (asked(roles)[1], asked(grants)[1]) == ([(f"r_{warehouse.schema}",)], [(user,)])
    # What is new has no grants, whatever its schema's other tables have.
    warehouse.done(f"GRANT USAGE ON SCHEMA {warehouse.schema} TO ROLE r_{warehouse.schema}")
    warehouse.done(f"GRANT SELECT ON ALL TABLES IN SCHEMA {warehouse.schema} TO ROLE r_{warehouse.schema}")
    warehouse.done(f"CREATE TABLE {warehouse.schema}.newer (id INT)")
    assert asked(f"SELECT * FROM {warehouse.schema}.seen")[0] == "done"
    assert "permission denied" in asked(f"SELECT * FROM {warehouse.schema}.newer")[1]


def test_what_a_query_answers_is_text_as_sql_writes_it(warehouse: Warehouse) -> None:
    place = SimpleNamespace(workgroup="local", database="headwater")
    sql = "SELECT true AS yes, false AS no, NULL::boolean AS unknown, 7 AS number, 1.50 AS money, 'True' AS word"
    assert data_api.query(warehouse.api, place, sql).rows == (("true", "false", None, "7", "1.50", "True"),)
