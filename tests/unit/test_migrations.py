"""The migrations as files: what the warehouse's administrator will run is held to the Data API's limits before it is deployed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headwater.config.environment import ExistingWorkgroup
from headwater.deploy.deployment import Deployment
from headwater.deploy.migrations import migrations, statements
from headwater.deploy.project import load_project
from headwater.errors import ConfigError
from headwater.warehouse.migrations import Access, Written, digest
from tests.support.paths import ROOT

PROD = Deployment(load_project(ROOT, "prod"), ROOT)
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
            with pytest.raises(ConfigError, match=f"gold table {name}: its load: statement 4 has 1.* takes 100000"):
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


def test_everybody_who_speaks_to_the_warehouse_has_a_user_there() -> None:
    assert ACCESS.users == {
        "IAMR:headwater-prod-load_changes": "headwater_prod_loader",
        "IAMR:headwater-prod-audit_run": "headwater_prod_auditor",
        "IAMR:headwater-prod-redshift-extract": None,
        "IAMR:analysts": "headwater_prod_analyst",
    }
