"""The local stack: two PostgreSQL servers, the AWS gateway and the simulators, started and stopped by process id."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path

from headwater.config import Environment, Project, SourceOverride
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import load_environment, load_project, restricted
from headwater.errors import HeadwaterError
from local import query_api, world
from local.counterparts import COUNTERPARTS, Counterpart, Place
from local.deploy import deploy, put_secrets
from local.postgres import PostgresServer
from local.processes import Program, listener, listens

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
_SOURCES_FILE = "sources.json"
SEED = 20170101
_RDS_PASSWORD = "local-shop-password"  # noqa: S105 - a server on 127.0.0.1 that holds made-up and public data
_WAREHOUSE_PASSWORD = "local-warehouse-password"  # noqa: S105 - likewise


@cache
def _declared() -> Project:
    """What this checkout declares for environment local, read once a process."""
    return load_project(ROOT, "local")


@dataclass(frozen=True)
class Ports:
    """The TCP ports on 127.0.0.1; each can be changed by HEADWATER_<NAME>_PORT."""

    aws: int = 4566
    rds: int = 55432
    warehouse: int = 55439
    simulators: int = 4570

    @classmethod
    def from_environment(cls) -> Ports:
        """Reads the ports from the process environment."""
        return cls(**{n: int(os.environ.get(f"HEADWATER_{n.upper()}_PORT", v)) for n, v in asdict(cls()).items()})


@dataclass(frozen=True)
class Stack:
    """One local stack: its folder, its ports, and the sources it holds; all that are declared unless it is told which."""

    home: Path
    ports: Ports
    sources: frozenset[str] | None = None

    @classmethod
    def default(cls) -> Stack:
        """The stack of this checkout, in build/local unless HEADWATER_HOME says otherwise, with the sources it was started with."""
        home = Path(os.environ.get("HEADWATER_HOME", ROOT / "build" / "local"))
        kept = home / _SOURCES_FILE
        sources = json.loads(kept.read_text()) if kept.exists() else None
        return cls(home, Ports.from_environment(), None if sources is None else frozenset(sources))

    @property
    def rds(self) -> PostgresServer:
        """The server that stands in for RDS."""
        return PostgresServer(self.home / "rds", self.ports.rds, "shop", _RDS_PASSWORD, "shop")

    @property
    def warehouse(self) -> PostgresServer:
        """The server that stands in for Redshift."""
        return PostgresServer(self.home / "warehouse", self.ports.warehouse, "headwater", _WAREHOUSE_PASSWORD)

    @property
    def rds_dsn(self) -> str:
        """libpq connection string of the shop's database."""
        return self.rds.dsn

    @property
    def warehouse_dsn(self) -> str:
        """libpq connection string of the warehouse's database."""
        return self.warehouse.dsn

    @property
    def aws_endpoint(self) -> str:
        """URL of the AWS API."""
        return f"http://127.0.0.1:{self.ports.aws}"

    @property
    def simulators_url(self) -> str:
        """URL of the simulators."""
        return f"http://127.0.0.1:{self.ports.simulators}"

    @property
    def outbox(self) -> Path:
        """Folder of the alerts that were sent."""
        return self.home / "outbox"

    def holds(self, source: str) -> bool:
        """True when the stack holds a source."""
        return self.sources is None or source in self.sources

    def counterparts(self) -> list[Counterpart]:
        """The systems that the stack's sources read."""
        place = Place(self.home, self.rds_dsn, self.warehouse_dsn, self.aws_endpoint, self.simulators_url)
        return [make(place) for source, make in COUNTERPARTS.items() if self.holds(source)]

    def endpoints(self) -> dict[str, str]:
        """Lists every address of the stack."""
        sources = {name: url for counterpart in self.counterparts() for name, url in counterpart.endpoints().items()}
        queries = query_api.address(self.aws_endpoint, self.deployment()) if self.is_up() else None
        return {
            **sources,
            **({"query_api": queries} if queries else {}),
            "aws": self.aws_endpoint,
            "warehouse": self.warehouse_dsn,
            "simulators_admin": f"{self.simulators_url}/_admin",
            "outbox": str(self.outbox),
        }

    def environment(self) -> Environment:
        """Loads environment local, pointed at this stack's simulators."""
        environment = load_environment(ROOT, "local")
        declared = environment.sources
        overrides = {
            counterpart.source: declared.get(counterpart.source, SourceOverride()).model_copy(update=change)
            for counterpart in self.counterparts()
            if (change := dict(counterpart.override()))
        }
        return environment.model_copy(update={"sources": {**declared, **overrides}})

    def project(self) -> Project:
        """Loads the project of environment local, pointed at this stack's simulators."""
        project = _declared().model_copy(update={"environment": self.environment()})
        return project if self.sources is None else restricted(project, self.sources)

    def deployment(self) -> Deployment:
        """The environment local, as deployed to this stack."""
        return Deployment(self.project(), ROOT)

    def use(self) -> None:
        """Points this process's AWS session at the gateway."""
        os.environ |= {
            "AWS_ENDPOINT_URL": self.aws_endpoint,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": load_environment(ROOT, "local").region,
        }

    def deploy(self, deployment: Deployment | None = None, provision: Callable[[Deployment], None] = deploy) -> None:
        """Deploys environment local, or another one of the same sources, to this stack, and fills its secrets and sources.

        `provision` makes what the environment consists of: through the AWS API, unless it is told another way.
        """
        self.use()
        deployment = deployment or self.deployment()
        self.warehouse.create_database(deployment.project.environment.warehouse.database)
        provision(deployment)
        put_secrets(deployment.prefix, {**self._secrets(), **query_api.keys(deployment)})
        self._seed_counterparts()

    def _secrets(self) -> dict[str, dict[str, str]]:
        secrets = {counterpart.source: counterpart.secret() for counterpart in self.counterparts()}
        return {source: dict(secret) for source, secret in secrets.items() if secret is not None}

    def _seed_counterparts(self) -> None:
        """Fills what has not been filled: some counterparts are filled through entrances that exist once all is deployed."""
        for counterpart in self.counterparts():
            seeded = self.home / f"{counterpart.source}.seeded"
            if not seeded.exists():
                counterpart.deliver(None, self.clock())
                seeded.touch()

    def advance(self, days: int, seed: int) -> world.Truth:
        """Moves the world on, and every counterpart with it."""
        since = self.clock()
        truth = world.advance(self.rds_dsn, days, seed)
        for counterpart in self.counterparts():
            counterpart.deliver(since, self.clock())
        return truth

    def clock(self) -> date:
        """Today's date in the world."""
        return world.clock(self.rds_dsn)

    def move_clock(self, seconds: float) -> None:
        """Moves the gateway's clock on, as fast as what works on the way lets it."""
        body = json.dumps({"seconds": seconds}).encode()
        url = f"{self.aws_endpoint}/_headwater/clock"
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=30):  # noqa: S310 - our own
            pass

    def _is_seeded(self) -> bool:
        try:
            self.clock()
        except world.NoWorldError:
            return False
        return True

    def is_up(self) -> bool:
        """True when the gateway answers."""
        return _answers(f"{self.aws_endpoint}/_headwater/health")

    def require_own(self) -> None:
        """HeadwaterError unless the gateway that answers belongs to this stack: ports are the machine's, a home a checkout's."""
        if not self.is_up():
            raise HeadwaterError("the local stack is down. hint: headwater up && headwater deploy")
        home = _home_of(f"{self.aws_endpoint}/_headwater/health")
        if home != str(self.home.resolve()):
            raise HeadwaterError(
                f"port {self.ports.aws} has the local stack of {home or 'an older version'}, and this one is of "
                f"{self.home.resolve()}; nothing was done. hint: headwater down there, or other ports here: HEADWATER_AWS_PORT, "
                "HEADWATER_RDS_PORT, HEADWATER_WAREHOUSE_PORT, HEADWATER_SIMULATORS_PORT"
            )

    def _require_free_ports(self) -> None:
        if self.is_up():
            self.require_own()
        own = {
            "aws": lambda: self.is_up() or self._gateway.runs(),
            "rds": self.rds.is_running,
            "warehouse": self.warehouse.is_running,
            "simulators": self._simulators.runs,
        }
        for name, port in asdict(self.ports).items():
            if listens(port) and not own[name]():
                raise HeadwaterError(
                    f"port {port} ({name}) is taken by {listener(port)}; nothing was started. hint: end it, or set "
                    f"HEADWATER_{name.upper()}_PORT"
                )

    def _simulators_answer(self) -> bool:
        return _answers(f"{self.simulators_url}/_admin/requests")

    @property
    def _gateway(self) -> Program:
        return Program("gateway", self.home / "logs")

    @property
    def _simulators(self) -> Program:
        return Program("simulators", self.home / "logs")

    def up(self, step: Callable[[str], None] = lambda _: None, households: int | None = None) -> None:
        """Starts what is not running, seeds the world if it is new, and waits until everything answers.

        HeadwaterError, and nothing is started, when another program has one of the ports.
        """
        self._require_free_ports()
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / _SOURCES_FILE).write_text(json.dumps(None if self.sources is None else sorted(self.sources)))
        step("databases")
        self.rds.start()
        self.warehouse.start()
        step("gateway")
        # The gateway comes first: its Spark workers warm up while the world is seeded.
        if not self.is_up():
            workers = os.environ.get("HEADWATER_WORKERS", "2")
            arguments = ["--port", str(self.ports.aws), "--home", str(self.home), "--workers", workers]
            arguments += ["--warehouse-dsn", self.warehouse_dsn]
            self._gateway.launch([sys.executable, "-m", "local.gateway", *arguments], ROOT)
        if not self._is_seeded():
            step("world")
            world.seed(self.rds_dsn, SEED, households=households)
        step("simulators")
        if not self._simulators_answer():
            arguments = [
                "--port",
                str(self.ports.simulators),
                "--dsn",
                self.rds_dsn,
                "--state",
                str(self.home / "simulators"),
            ]
            self._simulators.launch([sys.executable, "-m", "local.simulators", *arguments], ROOT)
        self._gateway.wait(self.is_up, START_SECONDS)
        for counterpart in self.counterparts():
            step(counterpart.source)
            counterpart.start()
        self._simulators.wait(self._simulators_answer, START_SECONDS)

    def down(self) -> None:
        """Stops everything that `up` started, by process id."""
        for counterpart in self.counterparts():
            counterpart.stop()
        for program in (self._simulators, self._gateway):
            program.stop()
        for server in (self.rds, self.warehouse):
            server.stop()

    def wipe(self) -> None:
        """Forgets everything the stack has written; the stack must be down."""
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def running(stack: Stack, households: int | None = None) -> Iterator[Stack]:
    """Runs a stack for the length of the block."""
    try:
        stack.up(households=households)
        yield stack
    finally:
        stack.down()


def _home_of(url: str) -> str | None:
    """The home that a gateway says it has; None when it says none."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
        said: str | None = json.load(answer).get("home")
    return said


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
