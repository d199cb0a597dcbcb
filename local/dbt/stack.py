"""The warehouse of the local stack as dbt finds it: what is there of gold, and in whose name marts are built."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.client import Client
from headwater.deploy.project import load_project
from headwater.errors import HeadwaterError
from headwater.warehouse.data_api import Rows
from local.dbt.project import Warehouse
from local.stack import ROOT, Stack


@dataclass(frozen=True)
class StackWarehouse:
    """A stack that is up, whose warehouse holds what a run has loaded."""

    stack: Stack
    client: Client

    @classmethod
    def of(cls, stack: Stack) -> StackWarehouse:
        """Opens the stack's; HeadwaterError says what has to come first."""
        stack.require_own()
        stack.use()
        found = cls(stack, Client(stack.deployment()))
        found.require_run()
        return found

    def require_run(self) -> None:
        """HeadwaterError unless a run has loaded a table of gold."""
        if "load_ledger" not in self.relations("etl"):
            raise HeadwaterError(
                "nothing is deployed to the local stack. hint: headwater deploy, then headwater run --wait"
            )
        if not self.ask("SELECT 1 FROM etl.load_ledger LIMIT 1").rows:
            raise HeadwaterError("no run has loaded the warehouse yet. hint: headwater run --wait")

    @property
    def place(self) -> Warehouse:
        """Where dbt builds."""
        environment = self.client.project.environment
        return Warehouse(
            self.stack.warehouse, environment.warehouse.database, f"IAMR:{self.client.deployment.modeller}"
        )

    def ask(self, sql: str) -> Rows:
        """Asks the Data API."""
        return self.client.query("redshift", sql)

    def relations(self, schema: str) -> set[str | None]:
        """Names the tables and views of a schema."""
        return {name for [name] in self.ask(f"SELECT table_name FROM svv_tables WHERE table_schema = '{schema}'").rows}

    def missing(self) -> list[str]:
        """Names the gold tables that this stack's sources cannot fill."""
        return sorted(load_project(ROOT, "local").gold.keys() - self.relations("analytics"))
