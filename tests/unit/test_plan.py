"""The plan of a deployment: read from the newest commits of a lake, and told before anything happens."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from headwater.config import Project
from headwater.config.definition import Definition, definition_of, gold_values
from headwater.desk.plan import Planned, planned
from headwater.ledger.bucket import Bucket
from headwater.ledger.schemas import Schemas
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject


class Lake:
    """A lake whose tables have nothing but logs."""

    def __init__(self, project: Project, ledger: Ledger) -> None:
        self.project, self.ledger = project, ledger
        self.bucket = project.environment.bucket("lake")
        place: Any = {"LocationConstraint": "eu-west-1"}
        ledger.bucket.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=place)

    def commit(
        self, table: str, version: int, operation: str = "MERGE", to: int | None = None, **metadata: Any
    ) -> None:
        info: dict[str, Any] = {"operation": operation, "operationParameters": {} if to is None else {"version": to}}
        if metadata:
            info["userMetadata"] = json.dumps(metadata)
        lines = [json.dumps({"commitInfo": info}, separators=(",", ":")), '{"add":{"path":"x"}}']
        self._put(f"{table}/_delta_log/{version:020d}.json", "\n".join(lines))

    def checkpoint(self, table: str, version: int) -> None:
        self._put(f"{table}/_delta_log/_last_checkpoint", json.dumps({"version": version}))
        self._put(f"{table}/_delta_log/{version:020d}.checkpoint.parquet", "")

    def _put(self, key: str, body: str) -> None:
        self.ledger.bucket.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())

    def plan(self) -> dict[tuple[str, str], Planned]:
        opened = OpenProject(self.project)
        opened.__dict__["ledger"] = self.ledger
        client: Any = SimpleNamespace(project=self.project, opened=opened)
        found = planned(client)
        assert found == planned(client)
        return {(one.zone, one.table): one for one in found}

    def definition(self, table: str, **changes: Any) -> dict[str, Any]:
        now = Definition.of(self.project, self.project.tables[table])
        return now.model_dump(mode="json") | changes


@pytest.fixture
def lake(project: Project, ledger: Ledger) -> Lake:
    return Lake(project, ledger)


def test_of_an_empty_lake_every_table_is_made(lake: Lake) -> None:
    assert {one.does for one in lake.plan().values()} == {"is made"}
    assert [key for key in lake.plan() if key[0] == "silver"] == [
        ("silver", name) for name in (*sorted(lake.project.tables), *sorted(lake.project.identities))
    ]


@pytest.mark.parametrize(
    ("changes", "does", "why"),
    [
        ({}, "nothing", ""),
        ({"key": ("order_id", "status")}, "rebuilds", "key is order_id, and was order_id, status"),
        ({"unfilled": ("status",)}, "nothing", "headwater rebuild orders fills status in the rows that are there"),
    ],
)
def test_a_silver_table_is_held_to_the_definition_in_its_newest_commit(
    lake: Lake, changes: dict[str, Any], does: str, why: str
) -> None:
    lake.commit("silver/orders", 0, definition=lake.definition("orders", version=None))
    lake.commit("silver/orders", 1, definition=lake.definition("orders", **changes))
    lake.commit("silver/orders", 2, "OPTIMIZE")
    assert lake.plan()["silver", "orders"] == Planned("silver", "orders", does, why)


def test_a_new_column_is_added_and_a_removed_stream_holds_a_rebuild_back(lake: Lake) -> None:
    told = lake.definition("orders")
    [column] = list(told["columns"])[-1:]
    lacking = {name: type_ for name, type_ in told["columns"].items() if name != column}
    lake.commit("silver/orders", 0, definition=lake.definition("orders", columns=lacking))
    added = lake.plan()["silver", "orders"]
    assert (added.does, added.why) == (
        "adds columns",
        f"column {column} is new; headwater rebuild orders fills {column} in the rows that are there",
    )
    streams = {**told["streams"], "shop.old": {"order": "version"}}
    lake.commit("silver/orders", 1, definition=lake.definition("orders", streams=streams, version=None))
    waits = lake.plan()["silver", "orders"]
    assert waits.why.endswith("waits for headwater rebuild orders, since rows of shop.old would go")


def test_a_table_that_was_restored_is_what_it_was_then(lake: Lake) -> None:
    lake.commit("silver/orders", 0, definition=lake.definition("orders"))
    lake.commit("silver/orders", 1, definition=lake.definition("orders", version=None))
    lake.commit("silver/orders", 2, "RESTORE", to=0)
    assert lake.plan()["silver", "orders"].does == "nothing"
    lake.commit("silver/orders", 3, "RESTORE", to=1)
    assert lake.plan()["silver", "orders"].does == "rebuilds"


def test_of_a_log_the_newest_commit_that_tells_something_is_read_and_no_other(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(20, 29):
        lake.commit("silver/orders", version, definition=lake.definition("orders", version=None))
    lake.checkpoint("silver/orders", 20)
    lake.commit("silver/orders", 29, definition=lake.definition("orders"))
    lake.commit("silver/orders", 30, "OPTIMIZE")
    asked: list[str] = []
    read = Bucket.read
    monkeypatch.setattr(Bucket, "read", lambda self, key: (asked.append(key), read(self, key))[1])
    assert lake.plan()["silver", "orders"].does == "nothing"
    assert {int(key[-25:-5]) for key in asked if key.startswith("silver/orders/_delta_log/0")} == {29, 30}


def test_what_an_earlier_version_has_written_is_taken_for_todays_and_its_types_for_what_was_noted(lake: Lake) -> None:
    lake.commit("silver/orders", 0, books=[])
    columns = [{"name": name, "type": column.type} for name, column in lake.project.tables["orders"].columns.items()]
    Schemas(lake.ledger.bucket).note("silver/orders", json.dumps({"columns": columns}))
    assert lake.plan()["silver", "orders"].does == "nothing"
    columns[0] |= {"type": {"type": "array", "elementType": "long"}}
    Schemas(lake.ledger.bucket).note("silver/orders", json.dumps({"columns": columns}))
    told = lake.plan()["silver", "orders"]
    assert (told.does, told.why) == ("rebuilds", f"column {columns[0]['name']} is bigint, and was array<bigint>")


def test_gold_is_rebuilt_by_another_definition_and_follows_a_silver_table_that_is(lake: Lake) -> None:
    declared = lake.project.gold["business_metrics"]
    values = gold_values(lake.project.environment)
    lake.commit("gold/business_metrics", 0, definition="other")
    assert lake.plan()["gold", "business_metrics"].does == "rebuilds"
    lake.commit("gold/business_metrics", 1, definition=definition_of(declared, values))
    assert lake.plan()["gold", "business_metrics"].does == "nothing"
    lake.commit("silver/orders", 0, definition=lake.definition("orders", version=None))
    follows = lake.plan()["gold", "business_metrics"]
    assert (follows.does, follows.why) == ("follows", "silver orders")


def test_who_is_whom_is_decided_anew_by_another_declaration_and_follows_a_member_that_is_rebuilt(lake: Lake) -> None:
    [(name, declared)] = lake.project.identities.items()
    members = sorted(member.table for member in declared.members.values())
    lake.commit(f"silver/{name}", 0, definition=declared.definition)
    assert lake.plan()["silver", name] == Planned("silver", name, "nothing", "")
    lake.commit(f"silver/{members[0]}", 0, definition=lake.definition(members[0], key=("other",)))
    assert lake.plan()["silver", name] == Planned("silver", name, "follows", f"silver {members[0]}")
    fewer = declared.model_copy(update={"links": declared.links[:-1]})
    lake.commit(f"silver/{name}", 1, definition=fewer.definition)
    why = f"config/identities/{name}.yaml is another"
    assert lake.plan()["silver", name] == Planned("silver", name, "rebuilds", why)


def test_what_is_declared_no_more_is_kept(lake: Lake) -> None:
    for table in (
        "silver/old",
        "gold/old",
        "bronze/rds_postgres/orders",
        "bronze/rds_postgres/old",
        "bronze/gone/rows",
    ):
        lake.commit(table, 0)
    kept = {key for key, one in lake.plan().items() if one.does == "is kept"}
    assert kept == {("silver", "old"), ("gold", "old"), ("bronze", "rds_postgres/old"), ("bronze", "gone/rows")}
    assert lake.plan()["silver", "old"].why == f"declared no more; to drop it, delete s3://{lake.bucket}/silver/old/"
