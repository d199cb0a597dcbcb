"""Migrations of the warehouse against the Data API: what is written runs once, what is derived follows, whoever asks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_project
from headwater.errors import ConfigError, LoadError, QueryError
from headwater.warehouse import data_api
from headwater.warehouse.migrations import Access, AnyMigration, Migrations, Migrator, Table, View, Written
from local.gateway.iam.principals import key_of
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support.aws import Aws, make_role
from tests.support.paths import ROOT

SERVICE = "lambda.amazonaws.com"
LEDGER = Written(name="001_ledger", sqls=("CREATE SCHEMA IF NOT EXISTS analytics",))
SALES = Table(
    name="table sales",
    relation="sales",
    grain=("id",),
    columns={"id": "BIGINT", "name": "VARCHAR(10)"},
    sqls=(
        "CREATE TABLE IF NOT EXISTS analytics.sales (id BIGINT NOT NULL, name VARCHAR(10)) DISTSTYLE EVEN SORTKEY (id)",
    ),
)
TOP_SALES = "CREATE OR REPLACE VIEW analytics.top_sales AS SELECT id FROM analytics.sales"
TOP = View(name="view top", relation="top_sales", sqls=(TOP_SALES,))


def access(*users: str, **more: str | None) -> Access:
    grants = (
        "REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM ROLE {role}",
        "GRANT USAGE ON SCHEMA analytics TO ROLE {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO ROLE {role}",
    )
    return Access(
        name="access",
        sqls=tuple(grant.format(role="readers") for grant in grants),
        roles=("readers",),
        users={**{f"IAMR:{user}": "readers" for user in users}, **more},
    )


@dataclass
class Warehouse:
    """A workgroup with a database of its own."""

    aws: Aws
    name: str
    secret: str
    dsn: str
    waits: list[float] = field(default_factory=list)

    @property
    def place(self) -> Migrations:
        return self.migrations()

    def migrations(self, *migrations: AnyMigration) -> Migrations:
        return Migrations(workgroup=self.name, database=self.name, migrations=migrations, admin_secret=self.secret)

    def migrate(self, *migrations: AnyMigration, caller: str = "local") -> list[str]:
        api = self.aws.client("redshift-data", caller)
        return Migrator(api, self.migrations(*migrations), f"{caller} 1", self.waits.append).migrate()

    def query(self, sql: str, caller: str = "test") -> list[tuple[str | None, ...]]:
        """Queries as the administrator of the account, or in the name of a role of it."""
        key = caller if caller == "test" else key_of(f"arn:aws:iam::123456789012:role/{caller}", SERVICE, "query")
        return list(data_api.query(self.aws.client("redshift-data", key), self.place, sql).rows)

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.dsn) as server:
            for statement in statements:
                server.execute(statement.encode())


@pytest.fixture(scope="module")
def endpoint(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("gateway")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as url:
        for role in ("reader", "leaver", "idle", "stranger"):
            make_role(url, role, [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
        yield url, home


@pytest.fixture
def warehouse(postgres: PostgresServer, endpoint: tuple[str, Path]) -> Warehouse:
    name = f"w{uuid.uuid4().hex[:8]}"
    aws = Aws(*endpoint, "-")
    dsn = psycopg.conninfo.make_conninfo(postgres.dsn, dbname=name)
    return Warehouse(aws, name, aws.workgroup(name, name), dsn)


def test_what_ran_does_not_run_again_whoever_asks(warehouse: Warehouse) -> None:
    migrations = (LEDGER, SALES, TOP, access("reader"))
    assert warehouse.migrate(*migrations) == ["001_ledger", "table sales", "view top", "access"]
    assert warehouse.migrate(*migrations, caller="terraform") == []
    assert warehouse.query("SELECT name, migrated_by FROM etl.migrations ORDER BY migrated_at, name LIMIT 1") == [
        ("001_ledger", "local 1")
    ]


def test_what_is_there_from_before_is_taken_over_as_it_is(warehouse: Warehouse) -> None:
    warehouse.sql(
        "CREATE SCHEMA analytics",
        "CREATE TABLE analytics.sales (id BIGINT NOT NULL, name VARCHAR(10))",
        "INSERT INTO analytics.sales VALUES (1, 'x')",
    )
    # Whoever logs in before anything is migrated is a user from then on.
    warehouse.query("SELECT 1", "reader")
    warehouse.migrate(LEDGER, SALES, TOP, access("reader"))
    assert warehouse.query("SELECT id FROM analytics.top_sales", "reader") == [("1",)]


def test_without_the_secret_whoever_asks_is_nobody_in_particular(warehouse: Warehouse) -> None:
    with pytest.raises(QueryError, match="permission denied"):
        data_api.run(warehouse.aws.client("redshift-data", "local"), warehouse.place, ["CREATE SCHEMA other"], 30)


def test_a_written_migration_that_has_changed_is_refused_before_anything_runs(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER)
    with pytest.raises((ConfigError, LoadError)) as refused:
        warehouse.migrate(LEDGER.model_copy(update={"sqls": ("CREATE SCHEMA other",)}), SALES)
    assert re.search(r"migrations/001_ledger\.sql: changed since it ran.*hint: put it back", str(refused.value))
    assert warehouse.query("SELECT name FROM etl.migrations") == [("001_ledger",)]


def test_a_migration_that_fails_leaves_nothing_and_those_before_it_stand(warehouse: Warehouse) -> None:
    half = Written(name="002_half", sqls=("CREATE TABLE analytics.half (id INT)", "SELECT * FROM analytics.nothing"))
    with pytest.raises(LoadError, match=r"migration 002_half: .*nothing"):
        warehouse.migrate(LEDGER, half, SALES)
    assert warehouse.query("SELECT name FROM etl.migrations") == [("001_ledger",)]
    assert warehouse.query("SELECT table_name FROM svv_tables WHERE table_schema = 'analytics'") == []
    assert warehouse.migrate(LEDGER, half.model_copy(update={"sqls": ("CREATE TABLE analytics.half (id INT)",)}))


def test_a_gold_table_gets_the_columns_that_it_lacks(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES, access("reader"))
    warehouse.sql("INSERT INTO analytics.sales VALUES (1, 'x')")
    grown = SALES.model_copy(update={"columns": {**SALES.columns, "total": "DECIMAL(18, 2)"}})
    assert warehouse.migrate(LEDGER, grown, access("reader")) == ["table sales", "access"]
    assert warehouse.query("SELECT id, name, total FROM analytics.sales", "reader") == [("1", "x", None)]
    assert warehouse.migrate(LEDGER, grown, access("reader")) == []


def test_more_columns_than_one_batch_takes_come_all_the_same(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES)
    grown = SALES.model_copy(update={"columns": {**SALES.columns, **{f"c{number}": "BIGINT" for number in range(90)}}})
    assert warehouse.migrate(LEDGER, grown) == ["table sales"]
    assert warehouse.query("SELECT COUNT(*) FROM svv_columns WHERE table_name = 'sales'") == [("92",)]
    assert warehouse.migrate(LEDGER, grown) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {**SALES.columns, "day": "DATE"}, "grain": ("id", "day")}, "has no day, which is of its grain"),
        (
            {"columns": {"id": "BIGINT", "name": "VARCHAR(20)"}},
            r"has name as VARCHAR\(10\), and VARCHAR\(20\) is declared",
        ),
    ],
)
def test_a_gold_table_that_cannot_become_what_is_declared_is_refused(
    warehouse: Warehouse, change: dict[str, Any], said: str
) -> None:
    warehouse.migrate(LEDGER, SALES)
    with pytest.raises(ConfigError, match=rf"analytics\.sales in the warehouse {said}.*hint: a new file"):
        warehouse.migrate(LEDGER, SALES.model_copy(update=change))


def test_a_table_that_a_written_migration_drops_is_made_anew_with_its_view_and_grants(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES, TOP, access("reader"))
    dropped = Written(name="002_wider", sqls=("DROP TABLE analytics.sales CASCADE",))
    wider = SALES.model_copy(update={"sqls": ("CREATE TABLE analytics.sales (id BIGINT, name VARCHAR(20))",)})
    assert warehouse.migrate(LEDGER, dropped, wider, TOP, access("reader")) == [
        "002_wider",
        "table sales",
        "view top",
        "access",
    ]
    assert warehouse.query("SELECT COUNT(*) FROM analytics.top_sales", "reader") == [("0",)]


def test_users_have_what_is_granted_and_nothing_else(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES, access("reader", **{"IAMR:idle": None}))
    assert warehouse.query("SELECT COUNT(*) FROM analytics.sales", "reader") == [("0",)]
    for caller, sql in (
        ("reader", "INSERT INTO analytics.sales VALUES (1, 'x')"),
        ("reader", "SELECT * FROM etl.migrations"),
        ("idle", "SELECT * FROM analytics.sales"),
        ("stranger", "SELECT * FROM analytics.sales"),
    ):
        with pytest.raises(QueryError, match="permission denied"):
            warehouse.query(sql, caller)


def test_whoever_was_granted_a_role_of_iam_has_copy_or_unload_assume_it_and_nobody_else(warehouse: Warehouse) -> None:
    role = "arn:aws:iam::123456789012:role/copy"
    copying = f"COPY analytics.sales FROM 's3://none/x' IAM_ROLE '{role}' FORMAT AS PARQUET"
    unloading = f"UNLOAD ('SELECT 1 AS one') TO 's3://none/x' IAM_ROLE '{role}' FORMAT AS PARQUET"

    def may(caller: str, sql: str) -> bool:
        with pytest.raises(QueryError) as refused:
            warehouse.query(sql, caller)
        return "may not assume IAM role" not in str(refused.value)

    warehouse.migrate(LEDGER, SALES, access("reader", **{"IAMR:idle": None}))
    assert all(may(caller, sql) for caller in ("reader", "idle", "stranger") for sql in (copying, unloading))
    granted = access("reader", **{"IAMR:idle": None})
    closed = (
        *granted.sqls,
        "REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL",
        f"GRANT ASSUMEROLE ON '{role}' TO ROLE readers FOR COPY",
        f"GRANT ASSUMEROLE ON '{role}' TO \"IAMR:idle\" FOR UNLOAD",
    )
    warehouse.migrate(LEDGER, SALES, granted.model_copy(update={"sqls": closed}))
    may_copy = [caller for caller in ("reader", "idle", "stranger") if may(caller, copying)]
    may_unload = [caller for caller in ("reader", "idle", "stranger") if may(caller, unloading)]
    assert (may_copy, may_unload) == (["reader"], ["idle"])
    assert not may("reader", copying.replace("role/copy", "role/other"))
    with pytest.raises(QueryError, match="permission denied"):
        warehouse.query(f"GRANT ASSUMEROLE ON '{role}' TO PUBLIC FOR COPY", "stranger")


def test_who_is_no_longer_named_loses_the_role_and_a_grant_by_hand_goes(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES, access("reader", "leaver"))
    warehouse.sql("GRANT INSERT ON analytics.sales TO readers")
    warehouse.migrate(LEDGER, SALES, access("reader"))
    assert warehouse.query("SELECT COUNT(*) FROM analytics.sales", "reader") == [("0",)]
    for caller, sql in (
        ("leaver", "SELECT * FROM analytics.sales"),
        ("reader", "INSERT INTO analytics.sales VALUES (1, 'x')"),
    ):
        with pytest.raises(QueryError, match="permission denied"):
            warehouse.query(sql, caller)


def test_of_two_who_migrate_at_once_one_runs_what_is_written(warehouse: Warehouse) -> None:
    # What would not fail by itself if it ran twice.
    makes = "CREATE TABLE IF NOT EXISTS analytics.once (id INT)"
    slow = Written(name="002_slow", sqls=(makes, "INSERT INTO analytics.once VALUES (1)", "SELECT pg_sleep(0.3)"))
    with ThreadPoolExecutor(2) as both:
        ran = list(both.map(lambda _: warehouse.migrate(LEDGER, slow), range(2)))
    assert sorted(name for names in ran for name in names) == ["001_ledger", "002_slow"]
    assert warehouse.query("SELECT COUNT(*) FROM analytics.once") == [("1",)]


def test_more_users_than_one_batch_takes_are_made_all_the_same(warehouse: Warehouse) -> None:
    many = [f"user{number}" for number in range(45)]
    warehouse.migrate(LEDGER, SALES, access(*many))
    assert warehouse.query(
        "SELECT COUNT(*) FROM svv_user_grants WHERE role_name = 'readers' AND user_name LIKE 'IAMR:user%'"
    ) == [("45",)]


def test_a_grant_that_another_transaction_is_in_the_way_of_is_tried_again(warehouse: Warehouse) -> None:
    warehouse.migrate(LEDGER, SALES)
    with psycopg.connect(warehouse.dsn) as other:
        other.execute("CREATE ROLE " + f"{warehouse.name}_role")
        other.execute(f"GRANT SELECT ON analytics.sales TO {warehouse.name}_role")
        with ThreadPoolExecutor(1) as thread:
            migrated = thread.submit(warehouse.migrate, LEDGER, SALES, access("reader"))
            while not _waits(warehouse.dsn):
                pass
            other.commit()
            assert migrated.result(30) == ["access"]
    assert warehouse.waits[0] > 0


def _waits(dsn: str) -> bool:
    """True when a session waits for another's lock."""
    with psycopg.connect(dsn) as server:
        return server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone() is not None


def test_runs_of_before_the_audit_of_stages_are_kept_as_runs(warehouse: Warehouse) -> None:
    declared = Deployment(load_project(ROOT, "prod"), ROOT).migrations() | {"admin_secret": warehouse.secret}
    migrations = Migrations.model_validate(declared).migrations
    written = [migration for migration in migrations if isinstance(migration, Written)]
    before = [migration for migration in written if migration.name < "004"]
    warehouse.migrate(*before)
    told = "'run-1', 'succeeded', '2026-11-01 04:00:00', '2026-11-01 05:00:00', 4, 3, 1, 0"
    warehouse.sql(f"INSERT INTO etl.run_audit VALUES ({told})")
    warehouse.migrate(*written)
    assert warehouse.query("SELECT run_id, rows_extracted, message FROM etl.runs") == [("run-1", "4", None)]
    assert warehouse.query("SELECT COUNT(*) FROM etl.run_audit") == [("0",)]


def test_the_warehouse_says_what_a_table_and_its_columns_mean(warehouse: Warehouse) -> None:
    comments = (
        "COMMENT ON TABLE analytics.sales IS 'What was sold'",
        "COMMENT ON COLUMN analytics.sales.id IS 'Whose'",
    )
    warehouse.migrate(LEDGER, SALES)
    assert warehouse.migrate(LEDGER, SALES.model_copy(update={"comments": comments})) == ["table sales"]
    said = "SELECT obj_description('analytics.sales'::regclass), col_description('analytics.sales'::regclass, 1)"
    with psycopg.connect(warehouse.dsn) as server:
        assert server.execute(said).fetchone() == ("What was sold", "Whose")


def test_what_is_declared_migrates_an_empty_warehouse(warehouse: Warehouse) -> None:
    declared = Deployment(load_project(ROOT, "prod"), ROOT).migrations() | {"database": warehouse.name}
    wanted = Migrations.model_validate({**declared, "workgroup": warehouse.name, "admin_secret": warehouse.secret})
    wanted = wanted.model_copy(
        update={"migrations": tuple(_in(migration, warehouse.name) for migration in wanted.migrations)}
    )
    api = warehouse.aws.client("redshift-data")
    ran = Migrator(api, wanted, "by").migrate()
    assert ran == [migration.name for migration in wanted.migrations]
    assert Migrator(api, wanted, "by").migrate() == []


def _in(migration: AnyMigration, database: str) -> AnyMigration:
    """The migration of another database."""
    sqls = tuple(sql.replace("ON DATABASE headwater", f"ON DATABASE {database}") for sql in migration.sqls)
    return migration.model_copy(update={"sqls": sqls})
