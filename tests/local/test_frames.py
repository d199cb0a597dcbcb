"""Athena's answers with their types, and as files: whatever the rows are, the columns are what Athena says they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from pyarrow import parquet

from headwater import cli
from headwater.client import Client
from headwater.deploy.deployment import Deployment
from headwater.desk import frames
from headwater.errors import QueryError
from local.gateway.server import running_gateway
from local.gateway.settings import REGION
from tests.support import declared
from tests.support.aws import Aws
from tests.support.paths import ROOT

PLAIN = (
    "SELECT 1 AS n, CAST(7 AS BIGINT) AS big, CAST('1.50' AS DECIMAL(18, 2)) AS money, DATE '0001-01-01' AS day, true AS yes, "
    "TIMESTAMP '2024-01-01 10:00:00 UTC' AS at, '007' AS text, ARRAY[1, 2] AS list, 1.5e0 AS double"
)
TYPES = {
    "n": pa.int32(), "big": pa.int64(), "money": pa.decimal128(18, 2), "day": pa.date32(), "yes": pa.bool_(),
    "text": pa.large_string(), "double": pa.float64(),
}  # fmt: skip
ROW = {
    "n": 1, "big": 7, "money": Decimal("1.50"), "day": date(1, 1, 1), "yes": True,
    "at": datetime(2024, 1, 1, 10, tzinfo=UTC), "text": "007", "list": "[1, 2]", "double": 1.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("gateway")
    deployment = Deployment(declared.project("local"), ROOT)
    with running_gateway(home) as url, pytest.MonkeyPatch.context() as environment:
        aws = Aws(url, home, "results")
        aws.client("s3").create_bucket(Bucket=aws.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        results = {"ResultConfiguration": {"OutputLocation": f"s3://{aws.bucket}/athena/"}}
        aws.client("athena").create_work_group(Name=deployment.prefix, Configuration=results)
        gold = deployment.project.environment.database("gold")
        aws.client("glue").create_database(DatabaseInput={"Name": gold})
        for name, value in (("ENDPOINT_URL", url), ("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "-")):
            environment.setenv(f"AWS_{name}", value)
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        environment.setattr(boto3, "DEFAULT_SESSION", None)
        yield Client(deployment)


def test_values_have_the_types_of_their_columns(client: Client) -> None:
    assert frames.read(client, PLAIN).to_pylist() == [ROW]


@pytest.mark.parametrize("rows", ["SELECT * FROM ({}) WHERE n > 1", "SELECT * FROM ({})"])
def test_a_column_has_its_type_whatever_the_rows_are(client: Client, rows: str) -> None:
    nulls = ", ".join(f"NULLIF({name}, {name}) AS {name}" for name in TYPES)
    found = frames.read(client, rows.format(f"SELECT {nulls} FROM ({PLAIN})"))
    assert {field.name: field.type for field in found.schema} == TYPES


def test_an_empty_text_and_one_of_nan_are_null(client: Client) -> None:
    assert frames.read(client, "SELECT '' AS a, 'NaN' AS b, 'NULL' AS c").to_pylist() == [
        {"a": None, "b": None, "c": "NULL"}
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope", "Athena refused: "),
        ("SELECT 1 AS a, 2 AS a", "two columns have one name"),
        ("SELECT 'x' AS a, 2 AS a", "name each column differently"),
        ("SELECT INTERVAL '1' DAY AS a", "CAST to text"),
        ("SHOW TABLES", "no rows to read"),
    ],
)
def test_what_cannot_be_typed_is_refused_with_a_way_out(client: Client, sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        frames.read(client, sql)


def test_the_command_writes_parquet_with_types_and_csv(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "client_of", lambda env: client)
    for name in ("rows.parquet", "rows.csv"):
        file = tmp_path / name
        monkeypatch.setattr(
            sys, "argv", ["headwater", "query", "--engine", "athena", "--out", str(file), "--json", PLAIN]
        )
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        assert json.loads(capsys.readouterr().out) == {"file": str(file), "rows": 1}
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == [ROW]
    assert (tmp_path / "rows.csv").read_text().splitlines()[1].startswith("1,7,1.50,0001-01-01,true,")
