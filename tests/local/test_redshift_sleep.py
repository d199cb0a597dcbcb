"""Redshift Serverless sleeps where nobody asks it anything, and who asks then waits until it is awake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.errors import QueryError
from headwater.ledger.stage_runs import StageRuns
from headwater.open_project import OpenProject
from headwater.run.audit import AuditedRun, audit_run
from headwater.run.load import load_changes
from headwater.warehouse import data_api
from headwater.warehouse.changes import ChangeLog
from headwater.warehouse.migrations import Migrations, Migrator, Written
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support import declared
from tests.support.aws import Aws, make_own_role
from tests.support.waiting import wait_for

HOUR = 3600


@dataclass(frozen=True)
class Place:
    workgroup: str = "local"
    database: str = "headwater"


@dataclass(frozen=True)
class Warehouse:
    """A workgroup and the secret of its administrator."""

    aws: Aws
    secret: str

    @property
    def api(self) -> Any:
        return self.aws.client("redshift-data")

    def asked(self) -> str:
        """Starts a statement."""
        found = self.api.execute_statement(WorkgroupName="local", Database="headwater", Sql="SELECT 1")["Id"]
        return str(found)

    def status(self, statement: str) -> str:
        return str(self.api.describe_statement(Id=statement)["Status"])

    def waiting(self) -> None:
        """Waits until as many wait on the clock as do when a statement waits for the warehouse."""
        wait_for(lambda: self.aws.own("clock")["waiting"] == 1)


@pytest.fixture(scope="module")
def made(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home = tmp_path_factory.mktemp("sleep")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as endpoint:
        make_own_role(endpoint)
        aws = Aws(endpoint, home, "-")
        yield Warehouse(aws, aws.workgroup("local"))


@pytest.fixture
def asleep(made: Warehouse) -> Iterator[Warehouse]:
    """The warehouse an hour after its last statement, with the clock held."""
    data_api.query(made.api, Place(), "SELECT 1")
    made.aws.own("clock", "POST", {"pace": "held"})
    made.aws.moved(HOUR)
    yield made
    made.aws.own("clock", "POST", {"pace": "skip"})


def test_the_first_statement_waits_for_the_warehouse_and_the_next_does_not(asleep: Warehouse) -> None:
    first = asleep.asked()
    asleep.waiting()
    assert asleep.status(first) == "SUBMITTED"
    asleep.aws.moved(39)
    assert asleep.status(first) == "SUBMITTED"
    asleep.aws.moved(1)
    wait_for(lambda: asleep.status(first) == "FINISHED")
    next_one = asleep.asked()
    wait_for(lambda: asleep.status(next_one) == "FINISHED")


def test_short_of_an_hour_it_is_awake(made: Warehouse) -> None:
    data_api.query(made.api, Place(), "SELECT 1")
    made.aws.own("clock", "POST", {"pace": "held"})
    made.aws.moved(HOUR - 5)
    assert data_api.query(made.api, Place(), "SELECT 1").rows == (("1",),)
    made.aws.own("clock", "POST", {"pace": "skip"})


def test_a_statement_that_waits_can_be_cancelled(asleep: Warehouse) -> None:
    statement = asleep.asked()
    asleep.waiting()
    asleep.api.cancel_statement(Id=statement)
    assert asleep.status(statement) == "ABORTED"


def test_a_limit_that_is_shorter_than_the_wake_fails_with_a_clear_word(asleep: Warehouse) -> None:
    for ask in (data_api.query, data_api.run):
        with pytest.raises(
            QueryError, match="is SUBMITTED and waits for the warehouse, which is asleep or busy after 1 s"
        ):
            ask(asleep.api, Place(), "SELECT 1" if ask is data_api.query else ["SELECT 1"], 1)


def test_queries_and_migrations_survive_it_and_where_nothing_works_nobody_waits(asleep: Warehouse) -> None:
    aws = asleep.aws
    aws.own("clock", "POST", {"pace": "skip"})
    assert data_api.query(asleep.api, Place(), "SELECT 1", seconds=20).rows == (("1",),)
    aws.moved(HOUR)
    made = Written(name="001_made", sqls=("CREATE TABLE made (id BIGINT)",))
    wanted = Migrations(workgroup="local", database="headwater", admin_secret=asleep.secret, migrations=(made,))
    assert Migrator(asleep.api, wanted, "test").migrate() == ["001_made"]


def test_a_load_and_an_audit_leave_the_wait_to_the_machine(asleep: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of the function that finds the warehouse asleep is over at once; the call after the wait finds it awake."""
    aws, opened = asleep.aws, OpenProject(declared.project("local"))
    warehouse = opened.project.environment.warehouse.model_copy(update={"workgroup": "local", "database": "headwater"})
    environment = opened.project.environment.model_copy(update={"warehouse": warehouse, "lineage": None})
    opened = OpenProject(opened.project.model_copy(update={"environment": environment}))
    monkeypatch.setattr(ChangeLog, "latest_version", lambda _self: -1)
    monkeypatch.setattr(OpenProject, "streams", lambda _self: ())
    monkeypatch.setattr(StageRuns, "waiting", lambda _self: [])
    written: dict[str, bytes] = {}
    monkeypatch.setattr(OpenProject, "lake", SimpleNamespace(read=written.get, write=written.__setitem__))
    aws.own("clock", "POST", {"pace": "skip"})
    for made in (
        "CREATE SCHEMA IF NOT EXISTS etl",
        "CREATE TABLE etl.load_ledger (table_name VARCHAR(9), version BIGINT)",
        "CREATE TABLE etl.runs (run_id VARCHAR(9), status VARCHAR(16), started_at TIMESTAMP, ended_at TIMESTAMP, "
        "rows_extracted BIGINT, rows_inserted BIGINT, rows_updated BIGINT, rows_quarantined BIGINT)",
    ):
        data_api.query(asleep.api, Place(), made)
    run = AuditedRun("run-1", "2024-05-06T07:08:09Z", in_part=False)
    for looks in (
        lambda last: load_changes(opened, asleep.api, "run-1", last),
        lambda last: audit_run(opened, asleep.api, run, last),
    ):
        aws.own("clock", "POST", {"pace": "held"})
        aws.moved(HOUR)
        began = time.monotonic()
        waits = looks({})
        assert not waits["done"]
        assert time.monotonic() - began < 15
        asleep.waiting()
        aws.moved(40)
        wait_for(lambda waits=waits: asleep.status(waits["statement"]) == "FINISHED")
        assert looks(waits)["done"]
