"""An analyst's role, from nothing to both queries of docs/deploy.md: what it sees, what it does not, and what it needs for that."""

from __future__ import annotations

import json
import re
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
from headwater.desk import frames
from headwater.errors import QueryError
from headwater.open_project import OpenProject
from headwater.run.grants import grant_tables
from headwater.warehouse.migrations import Migrations, Migrator
from local.deploy_access import deploy_access
from local.deploy_warehouse import deploy_workgroup
from local.gateway.iam.principals import key_of
from local.gateway.server import running_gateway
from local.gateway.settings import ACCOUNT_ID, REGION
from local.postgres import PostgresServer
from tests.support import declared, deploy_page
from tests.support.aws import Aws
from tests.support.iam import recorded
from tests.support.paths import ROOT

ANALYST = f"arn:aws:iam::{ACCOUNT_ID}:role/analysts"
LEAVER = f"arn:aws:iam::{ACCOUNT_ID}:role/leaver"
MODELLER = f"arn:aws:iam::{ACCOUNT_ID}:role/dbt-analysts"
CUSTOMERS = pa.table({"customer_id": [1, 1, 2], "email": ["a@x", "b@x", "c@x"], "is_current": [False, True, True]})
METRICS = pa.table({"month": ["2018-01", "2018-02"], "revenue": [1.5, 2.5]})
ATHENA, REDSHIFT = (
    re.findall('"(.*)"', command)[0].replace("headwater_dev", "headwater_local")
    for command in deploy_page.commands("6. ")
    if "_gold." in command or "analytics." in command
)


def project_with(analysts: Analysts) -> Deployment:
    project = declared.project("local")
    environment = project.environment.model_copy(update={"analysts": analysts})
    return Deployment(project.model_copy(update={"environment": environment}), ROOT)


SEEN = Analysts(
    roles=(ANALYST,), hidden_columns={"customers": ("email",)}, row_filters={"customers": "is_current = true"}
)
BOTH = SEEN.model_copy(update={"roles": (ANALYST, LEAVER)})
DEPLOYMENT = project_with(BOTH.model_copy(update={"roles": (*BOTH.roles, MODELLER), "modeller": MODELLER}))
ENVIRONMENT = DEPLOYMENT.project.environment
GRANTER = f"arn:aws:iam::{ACCOUNT_ID}:role/{DEPLOYMENT.prefix}-grant_tables"
GRANTING = key_of(GRANTER, "lambda.amazonaws.com", "grant_tables")


@dataclass(frozen=True)
class Account:
    """An account with tables in lake and warehouse, and whoever calls."""

    aws: Aws
    call_as: Callable[[str], None]

    def assume(self, role: str | None) -> None:
        sts = self.aws.client("sts")
        self.call_as(
            sts.assume_role(RoleArn=role, RoleSessionName="person")["Credentials"]["AccessKeyId"] if role else "test"
        )

    def query(self, sql: str, role: str | None = ANALYST, engine: str = "athena") -> list[tuple[Any, ...]]:
        """Queries as somebody who has assumed a role; without one as the administrator."""
        self.assume(role)
        return list(Client(DEPLOYMENT).query("athena" if engine == "athena" else "redshift", sql).rows)

    def told(self, sql: str, engine: str = "athena") -> list[tuple[Any, ...]] | str:
        """What an analyst is told who queries: rows, or why there are none."""
        try:
            return self.query(sql, engine=engine)
        except (ClientError, QueryError) as error:
            return str(error)

    def grant(self, analysts: Analysts = SEEN, caller: str = "test") -> None:
        self.call_as(caller)
        grant_tables(OpenProject(project_with(analysts).project))


@pytest.fixture(scope="module")
def gateway(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    home = tmp_path_factory.mktemp("gateway")
    with (
        running_gateway(home, warehouse_dsn=postgres.dsn) as url,
        pytest.MonkeyPatch.context() as environment,
    ):
        aws = Aws(url, home, "-")
        _call_as(environment, url, "test")
        keys = deploy_access(DEPLOYMENT)
        encrypted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": keys["data"]}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": encrypted, "BucketKeyEnabled": True}]}
        for bucket in DEPLOYMENT.buckets().values():
            aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            aws.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
        results = {"OutputLocation": f"s3://{ENVIRONMENT.bucket('logs')}/athena/"}
        aws.client("athena").create_work_group(Name=DEPLOYMENT.prefix, Configuration={"ResultConfiguration": results})
        for zone, name, rows in (("silver", "customers", CUSTOMERS), ("gold", "business_metrics", METRICS)):
            _table(aws, zone, name, rows)
        secret = deploy_workgroup(DEPLOYMENT, keys)["admin_secret"]
        wanted = Migrations.model_validate({**DEPLOYMENT.migrations(), "admin_secret": secret})
        Migrator(aws.client("redshift-data"), wanted, "test").migrate()
        yield aws


def _call_as(environment: pytest.MonkeyPatch, endpoint: str, key: str) -> None:
    for name, value in (("ENDPOINT_URL", endpoint), ("ACCESS_KEY_ID", key), ("SECRET_ACCESS_KEY", "-")):
        environment.setenv(f"AWS_{name}", value)
    environment.setenv("AWS_DEFAULT_REGION", REGION)
    environment.setattr(boto3, "DEFAULT_SESSION", None)


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
    return Account(gateway, lambda key: _call_as(monkeypatch, gateway.endpoint, key))


def test_before_a_crawl_was_granted_an_analyst_sees_nothing(account: Account) -> None:
    account.grant(Analysts())
    with pytest.raises(QueryError, match="Insufficient Lake Formation permission"):
        account.query(ATHENA)


def test_both_queries_of_the_docs_run_with_what_the_role_has(account: Account) -> None:
    account.grant()
    assert account.told(ATHENA) == [("2018-01", "1.5"), ("2018-02", "2.5")]
    assert account.told(REDSHIFT, engine="redshift") == []


@pytest.mark.parametrize(
    "sid",
    [
        *("AskWarehouse", "KeepResults", "LocateResults", "Query", "ReadAnswer", "ReadTables", "SeeTables"),
        "UseDataKey",
    ],
)
def test_without_a_statement_of_the_policy_one_of_them_is_refused(account: Account, sid: str) -> None:
    account.grant()
    iam = account.aws.client("iam")
    [attached] = iam.list_attached_role_policies(RoleName="analysts")["AttachedPolicies"]
    about = {"RoleName": "analysts", "PolicyArn": attached["PolicyArn"]}
    document = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
    rest = {**document, "Statement": [part for part in document["Statement"] if part["Sid"] != sid]}
    try:
        iam.detach_role_policy(**about)
        iam.put_role_policy(RoleName="analysts", PolicyName="rest", PolicyDocument=json.dumps(rest))
        with pytest.raises((ClientError, QueryError), match=r"(?i)access ?denied|not authorized|forbidden"):
            _ = account.query(ATHENA), account.query(REDSHIFT, engine="redshift")
    finally:
        iam.delete_role_policy(RoleName="analysts", PolicyName="rest")
        iam.attach_role_policy(**about)


def test_an_analyst_sees_neither_the_hidden_columns_nor_the_rows_that_are_filtered(account: Account) -> None:
    account.grant()
    assert account.query("SELECT * FROM headwater_local_silver.customers ORDER BY 1") == [("1", "true"), ("2", "true")]
    with pytest.raises(QueryError, match="COLUMN_NOT_FOUND"):
        account.query("SELECT email FROM headwater_local_silver.customers")
    assert len(account.query("SELECT email FROM headwater_local_silver.customers", None)) == 3


def test_an_analyst_reads_types_with_the_rights_of_a_query_and_sees_no_more(account: Account) -> None:
    account.grant()
    account.assume(ANALYST)
    client = Client(DEPLOYMENT)
    assert frames.read(client, ATHENA).to_pylist()[0] == {"month": "2018-01", "revenue": 1.5}
    seen = frames.read(client, "SELECT * FROM headwater_local_silver.customers")
    assert (seen.column_names, len(seen)) == (["customer_id", "is_current"], 2)
    with pytest.raises(QueryError, match="COLUMN_NOT_FOUND"):
        frames.read(client, "SELECT email FROM headwater_local_silver.customers")


def test_what_is_no_longer_hidden_is_seen_after_the_next_crawl(account: Account) -> None:
    account.grant()
    account.grant(SEEN.model_copy(update={"hidden_columns": {}}))
    assert len(account.query("SELECT email FROM headwater_local_silver.customers")) == 2


def test_to_grant_again_changes_nothing_and_who_is_no_longer_named_loses_it(account: Account) -> None:
    account.grant(BOTH)
    assert account.query(ATHENA, LEAVER)
    account.aws.own("calls", "DELETE")
    account.grant()
    account.grant()
    changed = {call.action for call in recorded(account.aws.endpoint)} & {"lakeformation:BatchGrantPermissions"}
    assert changed == set()
    assert account.query(ATHENA)
    with pytest.raises(QueryError, match="Insufficient Lake Formation permission"):
        account.query(ATHENA, LEAVER)


def test_who_may_not_select_a_table_may_not_grant_it(account: Account) -> None:
    account.grant(Analysts())
    with pytest.raises(ClientError, match="Required Select with grant option"):
        account.grant(SEEN.model_copy(update={"hidden_columns": {}}), caller=GRANTING)
    lake = account.aws.client("lakeformation")
    for zone in ("silver", "gold"):
        lake.grant_permissions(
            Principal={"DataLakePrincipalIdentifier": GRANTER},
            Resource={"Table": {"DatabaseName": f"headwater_local_{zone}", "TableWildcard": {}}},
            Permissions=["SELECT"],
            PermissionsWithGrantOption=["SELECT"],
        )
    account.grant(caller=GRANTING)
    assert account.query(ATHENA)


def test_what_an_analyst_may_not_write_in_the_warehouse_is_refused(account: Account) -> None:
    with pytest.raises(QueryError, match="permission denied"):
        account.query("DELETE FROM analytics.customer_analytics", engine="redshift")
    for made in ("public", "analytics", "etl", "marts"):
        with pytest.raises(QueryError, match="permission denied"):
            account.query(f"CREATE TABLE {made}.own AS SELECT 1 AS one", engine="redshift")


def test_what_dbt_builds_analysts_read_and_it_writes_nowhere_else(account: Account) -> None:
    def modelled(sql: str) -> list[tuple[Any, ...]]:
        return account.query(sql, MODELLER, "redshift")

    modelled("CREATE TABLE marts.own AS SELECT COUNT(*) AS customers FROM analytics.customer_analytics")
    assert account.query("SELECT customers FROM marts.own", engine="redshift") == [("0",)]
    assert modelled("SELECT COUNT(*) FROM etl.load_ledger") == [("0",)]
    for refused in (
        "SELECT * FROM etl.migrations",
        "INSERT INTO etl.load_turn VALUES ('x', GETDATE())",
        "DELETE FROM analytics.customer_analytics",
        "CREATE TABLE analytics.own AS SELECT 1 AS one",
        "CREATE TABLE etl.own AS SELECT 1 AS one",
        "CREATE TABLE public.own AS SELECT 1 AS one",
        "CREATE SCHEMA more",
    ):
        with pytest.raises(QueryError, match="permission denied"):
            modelled(refused)
    with pytest.raises(QueryError, match="permission denied"):
        account.query("DELETE FROM marts.own", engine="redshift")
