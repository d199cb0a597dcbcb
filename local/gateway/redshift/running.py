"""Statements that really run on PostgreSQL, in threads, each in a session of its own.

A batch is one transaction, as in Redshift; isolation is Redshift's default, snapshot isolation.
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
from moto.redshiftdata.exceptions import ValidationException
from psycopg.conninfo import make_conninfo

from local.gateway import faults
from local.gateway.clock import CLOCK
from local.gateway.redshift.copy import copy
from local.gateway.redshift.executions import ENDED, Execution, Result
from local.gateway.redshift.functions import ASSUMEROLE, COMPATIBILITY_FUNCTIONS, COMPATIBILITY_SCHEMA
from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.results import query
from local.gateway.redshift.said import said
from local.gateway.redshift.sleep import Sleep
from local.gateway.redshift.sql import Kind, Statement, translate
from local.gateway.redshift.table import Session
from local.gateway.redshift.unload import unload
from local.gateway.redshift.users import Users
from local.gateway.s3_objects import S3Objects
from local.gateway.settings import GatewaySettings

_SESSIONS = 8
_PATIENCE_SECONDS = 5.0
_SESSION_SETTINGS = f'-c search_path="$user",public,{COMPATIBILITY_SCHEMA} -c timezone=UTC -c intervalstyle=postgres'


class Warehouse:
    """Runs statements against the PostgreSQL that stands in for Redshift."""

    def __init__(self, settings: GatewaySettings, users: Users) -> None:
        if settings.warehouse_dsn is None:
            raise ValueError("the Data API needs warehouse_dsn")
        self._dsn = settings.warehouse_dsn
        self._users = users
        self._objects = S3Objects(settings)
        self._threads = ThreadPoolExecutor(_SESSIONS, thread_name_prefix="redshift")
        self._lock = threading.Lock()
        self._prepared: set[str] = set()
        self._sleep = Sleep()

    def close(self) -> None:
        """Waits for running statements and ends the threads."""
        self._threads.shutdown()

    def submit(self, execution: Execution) -> None:
        """Runs a statement or a batch in a thread; while its workgroup wakes, it is SUBMITTED."""
        CLOCK.enter()
        self._threads.submit(self._counted_run, execution)

    def cancel(self, execution: Execution) -> None:
        """Ends a running statement; a batch is rolled back as a whole."""
        if execution.status in ENDED:
            raise ValidationException(
                f"Could not cancel a query that is already in {execution.status} state with ID: {execution.id}"
            )
        execution.cancelled = True
        CLOCK.wake()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not execution.ended.wait(0.02) and time.monotonic() < deadline:
            # A cancel between two commands of a session is lost, so it is repeated.
            if execution.session is not None and not execution.session.closed:
                execution.session.cancel_safe(timeout=_PATIENCE_SECONDS)

    def _counted_run(self, execution: Execution) -> None:
        try:
            with self._sleep.awake(str(execution.request.get("WorkgroupName")), lambda: not execution.cancelled):
                self._run(execution)
        finally:
            CLOCK.leave()

    def _run(self, execution: Execution) -> None:
        began = time.monotonic_ns()
        execution.move("STARTED")
        error: str | None = None
        try:
            user = self._users.login(execution.request, execution.principal)
            with self._session(execution.request.get("Database"), user) as session:
                execution.session = session
                execution.process_id = session.info.backend_pid
                self._run_parts(execution, session)
                if execution.is_batch:
                    faults.hit("redshift.after_commit")
        except faults.InjectedFault:
            error = "connection lost"
        except (RedshiftError, psycopg.Error) as refused:
            error = said(refused)
        except Exception as crash:  # noqa: BLE001 - a defect of the gateway must end the statement, not leave it running
            error = f"ERROR: local warehouse: {crash!r}"
        execution.duration_ns = time.monotonic_ns() - began
        if error is None:
            execution.move("FINISHED")
            return
        status = "ABORTED" if execution.cancelled else "FAILED"
        for part in execution.parts:
            if part.status in {"SUBMITTED", "STARTED"}:
                part.move("ABORTED" if part.status == "SUBMITTED" or execution.cancelled else "FAILED", None)
        execution.move(status, error)

    def _run_parts(self, execution: Execution, session: Session) -> None:
        for part in execution.parts:
            if execution.cancelled:
                raise RedshiftError("Query cancelled on user's request")
            part.move("STARTED")
            began = time.monotonic_ns()
            try:
                statement = translate(part.sql, execution.parameters)
                if statement.kind is Kind.VACUUM and execution.is_batch:
                    raise RedshiftError("VACUUM cannot run inside a transaction block")
                part.rows, part.result = self._carry_out(session, statement)
                if not execution.is_batch:
                    session.commit()
            except (RedshiftError, psycopg.Error) as refused:
                part.move("ABORTED" if execution.cancelled else "FAILED", said(refused))
                raise
            finally:
                part.duration_ns = time.monotonic_ns() - began
            part.move("FINISHED")
        session.commit()

    def _carry_out(self, session: Session, statement: Statement) -> tuple[int, Result | None]:
        match statement.kind:
            case Kind.COPY:
                return copy(session, statement.sql[0], self._objects), None
            case Kind.UNLOAD:
                return unload(session, statement.sql[0], self._objects), None
            case Kind.TRUNCATE:
                # TRUNCATE commits what came before it, and itself: a later error leaves the table empty.
                session.commit()
                session.execute(statement.sql[0].encode())
                session.commit()
                return 0, None
            case Kind.VACUUM:
                session.commit()
                session.autocommit = True
                session.execute(statement.sql[0].encode())
                session.autocommit = False
                return 0, None
            case Kind.LATE_BINDING_VIEW:
                self._replace_view(session, statement.sql[0])
                return 0, None
            case Kind.ACCEPTED:
                return 0, None
            case Kind.PLAIN:
                rows, result = 0, None
                for command in statement.sql:
                    done, result = query(session, command)
                    rows += done
                return rows, result

    def _replace_view(self, session: Session, command: str) -> None:
        """A late-binding view may be replaced by one with other columns; PostgreSQL needs it dropped first."""
        try:
            with session.transaction():
                session.execute(command.encode())
        except psycopg.errors.InvalidTableDefinition:
            name = re.search(r"(?i)VIEW\s+(\S+)", command)
            if name is None:
                raise
            session.execute(f"DROP VIEW {name.group(1)}".encode())
            session.execute(command.encode())

    def _session(self, database: str | None, user: str) -> Session:
        """A new session of a user; the server itself refuses a database that does not exist."""
        dsn = make_conninfo(self._dsn, **({"dbname": database} if database else {}), options=_SESSION_SETTINGS)
        with self._lock:
            if dsn not in self._prepared:
                with psycopg.connect(dsn) as session:
                    session.execute("SELECT pg_advisory_xact_lock(4566)")
                    found = session.execute("SELECT to_regnamespace(%s)", [COMPATIBILITY_SCHEMA]).fetchone()
                    if found == (None,):
                        session.execute(COMPATIBILITY_FUNCTIONS.encode())
                    session.execute(ASSUMEROLE.encode())
                self._prepared.add(dsn)
        session = psycopg.connect(make_conninfo(dsn, options=f"{_SESSION_SETTINGS} -c role={user}"))
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return session
