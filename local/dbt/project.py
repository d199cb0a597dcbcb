"""The dbt project, run: dbt-postgres builds and tests it in a warehouse, dbt-redshift compiles it without one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import HeadwaterError
from local.dbt.installation import program
from local.postgres import PostgresServer

PROJECT = Path(__file__).resolve().parents[2] / "dbt"


class DbtError(HeadwaterError):
    """dbt could not do what it was asked, or a test of a model has failed; dbt has printed which."""


@dataclass(frozen=True)
class Model:
    """A model as dbt has compiled it for Redshift: its SELECT, and the relation that it is built as."""

    name: str
    select: str
    relation: str


@dataclass(frozen=True)
class Warehouse:
    """Where dbt builds: a server, a database of it, and the user of the warehouse in whose name."""

    server: PostgresServer
    database: str
    user: str

    def variables(self) -> dict[str, str]:
        """What dbt/profiles.yml takes from the environment; what begins with DBT_ENV_SECRET dbt keeps out of its logs."""
        return {
            "HEADWATER_DBT_PORT": str(self.server.port),
            "HEADWATER_DBT_USER": self.server.user,
            "DBT_ENV_SECRET_HEADWATER": self.server.password,
            "HEADWATER_DBT_DATABASE": self.database,
            "HEADWATER_DBT_ROLE": self.user,
        }


@dataclass(frozen=True)
class DbtProject:
    """A dbt project, and the folder for what dbt writes: `local/` of a warehouse, `aws/` of Redshift."""

    warehouse: Warehouse
    out: Path
    folder: Path = PROJECT

    def build(self, without: Iterable[str] = ()) -> None:
        """Builds and tests all models but those of some gold tables; DbtError where a test fails."""
        self._run("local", "build", *_excluded(f"source:gold.{table}+" for table in without))

    def test(self) -> None:
        """Tests what is built; DbtError where a test fails."""
        self._run("local", "test")

    def freshness(self, without: Iterable[str] = ()) -> None:
        """Asks the audit how fresh the sources are; DbtError where no run has succeeded in time."""
        self._run("local", "source", "freshness", *_excluded(f"source:gold.{table}" for table in without))

    def for_redshift(self) -> list[Model]:
        """Compiles all models as dbt does it on AWS, for which it asks no warehouse."""
        self._run("aws", "compile", "--select", "resource_type:model", "--no-populate-cache", "--no-introspect")
        nodes: Mapping[str, dict[str, str]] = json.loads((self.out / "aws" / "manifest.json").read_text())["nodes"]
        return [
            Model(node["name"], node["compiled_code"], f"{node['schema']}.{node['alias']}")
            for node in nodes.values()
            if node["resource_type"] == "model"
        ]

    def _run(self, target: str, *arguments: str) -> None:
        places = ["--project-dir", str(self.folder), "--profiles-dir", str(self.folder), "--target", target]
        written = ["--target-path", str(self.out / target), "--log-path", str(self.out / target)]
        command = [str(program()), *arguments, *places, *written]
        environment = {**os.environ, **self.warehouse.variables()}
        done = subprocess.run(command, env=environment, check=False, cwd=self.folder)
        if done.returncode != 0:
            raise DbtError(
                f"dbt {' '.join(arguments[:2])} failed. hint: what it printed, and {self.out / target}/dbt.log"
            )


def _excluded(selected: Iterable[str]) -> list[str]:
    given = list(selected)
    return ["--exclude", *given] if given else []
