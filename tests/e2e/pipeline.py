"""One deployed environment and its faults, as the end-to-end tests drive them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from headwater.client import Client, MaintainState, RunState, run_input
from headwater.config import Environment
from local.postgres import free_port
from local.proofs import went_well
from local.stack import Ports, Stack, running


@contextmanager
def own_stack(home: Path, households: int, sources: frozenset[str] | None = None) -> Iterator[Stack]:
    """A running stack on ports of its own, with some of the sources or with all, which this process speaks to."""
    ports = Ports(free_port(), free_port(), free_port(), free_port())
    with running(Stack(home, ports, sources), households) as stack:
        stack.use()
        yield stack


def renamed(environment: Environment, name: str) -> Environment:
    """The environment under another name, with a warehouse of its own: another one beside it on the same stack."""
    prefix = f"headwater-{name}"
    own = {"workgroup": prefix, "database": name, "copy_role": f"arn:aws:iam::{environment.account}:role/{prefix}-copy"}
    return environment.model_copy(update={"prefix": prefix, "warehouse": environment.warehouse.model_copy(update=own)})


class Pipeline:
    """One deployed environment, driven as a person would drive it."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self.stack = stack
        self.client = client

    def run(self, *sources: str, start_from: str | None = None) -> RunState:
        """Runs to the end and describes the run."""
        run_id = self.client.start(run_input(sources, start_from, None, self.stack.clock()))
        return self.client.wait(run_id)

    def run_well(self, *sources: str, start_from: str | None = None) -> RunState:
        """Runs to the end, which leaves nothing undone but files that nobody could read."""
        found = self.run(*sources, start_from=start_from)
        assert went_well(found), f"{found.error}: {found.cause}"
        return found

    def maintain(self) -> MaintainState:
        """Runs Maintain to the end and describes its job run."""
        return self.client.wait_for_maintain(self.client.start_maintain())

    def content(self, *names: str) -> dict[str, tuple[int, int]]:
        """Rows and an order-free content hash of every table of every zone and of the warehouse whose name begins so."""
        begins = names or ("",)
        tables = {}
        for zone in ("bronze", "silver", "gold", "quarantine"):
            for name in self.client.project.table_paths(zone):
                table = self.table(f"{zone}/{name}") if f"{zone}/{name}".startswith(begins) else None
                if table is not None:
                    tables[f"{zone}/{name}"] = _content(table, _KNOWN if name in self.client.project.identities else ())
        for name in self.client.project.gold:
            if f"warehouse/{name}".startswith(begins):
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
        """Reads the alerts that runs sent."""
        return [message for message in self._messages() if message["subject"]]

    def bad_ends(self) -> list[str]:
        """Reads what was told of runs from outside, which have no subject."""
        return [message["message"] for message in self._messages() if not message["subject"]]

    def _messages(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.stack.outbox.glob("*.json"))]


# When Headwater came to know who is whom is the time of a run.
_KNOWN = ("valid_from", "valid_to")


def _content(table: DeltaTable, left_out: Collection[str] = ()) -> tuple[int, int]:
    data = table.to_pyarrow_dataset()
    # Where a row came from differs from run to run by nature: run ids, file names and places in files are no content.
    places = {"_file", "_file_row", "raw_file", "run_id", *left_out}
    columns = ", ".join(f'"{name}"' for name in data.schema.names if name not in places)
    with duckdb.connect() as connection:
        connection.register("data", data)
        [found] = connection.execute(
            f"SELECT count(*), coalesce(sum(hash(row)::HUGEINT), 0) FROM (SELECT row({columns})::VARCHAR AS row FROM data)"
        ).fetchall()
    return int(found[0]), int(found[1])


class Faults:
    """The gateway's and the simulators' faults."""

    def __init__(self, stack: Stack) -> None:
        self._gateway = f"{stack.aws_endpoint}/_headwater/faults"
        self._simulators = f"{stack.simulators_url}/_admin/misbehave"

    def arm(self, **fault: Any) -> None:
        send("POST", self._gateway, fault)

    def kill(self, job: str, path: str, when: str = "before") -> None:
        """Kills a job's worker at its first PUT to a path."""
        self.arm(method="PUT", path=path, when=when, action="kill", job=job)

    def misbehave(self, **rule: Any) -> None:
        send("POST", self._simulators, rule)

    def fail_the_retry(self, prefix: str, job: str) -> None:
        """Lets a job's first run read its project, and no other until the faults are cleared."""
        self.arm(method="GET", path=f"/{prefix}-artifacts/project.json", job=job, action="deny", skip=1, times=100)

    def fired(self, action: str) -> int:
        """Counts how often the gateway's faults in force have done this."""
        return sum(fault["fired"] for fault in self._armed() if fault["action"] == action)

    def each_fired(self) -> list[int]:
        """Counts how often each of the gateway's faults in force has struck, in the order in which they were armed."""
        return [fault["fired"] for fault in self._armed()]

    def _armed(self) -> list[dict[str, Any]]:
        return send("GET", self._gateway)["faults"]

    def clear(self) -> None:
        send("DELETE", self._gateway)
        send("DELETE", self._simulators)


def send(method: str, url: str, body: Any = None) -> Any:
    """Speaks JSON with a page of the stack's own."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None
