"""The migrations as files: what the warehouse's administrator will run is held to the Data API's limits before it is deployed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headwater.config.environment import ExistingWorkgroup
from headwater.deploy.deployment import Deployment
from headwater.deploy.migrations import migrations, statements
from headwater.errors import ConfigError, HeadwaterError
from headwater.warehouse.migrations import Access, AnyMigration, Migrations, Migrator, Written, digest
from tests.support import declared
from tests.support.paths import ROOT

PROD = Deployment(declared.project("prod"), ROOT)
[ACCESS] = [migration for migration in migrations(PROD) if isinstance(migration, Access)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1;\n" * 37, "37 statements, and one transaction of the Data API takes 36"),
        (f"SELECT '{'é' * 50_000}'", "statement 1 has 100009 bytes"),
        ("GRANT SELECT ON x TO ROLE ${loader}", "placeholder 'loader'; known: prefix"),
    ],
)
def test_what_the_data_api_would_not_take_is_refused_by_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "grants.sql"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"grants\.sql: {said}"):
        statements(path, prefix="p")


def test_a_gold_table_whose_load_the_data_api_would_not_take_is_refused_by_name() -> None:
    name, table = next(iter(PROD.project.gold.items()))
    for columns, fits in ((200, True), (400, False)):
        wide = {f"c{number}_{'x' * 96}": "BIGINT" for number in range(columns)}
        more = {
            column: table.columns[table.grain[0]].model_copy(update={"type": type_}) for column, type_ in wide.items()
        }
        wider = table.model_copy(update={"columns": {**table.columns, **more}})
        deployment = Deployment(PROD.project.model_copy(update={"gold": {name: wider}}), ROOT)
        if fits:
            assert migrations(deployment)
        else:
            with pytest.raises(ConfigError, match=f"gold table {name}: its load: statement 8 has 1.* takes 100000"):
                migrations(deployment)


def test_everybody_may_create_in_public_where_the_workgroup_is_not_ours_alone() -> None:
    closed = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    assert closed in ACCESS.sqls
    environment = PROD.project.environment
    there = ExistingWorkgroup(admin_secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:x")
    warehouse = environment.warehouse.model_copy(update={"existing": there})
    project = PROD.project.model_copy(update={"environment": environment.model_copy(update={"warehouse": warehouse})})
    [access] = [found for found in migrations(Deployment(project, ROOT)) if isinstance(found, Access)]
    assert closed not in access.sqls


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("migrations/more.sql", "called by its number"),
        ("views/top_sales.sql", r"has to be CREATE OR REPLACE VIEW analytics\.top_sales"),
    ],
)
def test_a_file_is_named_after_what_it_makes(tmp_path: Path, file: str, said: str) -> None:
    for folder in ("migrations", "views"):
        (tmp_path / "sql" / "redshift" / folder).mkdir(parents=True)
    path = tmp_path / "sql" / "redshift" / file
    path.write_text("CREATE OR REPLACE VIEW analytics.other AS SELECT 1 AS one;")
    with pytest.raises(ConfigError, match=f"{path.name}: .*{said}"):
        migrations(Deployment(PROD.project, tmp_path))


def test_a_comment_is_no_part_of_a_migration_and_a_statement_is(tmp_path: Path) -> None:
    path = tmp_path / "001_one.sql"
    digests = []
    for text in ("SELECT 1", "-- why\nSELECT 1;\n", "SELECT 2"):
        path.write_text(text)
        digests.append(digest(Written(name="001_one", sqls=statements(path))))
    assert digests[0] == digests[1] != digests[2]


def test_a_role_first_loses_all_that_it_has_on_tables() -> None:
    grants = [
        sql
        for sql in ACCESS.sqls
        if sql.startswith("GRANT") and " ON SCHEMA " not in sql and " ON DATABASE " not in sql
    ]
    granted = {
        (schema, role)
        for sql in grants
        for schema in re.findall(r"IN SCHEMA (\w+)|(?:ON |, )(\w+)\.", sql.partition(" TO ")[0])
        for role in ACCESS.roles
        if sql.endswith(f" TO ROLE {role}")
    }
    lost = {
        re.findall(r"IN SCHEMA (\w+) FROM ROLE (\w+)", sql)[0] for sql in ACCESS.sqls if sql.startswith("REVOKE ALL")
    }
    assert {("".join(schema), role) for schema, role in granted} == lost
    first_grant = next(number for number, sql in enumerate(ACCESS.sqls) if sql.startswith("GRANT"))
    assert all(not sql.startswith("REVOKE") for sql in ACCESS.sqls[first_grant:])


@dataclass
class EmptyWarehouse:
    """A Data API that has nothing to tell, as a new warehouse; its first `refused` batches fail as the text says."""

    refused: list[str] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    batches: list[Sequence[str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def execute_statement(self, *, Sql: str, SecretArn: str | None = None, **_: Any) -> dict[str, str]:  # noqa: N803
        self.secrets.append(SecretArn)
        return {"Id": "query"}

    def batch_execute_statement(self, *, Sqls: Sequence[str], SecretArn: str | None = None, **_: Any) -> dict[str, str]:  # noqa: N803
        self.secrets.append(SecretArn)
        self.batches.append(Sqls)
        return {"Id": "batch"}

    def describe_statement(self, *, Id: str) -> dict[str, Any]:  # noqa: N803
        if Id == "batch" and self.refused and len(self.batches) > 1:
            return {"Status": "FAILED", "Error": self.refused.pop(0)}
        return {"Status": "FINISHED"}

    def migrate(self, *migrations: AnyMigration) -> list[str]:
        """What ran, or what was said instead."""
        wanted = Migrations(workgroup="w", database="d", migrations=migrations, admin_secret="arn:secret")
        try:
            return Migrator(self, wanted, "test", self.waits.append).migrate()
        except HeadwaterError as error:
            return [f"refused: {error}"]


def test_whoever_migrates_does_so_as_the_administrator_whose_secret_is_named() -> None:
    warehouse = EmptyWarehouse()
    assert warehouse.migrate(*migrations(PROD))[-1] == "access"
    assert len(warehouse.secrets) > 10
    assert {*warehouse.secrets} == {"arn:secret"}


def test_grants_are_one_transaction_which_is_tried_again_when_another_is_in_its_way() -> None:
    conflict = "ERROR: could not complete because of conflict with concurrent transaction"
    warehouse = EmptyWarehouse(refused=[conflict, conflict])
    assert warehouse.migrate(Written(name="001_one", sqls=ACCESS.sqls)) == ["001_one"]
    granting = [[sql for sql in batch if sql.startswith("GRANT")] for batch in warehouse.batches]
    assert [len(grants) for grants in granting if grants] == [sum(sql.startswith("GRANT") for sql in ACCESS.sqls)] * 3
    assert len(warehouse.waits) == 2


def test_roles_and_users_that_are_there_are_not_made_again() -> None:
    there = {"role_name": [ACCESS.roles[0]], "usename": [next(iter(ACCESS.users))]}

    def ask(sql: str) -> Sequence[Sequence[str | None]]:
        return [[name] for name in there[sql.split()[1]]]

    making = ACCESS.before(ask)
    assert len(making) == len(ACCESS.roles) + len(ACCESS.users) - 2
    assert [
        sql for sql in making for name in (f" {ACCESS.roles[0]}", f'"{next(iter(ACCESS.users))}"') if name in sql
    ] == []


def test_whoever_builds_marts_is_an_analyst_who_may_and_shows_them_to_all() -> None:
    [access] = [one for one in migrations(Deployment(declared.project("local"), ROOT)) if isinstance(one, Access)]
    user = "IAMR:headwater-local-dbt-analysts"
    assert access.users[user] == "headwater_local_modeller"
    shown = f'ALTER DEFAULT PRIVILEGES FOR USER "{user}" IN SCHEMA marts GRANT SELECT ON TABLES TO ROLE headwater_local_analyst'
    assert shown in access.sqls
    assert "DEFAULT PRIVILEGES" not in "".join(ACCESS.sqls)


def test_everybody_who_speaks_to_the_warehouse_has_a_user_there() -> None:
    assert ACCESS.users == {
        "IAMR:headwater-prod-load_changes": "headwater_prod_loader",
        "IAMR:headwater-prod-audit_run": "headwater_prod_auditor",
        "IAMR:headwater-prod-redshift-extract": None,
        "IAMR:analysts": "headwater_prod_analyst",
    }
