"""Loads of the warehouse against the Data API: overtaken, at once, after a kill, refused, and of what is not what was published."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headwater.deploy.migrations import statements
from headwater.errors import LoadError, QueryError
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run import load as load_module
from headwater.run.load import load_changes
from headwater.warehouse import data_api
from headwater.warehouse.changes import FIRST, ChangeFile, ChangeLog
from headwater.warehouse.load import Load
from headwater.warehouse.migrations import Migrations, Migrator, Table, Written
from local.gateway.server import running_gateway
from local.postgres import PostgresServer
from tests.support import declared
from tests.support.aws import Aws, make_own_role
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

SALES = Table(
    name="table sales",
    relation="sales",
    grain=("id",),
    columns={"id": "BIGINT", "name": "VARCHAR(10)"},
    sqls=("CREATE TABLE analytics.sales (id BIGINT, name VARCHAR(10))",),
)
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("_change", pa.string()), ("_version", pa.int64())])
Rows = Mapping[int, str]
Staged = Sequence[tuple[int | None, str | None, str, int]]
_names = count()


@dataclass
class Shop:
    """A gold table, its publications, and the warehouse that loads them; `gold` is what the table holds at each version."""

    opened: OpenProject
    api: Any
    dsn: str
    gold: dict[int, Rows] = field(default_factory=lambda: {FIRST: {}})

    @property
    def log(self) -> ChangeLog:
        return ChangeLog(self.opened.lake, "sales")

    @property
    def newest(self) -> int:
        return max(self.gold)

    def publish(self, table: Rows, staged: Staged | None = None, **more: Any) -> int:
        """Commits the table's next version and publishes it as Gold does; `staged` is in the file instead, where it is given."""
        last, version = self.log.latest_version(), self.newest + 1
        self.gold[version] = table
        since, number = self.log.next_since(last, ("id", "name"))
        before = self.gold[since]
        changed = [(id_, name, "upsert", version) for id_, name in table.items() if before.get(id_) != name]
        gone = [(id_, None, "delete", version) for id_ in before if id_ not in table]
        own = [*changed, *gone]
        folder = self.log.folder(version)
        file = io.BytesIO()
        pq.write_table(
            pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in staged or own], SCHEMA), file
        )
        self.opened.lake.write(f"{folder}/part.parquet", file.getvalue())
        change = ChangeFile(
            "sales", ("id",), ("id", "name"), version, self.log.entries(folder), since, len(staged or own), number
        )
        self.log.publish(replace(change, **more))
        return version

    def loaded(self) -> int:
        return int(self.rows("SELECT COALESCE(MAX(version), -1) FROM etl.load_ledger")[0][0])

    def prepare(self, run: str) -> Load:
        """Does all of a load but to run it, as an execution does that is overtaken then."""
        return load_module._prepare(self.opened, "sales", self.loaded(), run)

    def run(self, prepared: Load) -> None:
        data_api.run(self.api, self.opened.project.environment.warehouse, prepared.sqls, 60)

    def load(self, run: str) -> None:
        """Loads what the warehouse lacks, as the state machine does."""
        answer: dict[str, Any] = {"done": False}
        while not answer["done"]:
            answer = load_changes(self.opened, self.api, run, answer, lambda _: None)

    def refused(self, run: str) -> str:
        """Why a load is refused; empty where it is not."""
        try:
            self.load(run)
        except LoadError as error:
            return str(error)
        return ""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as server:
            return server.execute(sql.encode()).fetchall()

    def sales(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT id, name FROM analytics.sales ORDER BY id, name")

    def begin_anew(self) -> None:
        """Empties the lake and the warehouse."""
        with psycopg.connect(self.dsn) as server:
            server.execute("TRUNCATE etl.load_ledger, analytics.sales")
        lake = self.opened.lake
        for key, _, _ in list(lake.keys("load/")):
            lake.s3.delete_object(Bucket=lake.name, Key=key)
        self.gold = {FIRST: {}}

    def assert_holds(self, version: int) -> None:
        assert (self.loaded(), self.sales()) == (version, sorted(self.gold[version].items()))
        assert self.rows("SELECT load_id FROM etl.load_ledger GROUP BY load_id HAVING COUNT(*) > 1") == []


@pytest.fixture(scope="module")
def endpoint(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("gateway")
    with running_gateway(home, warehouse_dsn=postgres.dsn) as url:
        make_own_role(url)
        yield url, home


@pytest.fixture
def shop(postgres: PostgresServer, endpoint: tuple[str, Path]) -> Shop:
    """A shop with a warehouse and a lake of its own."""
    project = declared.project("local")
    name = f"w{next(_names)}{uuid.uuid4().hex[:6]}"
    aws = Aws(*endpoint, "-")
    secret = aws.workgroup(name, name)
    own = {"workgroup": name, "database": name, "copy_role": "arn:aws:iam::123456789012:role/headwater-local"}
    warehouse = project.environment.warehouse.model_copy(update=own)
    environment = project.environment.model_copy(update={"warehouse": warehouse, "prefix": name})
    gold = {"sales": next(iter(project.gold.values()))}
    opened = OpenProject(project.model_copy(update={"environment": environment, "gold": gold}))
    s3 = aws.client("s3")
    for bucket in ("lake", "raw"):
        where = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket=environment.bucket(bucket), CreateBucketConfiguration=where)
    vars(opened)["ledger"] = Ledger(Bucket(s3, environment.bucket("raw")))
    written = [
        Written(name=path.stem, sqls=statements(path))
        for path in sorted((ROOT / "sql/redshift/migrations").glob("*.sql"))
    ]
    wanted = Migrations(workgroup=name, database=name, admin_secret=secret, migrations=(*written, SALES))
    api = aws.client("redshift-data")
    Migrator(api, wanted, "test").migrate()
    dsn = psycopg.conninfo.make_conninfo(postgres.dsn, dbname=name)
    with psycopg.connect(dsn) as server:
        # The account's administrator, as whom tests call, is a user of this warehouse.
        data_api.query(api, warehouse, "SELECT 1")
        for granted in ("USAGE ON SCHEMA etl, analytics", "ALL ON ALL TABLES IN SCHEMA etl, analytics"):
            server.execute(f"GRANT {granted} TO PUBLIC".encode())
    return Shop(opened, api, dsn)


def test_what_is_published_is_loaded_with_its_deletions(shop: Shop) -> None:
    for rows in ({1: "a", 2: "b"}, {1: "a", 3: "c"}, {1: "x", 3: "c"}):
        shop.publish(rows)
        shop.load("run-1")
        shop.assert_holds(shop.newest)
    shop.load("run-2")
    assert shop.rows("SELECT run_id, row_count FROM etl.load_ledger ORDER BY version") == [
        ("run-1", 2), ("run-1", 2), ("run-1", 1),
    ]  # fmt: skip


def test_a_load_that_was_overtaken_puts_no_older_row_over_a_newer_one(shop: Shop) -> None:
    shop.publish({1: "old", 2: "old"})
    shop.load("run-0")
    shop.publish({1: "older", 2: "old"})
    late = shop.prepare("run-1")
    newest = shop.publish({1: "newest"})
    shop.load("run-2")
    shop.run(late)
    shop.assert_holds(newest)


def test_of_two_loads_at_once_the_later_finds_what_the_first_has_loaded(shop: Shop) -> None:
    """Without a turn both insert the same rows, which snapshot isolation lets them and no key refuses."""
    shop.publish({1: "a", 2: "b"})
    with ThreadPoolExecutor(2) as threads, psycopg.connect(shop.dsn) as other:
        # The first waits behind this lock with its rows staged, and the second with its snapshot taken.
        other.execute("LOCK TABLE analytics.sales IN EXCLUSIVE MODE")
        loads = [threads.submit(shop.refused, run) for run in ("run-1", "run-2")]
        wait_for(lambda: waiting(shop.dsn) == 2, 30)
        other.rollback()
        assert [load.result(60) for load in loads] == ["", ""]
    shop.assert_holds(0)


def waiting(dsn: str) -> int:
    with psycopg.connect(dsn) as server:
        [(number,)] = server.execute(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchall()
        return int(number)


def test_a_function_that_is_called_again_starts_no_second_load(shop: Shop) -> None:
    """It died after it had started one, and its answer is lost."""
    shop.publish({1: "a"})
    listed = shop.api.list_statements
    shop.load("run-1")
    begun = len(listed()["Statements"])
    with psycopg.connect(shop.dsn) as server:
        server.execute("TRUNCATE etl.load_ledger, analytics.sales")
    shop.load("run-1")
    # It asked what the warehouse lacks, and had the load of before.
    assert (len(listed()["Statements"]) - begun, shop.sales()) == (1, [])
    shop.load("run-2")
    shop.assert_holds(0)


def test_120_publications_reach_an_empty_warehouse(shop: Shop) -> None:
    """As an earlier version of Headwater has published them: the first of them holds the history."""
    for version in range(120):
        table = {0: "history", **{id_: f"v{id_}" for id_ in range(1, version + 1)}}
        shop.publish(table, [(version, table[version], "upsert", version)], since=None, number=None, rows=None)
    shop.load("run-1")
    shop.assert_holds(119)


@pytest.mark.parametrize(
    ("staged", "more", "told"),
    [
        ([(1, "a", "upsert", 1)], {"rows": 2}, "as_many_rows_as_published"),
        ([(1, "a", "upsert", 1), (2, "b", "upsert", 1)], {"rows": 1}, "as_many_rows_as_published"),
        ([(1, "a", "upsert", 1), (1, "b", "upsert", 1)], {}, "no_key_is_there_twice"),
        ([(1, "a", "upsert", 1), (None, "b", "upsert", 1)], {}, "no_key_is_null"),
    ],
)
def test_what_is_staged_and_is_not_what_was_published_changes_nothing(
    shop: Shop, staged: Staged, more: dict[str, Any], told: str
) -> None:
    shop.publish({1: "before"})
    shop.load("run-0")
    shop.publish({1: "after"}, staged, **more)
    assert told in shop.refused("run-1")
    shop.assert_holds(0)


def test_what_the_warehouse_refuses_does_not_hold_up_what_comes_after_it(shop: Shop) -> None:
    shop.publish({1: "a", 2: "gone"})
    shop.load("run-0")
    shop.publish({1: "longer than the column"})
    assert "is longer than the length defined" in shop.refused("run-1")
    shop.assert_holds(0)
    # A run that begins anew has nothing else to offer; the next version has.
    assert "is longer than the length defined" in shop.refused("run-2")
    newest = shop.publish({1: "short", 3: "c"})
    assert shop.refused("run-3") == ""
    shop.assert_holds(newest)


def test_a_load_without_a_row_to_take_the_turn_by_is_refused(shop: Shop) -> None:
    with psycopg.connect(shop.dsn) as server:
        server.execute("DELETE FROM etl.load_turn")
    shop.publish({1: "a"})
    assert "there_is_a_turn_to_take" in shop.refused("run-1")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.dictionaries(st.integers(1, 4), st.sampled_from("ab"), max_size=3)),
        st.tuples(st.just("publish unloadable"), st.dictionaries(st.integers(1, 4), st.sampled_from("ab"), max_size=2)),
        st.tuples(st.just("load"), st.none()),
        st.tuples(st.just("prepare"), st.none()),
        st.tuples(st.just("run a prepared one"), st.integers(0, 3)),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    steps=[
        ("publish", {1: "a", 2: "a"}), ("load", None), ("publish", {1: "b", 2: "a"}), ("prepare", None),
        ("publish", {1: "a"}), ("load", None), ("run a prepared one", 0),
    ]
)  # fmt: skip
@given(steps=steps)
def test_whatever_comes_before_what_the_warehouse_holds_the_newest_version_that_it_says_it_has(
    shop: Shop, steps: list[tuple[str, Any]]
) -> None:
    """A load that was prepared may be run late, again, or never: then its execution was killed."""
    shop.begin_anew()
    prepared: list[Load] = []
    for step, given_ in steps:
        match step:
            case "publish":
                shop.publish(given_)
            case "publish unloadable":
                shop.publish({**given_, 9: "longer than the column"})
            case "load":
                shop.refused(f"run-{next(_names)}")
            case "prepare" if shop.newest > shop.loaded():
                prepared.append(shop.prepare(f"run-{next(_names)}"))
            case "run a prepared one" if prepared:
                # Refused or not: what it leaves behind is what counts.
                with suppress(QueryError):
                    shop.run(prepared[given_ % len(prepared)])
        shop.assert_holds(shop.loaded())
    shop.refused(f"run-{next(_names)}")
    newest = shop.publish({1: "last"})
    assert shop.refused(f"run-{next(_names)}") == ""
    shop.assert_holds(newest)
