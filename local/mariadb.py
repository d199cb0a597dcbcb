"""A MariaDB server on TCP: the local stand-in for RDS MySQL, with the machine's programs or those that setup has fetched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from local import mariadb_programs
from local.database_server import HOST, UNPRIVILEGED_USER, DatabaseServer, unprivileged
from local.mariadb_programs import MariaDbError

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_CONFIGURATION = {
    "bind-address": HOST,
    # Relative to the data directory: a socket's path must not be longer than 107 characters.
    "socket": "server.sock",
    # A shop's server lives in the shop's zone. Whoever reads it has to cope.
    "default-time-zone": "-05:00",
    "character-set-server": "utf8mb4",
    # Old applications write '0000-00-00', which strict modes refuse.
    "sql-mode": "NO_ENGINE_SUBSTITUTION",
    "skip-name-resolve": "ON",
    # Since 11.4 a server makes a key for TLS at every start, which takes seconds of a processor; nobody asks for TLS on loopback.
    "ssl": "OFF",
    "innodb-buffer-pool-size": "64M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-fast-shutdown": "2",
    "performance-schema": "OFF",
    "max-allowed-packet": "64M",
}

# Kept for as long as this process lives: a child must be reaped by its parent, or it looks alive without end.
_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class MariaDbServer(DatabaseServer):
    """One MariaDB instance."""

    user: str = "shop"
    password: str = "local-shop-password"  # noqa: S105 - loopback only
    database: str = "payments"

    def start(self) -> None:
        """Starts the server, with new system tables where there are none; a running one stays as it is."""
        if not (self.data_dir / "mysql").exists():
            self._create_system_tables()
        if self.is_running():
            return
        # In its own folder: it holds the password, which nothing else of a stack may.
        setup = self.data_dir / "setup.sql"
        setup.write_text(
            f"CREATE DATABASE IF NOT EXISTS `{self.database}`;\n"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'{HOST}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON `{self.database}`.* TO '{self.user}'@'{HOST}';\n"
        )
        programs = mariadb_programs.find()
        settings = {
            **_CONFIGURATION,
            **programs.settings,
            "datadir": self.data_dir,
            "port": self.port,
            "pid-file": self._pid_file,
        }
        settings |= {"init-file": setup, "log-error": self.log}
        options = [f"--{name}={value}" for name, value in settings.items()]
        process = subprocess.Popen(
            [*unprivileged(), programs.server, "--no-defaults", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _started[process.pid] = process
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MariaDbError(
                    f"mariadbd in {self.data_dir} does not answer on port {self.port}\n{self._written()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops the server of this data directory, whoever started it."""
        pid = self._pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._pid() is not None:
            if time.monotonic() > deadline:
                raise MariaDbError(f"mariadbd in {self.data_dir} (pid {pid}) does not stop\n{self._written()}")
            time.sleep(0.05)

    def is_running(self) -> bool:
        """True while a server runs in this data directory."""
        return self._pid() is not None

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """Connects as the one user, in UTC, several statements at a time allowed."""
        return pymysql.connect(
            host=HOST,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.database,
            charset="utf8mb4",
            init_command="SET time_zone = '+00:00'",
            client_flag=CLIENT.MULTI_STATEMENTS,
            **options,
        )

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "server.pid"

    def _pid(self) -> int | None:
        """The process of the server while it lives; a number from an old file may be another process's by now."""
        try:
            pid = int(self._pid_file.read_text())
            if pid in _started and _started[pid].poll() is not None:
                return None
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if f"--datadir={self.data_dir}".encode() in command else None

    def _answers(self) -> bool:
        try:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT @@datadir")
                [folder] = cursor.fetchone() or ("",)
        except pymysql.err.OperationalError:
            return False
        # On a port that both were given, it may be another stack's server.
        return Path(folder) == self.data_dir

    def _create_system_tables(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.data_dir.mkdir(parents=True)
        self.log.touch()
        programs = mariadb_programs.find()
        options = [f"--{name}={value}" for name, value in programs.settings.items()]
        options += ["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"]
        if os.geteuid() == 0:
            shutil.chown(self.data_dir, UNPRIVILEGED_USER)
            shutil.chown(self.log, UNPRIVILEGED_USER)
            options.append(f"--auth-root-socket-user={UNPRIVILEGED_USER}")
        done = subprocess.run(
            [*unprivileged(), programs.install_db, "--no-defaults", f"--datadir={self.data_dir}", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if done.returncode != 0:
            shutil.rmtree(self.data_dir, ignore_errors=True)
            raise MariaDbError(f"mariadb-install-db in {self.data_dir}: {(done.stderr or done.stdout).strip()[-2000:]}")

    def _written(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
