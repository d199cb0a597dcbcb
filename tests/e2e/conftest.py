"""One local stack with a small world for all end-to-end tests; each test moves the world on and looks at what comes of it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from headwater.client import Client, run_input
from headwater.deployment import Deployment
from local import world
from local.postgres import free_port
from local.stack import ROOT, Ports, Stack, running

HOUSEHOLDS = 60
SOURCES = frozenset({"facebook_ads", "fx_rates", "rds_postgres"})
"""Sources of the gold tables that these tests prove; tests/contract holds every source to its contract."""


class Pipeline:
    """One deployed environment, driven as a person would drive it."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client

    def run(self, *sources: str, start_from: str | None = None) -> dict[str, Any]:
        """Runs to the end and describes the run."""
        run_id = self.client.start(run_input(sources, start_from, None, self.stack.clock()))
        return self.client.wait(run_id)

    def run_well(self, *sources: str, start_from: str | None = None) -> dict[str, Any]:
        """Runs to the end, which must be success."""
        found = self.run(*sources, start_from=start_from)
        assert found["status"] == "SUCCEEDED", f"{found['error']}: {found['cause']}"
        return found

    def maintain(self) -> dict[str, Any]:
        """Runs Maintain to the end and describes its job run."""
        return self.client.wait_for_maintain(self.client.start_maintain())

    def content(self) -> dict[str, tuple[int, int]]:
        """Rows and an order-free content hash of every table of every zone and of the warehouse."""
        tables = {}
        for zone in ("bronze", "silver", "gold", "quarantine"):
            for name in self.client.project.tables(zone):
                table = self.table(f"{zone}/{name}")
                if table is not None:
                    tables[f"{zone}/{name}"] = _content(table)
        for name in self.client.project.gold:
            rows = self.client.query("redshift", f"SELECT * FROM analytics.{name}").rows
            tables[f"warehouse/{name}"] = (len(rows), sum(hash(row) for row in rows))
        return tables

    def table(self, path: str) -> DeltaTable | None:
        """Opens a table of the lake; None before its first commit."""
        uri = f"s3://{self.client.project.environment.bucket('lake')}/{path}"
        storage = {
            "AWS_ENDPOINT_URL": self.stack.aws_endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": "eu-west-1",
            "AWS_ALLOW_HTTP": "true",
        }
        return DeltaTable(uri, storage_options=storage) if DeltaTable.is_deltatable(uri, storage) else None

    def alerts(self) -> list[dict[str, Any]]:
        """Reads the alerts that were sent."""
        return [json.loads(path.read_text()) for path in sorted(self.stack.outbox.glob("*.json"))]


def _content(table: DeltaTable) -> tuple[int, int]:
    data = table.to_pyarrow_dataset()
    # Where a row came from differs from run to run by nature: run ids and file names are no content.
    columns = ", ".join(f'"{name}"' for name in data.schema.names if name not in {"_file", "raw_file", "run_id"})
    with duckdb.connect() as connection:
        connection.register("data", data)
        [found] = connection.execute(
            f"SELECT count(*), coalesce(sum(hash(row)::HUGEINT), 0) FROM (SELECT row({columns})::VARCHAR AS row FROM data)"
        ).fetchall()
    return int(found[0]), int(found[1])


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home: Path = tmp_path_factory.mktemp("stack")
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    with running(Stack(home, ports, SOURCES), HOUSEHOLDS) as stack:
        stack.use()
        yield stack


@pytest.fixture(scope="session")
def pipeline(stack: Stack) -> Pipeline:
    """The whole pipeline, with its history."""
    stack.deploy()
    pipeline = Pipeline(stack, Client(stack.deployment()))
    pipeline.run_well()
    return pipeline


def _small(stack: Stack, name: str) -> Pipeline:
    """The pipeline over two streams of the shop, merged and SCD2, under a name of its own."""
    project = stack.project()
    shop = project.sources["rds_postgres"]
    streams = {stream: shop.streams[stream] for stream in ("customers", "orders")}
    warehouse = project.environment.warehouse.model_copy(update={"database": name})
    project = project.model_copy(
        update={
            "environment": project.environment.model_copy(
                update={"prefix": f"headwater-{name}", "warehouse": warehouse}
            ),
            "sources": {"rds_postgres": shop.model_copy(update={"streams": streams})},
            "quality": {table: project.quality[table] for table in streams},
            "gold": {"customer_analytics": project.gold["customer_analytics"]},
        }
    )
    deployment = Deployment(project, ROOT)
    stack.deploy(deployment)
    pipeline = Pipeline(stack, Client(deployment))
    pipeline.run_well()
    return pipeline


@pytest.fixture(scope="session")
def small(stack: Stack) -> Pipeline:
    """A small pipeline, to which tests do bad things."""
    return _small(stack, "small")


@pytest.fixture(scope="session")
def control(stack: Stack) -> Pipeline:
    """Its twin, to which nothing bad happens."""
    return _small(stack, "control")


@pytest.fixture
def moved_on(stack: Stack) -> world.Truth:
    """The world, one day later."""
    return stack.advance(1, 11)


class Faults:
    """The gateway's and the simulators' ways to misbehave."""

    def __init__(self, stack: Stack) -> None:
        self._gateway = f"{stack.aws_endpoint}/_headwater/faults"
        self._simulators = f"{stack.simulators_url}/_admin/misbehave"

    def arm(self, **fault: Any) -> None:
        _send("POST", self._gateway, fault)

    def misbehave(self, **misbehaviour: Any) -> None:
        _send("POST", self._simulators, misbehaviour)

    def fail_the_retry(self, prefix: str, job: str) -> None:
        """Lets a job's first run read its project, and no other until the faults are cleared."""
        self.arm(method="GET", path=f"/{prefix}-artifacts/project.json", job=job, action="error", skip=1, times=100)

    def kills(self) -> int:
        """Workers that were killed by the faults in force."""
        return sum(fault["fired"] for fault in self._armed() if fault["action"] == "kill")

    def fired(self) -> int:
        return sum(fault["fired"] for fault in self._armed())

    def _armed(self) -> list[dict[str, Any]]:
        return _send("GET", self._gateway)["faults"]

    def clear(self) -> None:
        _send("DELETE", self._gateway)
        _send("DELETE", self._simulators)


def _send(method: str, url: str, body: Any = None) -> Any:
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


@pytest.fixture
def faults(stack: Stack) -> Iterator[Faults]:
    faults = Faults(stack)
    yield faults
    faults.clear()
