"""An analyst's role, from nothing to both queries of docs/deploy.md: what it sees, what it does not, and what it needs for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from deltalake import write_deltalake

from headwater.client import Client
from headwater.config.environment import Analysts
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from headwater.deploy.roles import LATE_ARNS, RoleSpec, analyst_policy
from headwater.errors import QueryError
from headwater.open_project import OpenProject
from headwater.run.grants import grant_tables
from headwater.warehouse.migrations import Migrations, Migrator
from local.gateway.calls import Call
from local.gateway.server import running_gateway
from local.gateway.settings import ACCOUNT_ID, REGION
from local.postgres import PostgresServer, free_port
from tests.support.aws import Aws
from tests.support.iam import grants, recorded, refused
from tests.support.paths import ROOT

ANALYST = f"arn:aws:iam::{ACCOUNT_ID}:role/analysts"
GRANTER = f"arn:aws:iam::{ACCOUNT_ID}:role/granter"
CUSTOMERS = pa.table({"customer_id": [1, 1, 2], "email": ["a@x", "b@x", "c@x"], "is_current": [False, True, True]})
METRICS = pa.table({"month": ["2018-01", "2018-02"], "revenue": [1.5, 2.5]})
ATHENA = "SELECT * FROM headwater_local_gold.business_metrics LIMIT 5"
REDSHIFT = "SELECT segment, COUNT(*) FROM analytics.customer_analytics GROUP BY segment"


def project_with(analysts: Analysts) -> Deployment:
    project = load_project(ROOT, "local")
    environment = project.environment.model_copy(update={"analysts": analysts})
    return Deployment(project.model_copy(update={"environment": environment}), ROOT)


SEEN = Analysts(
    roles=(ANALYST,), hidden_columns={"customers": ("email",)}, row_filters={"customers": "is_current = true"}
)
DEPLOYMENT = project_with(SEEN)
ENVIRONMENT = DEPLOYMENT.project.environment


@dataclass(frozen=True)
class Account:
    """An account with tables in lake and warehouse, and whoever calls."""

    aws: Aws
    call_as: Callable[[str], None]

    def query(self, sql: str, caller: str = "analysts", engine: str = "athena") -> list[tuple[Any, ...]]:
        self.call_as(caller)
        return list(Client(DEPLOYMENT).query("athena" if engine == "athena" else "redshift", sql).rows)

    def grant(self, analysts: Analysts = SEEN, caller: str = "administrator") -> None:
        self.call_as(caller)
        grant_tables(OpenProject(project_with(analysts).project))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    home = tmp_path_factory.mktemp("gateway")
    with (
        PostgresServer(tmp_path_factory.mktemp("warehouse") / "data", free_port()) as server,
        running_gateway(home, warehouse_dsn=server.dsn) as url,
    ):
        aws = Aws(url, home, "-")
        for bucket in DEPLOYMENT.buckets().values():
            aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        results = {"OutputLocation": f"s3://{ENVIRONMENT.bucket('logs')}/athena/"}
        aws.client("athena").create_work_group(Name=DEPLOYMENT.prefix, Configuration={"ResultConfiguration": results})
        for name in ("analysts", "granter", "leaver"):
            aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        for zone, name, rows in (("silver", "customers", CUSTOMERS), ("gold", "business_metrics", METRICS)):
            _table(aws, zone, name, rows)
        secret = aws.workgroup(ENVIRONMENT.warehouse.workgroup, ENVIRONMENT.warehouse.database)
        wanted = Migrations.model_validate({**DEPLOYMENT.migrations(), "admin_secret": secret})
        Migrator(aws.client("redshift-data"), wanted, "test").migrate()
        yield aws


def _table(aws: Aws, zone: Any, name: str, rows: pa.Table) -> None:
    """Writes a Delta table and puts it into the catalog, as a crawler does."""
    location = f"s3://{ENVIRONMENT.bucket('lake')}/{zone}/{name}"
    options = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    options |= {"AWS_REGION": REGION, "AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag"}
    write_deltalake(location, rows, storage_options=options)
    glue = aws.client("glue")
    glue.create_database(DatabaseInput={"Name": ENVIRONMENT.database(zone)})
    columns = [{"Name": column, "Type": "string"} for column in rows.column_names]
    storage = {"Columns": columns, "Location": location, "SerdeInfo": {}}
    table = {"Name": name, "StorageDescriptor": storage, "Parameters": {"table_type": "delta"}}
    glue.create_table(DatabaseName=ENVIRONMENT.database(zone), TableInput=table)


@pytest.fixture
def account(gateway: Aws, monkeypatch: pytest.MonkeyPatch) -> Account:
    def call_as(caller: str) -> None:
        for name, value in (("ENDPOINT_URL", gateway.endpoint), ("ACCESS_KEY_ID", caller), ("SECRET_ACCESS_KEY", "-")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    return Account(gateway, call_as)


def test_before_a_crawl_was_granted_an_analyst_sees_nothing(account: Account) -> None:
    account.grant(Analysts())
    with pytest.raises(QueryError, match="Insufficient Lake Formation permission"):
        account.query(ATHENA)


def test_both_queries_of_the_docs_run_with_what_the_role_has(account: Account) -> None:
    account.grant()
    account.aws.own("calls", "DELETE")
    assert account.query(ATHENA) == [("2018-01", "1.5"), ("2018-02", "2.5")]
    assert account.query(REDSHIFT, engine="redshift") == []
    late = {name: f"arn:aws:test:::{name}" for name in LATE_ARNS}
    workgroup = f"workgroup/{ENVIRONMENT.warehouse.workgroup}"
    late["workgroup_arn"] = f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT_ID}:{workgroup}"
    role = RoleSpec("analysts", {}, analyst_policy(DEPLOYMENT, late), "analyst")
    calls = [_on_its_workgroup(call) for call in recorded(account.aws.endpoint) if call.principal == "analysts"]
    assert {call.action for call in calls} >= {"athena:StartQueryExecution", "redshift-data:ExecuteStatement"}
    assert refused(list(grants(role)), calls) == set()


def _on_its_workgroup(call: Call) -> Call:
    """Athena's calls name no ARN; IAM judges them by the workgroup."""
    if call.action.startswith("athena:"):
        return call._replace(resource=f"arn:aws:athena:{REGION}:{ACCOUNT_ID}:workgroup/{DEPLOYMENT.prefix}")
    return call


def test_an_analyst_sees_neither_the_hidden_columns_nor_the_rows_that_are_filtered(account: Account) -> None:
    account.grant()
    assert account.query("SELECT * FROM headwater_local_silver.customers ORDER BY 1") == [("1", "true"), ("2", "true")]
    with pytest.raises(QueryError, match="COLUMN_NOT_FOUND"):
        account.query("SELECT email FROM headwater_local_silver.customers")
    assert len(account.query("SELECT email FROM headwater_local_silver.customers", "administrator")) == 3


def test_what_is_no_longer_hidden_is_seen_after_the_next_crawl(account: Account) -> None:
    account.grant()
    account.grant(SEEN.model_copy(update={"hidden_columns": {}}))
    assert len(account.query("SELECT email FROM headwater_local_silver.customers")) == 2


def test_to_grant_again_changes_nothing_and_who_is_no_longer_named_loses_it(account: Account) -> None:
    account.grant(SEEN.model_copy(update={"roles": (ANALYST, ANALYST.replace("analysts", "leaver"))}))
    assert account.query(ATHENA, "leaver")
    account.aws.own("calls", "DELETE")
    account.grant()
    account.grant()
    changed = {call.action for call in recorded(account.aws.endpoint)} & {"lakeformation:BatchGrantPermissions"}
    assert changed == set()
    assert account.query(ATHENA)
    with pytest.raises(QueryError, match="Insufficient Lake Formation permission"):
        account.query(ATHENA, "leaver")


def test_who_may_not_select_a_table_may_not_grant_it(account: Account) -> None:
    account.grant(Analysts())
    with pytest.raises(ClientError, match="Required Select with grant option"):
        account.grant(SEEN.model_copy(update={"hidden_columns": {}}), caller="granter")
    lake = account.aws.client("lakeformation")
    for zone in ("silver", "gold"):
        lake.grant_permissions(
            Principal={"DataLakePrincipalIdentifier": GRANTER},
            Resource={"Table": {"DatabaseName": f"headwater_local_{zone}", "TableWildcard": {}}},
            Permissions=["SELECT"],
            PermissionsWithGrantOption=["SELECT"],
        )
    account.grant(caller="granter")
    assert account.query(ATHENA)


def test_what_an_analyst_may_not_write_in_the_warehouse_is_refused(account: Account) -> None:
    with pytest.raises(QueryError, match="permission denied"):
        account.query("DELETE FROM analytics.customer_analytics", engine="redshift")
