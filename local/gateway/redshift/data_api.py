"""The Redshift Data API over PostgreSQL: statements really run, in threads, each in a session of its own.

moto keeps statements but runs none, and knows no batch. A batch is one transaction here, as in Redshift; isolation is
Redshift's default, snapshot isolation.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from moto.redshiftdata.exceptions import ResourceNotFoundException, ValidationException
from moto.redshiftdata.responses import RedshiftDataAPIServiceResponse
from psycopg.conninfo import make_conninfo

from local.gateway import faults
from local.gateway.clock import CLOCK
from local.gateway.redshift.copy import copy
from local.gateway.redshift.sql import (
    COMPATIBILITY_FUNCTIONS,
    COMPATIBILITY_SCHEMA,
    Kind,
    RedshiftError,
    Statement,
    parameters_of,
    translate,
)
from local.gateway.redshift.table import Session
from local.gateway.redshift.unload import unload
from local.gateway.s3_objects import S3Objects
from local.gateway.settings import GatewaySettings

_MOST_STATEMENTS = 40
_ROWS_A_PAGE = 1_000
_STATEMENTS_A_PAGE = 100
_LARGEST_RESULT = 500 << 20
_SESSIONS = 8
_PATIENCE_SECONDS = 5.0
_SESSION_SETTINGS = f'-c search_path="$user",public,{COMPATIBILITY_SCHEMA} -c timezone=UTC -c intervalstyle=postgres'
_ENDED = {"FINISHED", "FAILED", "ABORTED"}
_LONG, _DOUBLE, _BOOLEAN = {"int2", "int4", "int8", "oid"}, {"float4", "float8"}, {"bool"}
_TYPE_NAMES = {
    "jsonb": "super",
    "json": "super",
    "text": "varchar",
    "bytea": "varbyte",
    "unknown": "varchar",
    "name": "varchar",
}
_Answer = tuple[int, dict[str, str], str]


@dataclass(frozen=True)
class _Result:
    """Columns and rows of a query, values as PostgreSQL writes them; None is NULL."""

    columns: list[dict[str, Any]]
    rows: list[list[bytes | None]]

    @property
    def size(self) -> int:
        return sum(len(value) for row in self.rows for value in row if value is not None)


@dataclass
class _SubStatement:
    """One SQL text and what became of it."""

    sql: str
    status: str = "SUBMITTED"
    error: str | None = None
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    duration_ns: int = 0
    rows: int = -1
    result: _Result | None = None
    query_id: int = field(default_factory=lambda: uuid.uuid4().int % 1_000_000_000)

    def move(self, status: str, error: str | None = None) -> None:
        self.status, self.error, self.updated = status, error, time.time()

    def describe(self) -> dict[str, Any]:
        described = {
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "Duration": self.duration_ns,
            "QueryString": self.sql,
            "RedshiftQueryId": self.query_id if self.status not in {"SUBMITTED", "ABORTED"} else -1,
            "ResultRows": self.rows,
            "ResultSize": self.result.size if self.result else -1 if self.rows < 0 else 0,
            "HasResultSet": self.result is not None,
        }
        return described | ({"Error": self.error} if self.error else {})


@dataclass
class _Execution:
    """One call of ExecuteStatement or BatchExecuteStatement."""

    request: dict[str, Any]
    parts: list[_SubStatement]
    is_batch: bool
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "SUBMITTED"
    error: str | None = None
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    duration_ns: int = 0
    cancelled: bool = False
    session: Session | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    process_id: int = 0

    def move(self, status: str, error: str | None = None) -> None:
        # The status is read without a lock: it changes last.
        self.error, self.updated = error, time.time()
        self.status = status
        if status in _ENDED:
            self.ended.set()

    @property
    def parameters(self) -> dict[str, str]:
        return {item["name"]: item["value"] for item in self.request.get("Parameters") or []}

    def accepted(self) -> dict[str, Any]:
        """The answer to the call that submits the statement."""
        names = ("ClusterIdentifier", "Database", "DbUser", "SecretArn", "WorkgroupName")
        return {"Id": self.id, "CreatedAt": self.created} | {
            name: self.request[name] for name in names if self.request.get(name) is not None
        }

    def describe(self) -> dict[str, Any]:
        """The answer to DescribeStatement."""
        described = self.accepted() | {"RedshiftPid": self.process_id}
        if self.is_batch:
            described["SubStatements"] = [
                {"Id": f"{self.id}:{number}", **part.describe()} for number, part in enumerate(self.parts, 1)
            ]
            described |= {
                "ResultRows": -1,
                "ResultSize": -1,
                "RedshiftQueryId": 0,
                "HasResultSet": any(part.result for part in self.parts),
            }
        else:
            described |= self.parts[0].describe()
        described |= {
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "Duration": self.duration_ns,
        }
        if self.request.get("Parameters"):
            described["QueryParameters"] = self.request["Parameters"]
        return described | ({"Error": self.error} if self.error else {})

    def listed(self) -> dict[str, Any]:
        """One entry of ListStatements."""
        entry: dict[str, Any] = {
            "Id": self.id,
            "Status": self.status,
            "CreatedAt": self.created,
            "UpdatedAt": self.updated,
            "IsBatchStatement": self.is_batch,
            "QueryParameters": self.request.get("Parameters") or [],
        }
        if self.is_batch:
            entry["QueryStrings"] = [part.sql for part in self.parts]
        else:
            entry["QueryString"] = self.parts[0].sql
        return entry | {name: self.request[name] for name in ("StatementName", "SecretArn") if self.request.get(name)}


class Warehouse:
    """Runs statements against the PostgreSQL that stands in for Redshift, and keeps their outcomes."""

    def __init__(self, settings: GatewaySettings) -> None:
        if settings.warehouse_dsn is None:
            raise ValueError("the Data API needs warehouse_dsn")
        self._dsn = settings.warehouse_dsn
        self._objects = S3Objects(settings)
        self._threads = ThreadPoolExecutor(_SESSIONS, thread_name_prefix="redshift")
        self._lock = threading.Lock()
        self._executions: dict[str, _Execution] = {}
        self._by_token: dict[str, str] = {}
        self._prepared: set[str] = set()

    def close(self) -> None:
        """Waits for running statements and ends the threads."""
        self._threads.shutdown()

    def submit(self, request: dict[str, Any], statements: list[str], *, is_batch: bool) -> _Execution:
        """Accepts one statement or a batch; a ClientToken that was seen before returns its statement."""
        token = request.get("ClientToken")
        with self._lock:
            if token in self._by_token:
                return self._executions[self._by_token[token]]
            execution = _Execution(request, [_SubStatement(text) for text in statements], is_batch)
            self._executions[execution.id] = execution
            if token:
                self._by_token[token] = execution.id
        CLOCK.enter()
        self._threads.submit(self._counted_run, execution)
        return execution

    def find(self, statement_id: str) -> tuple[_Execution, int | None]:
        """The execution of an id and, for `<id>:<n>`, the index of the sub-statement; ResourceNotFoundException if none."""
        name, _, number = statement_id.partition(":")
        execution = self._executions.get(name)
        if execution is None or (number and not 1 <= int(number) <= len(execution.parts)):
            raise ResourceNotFoundException
        return execution, int(number) - 1 if number else None

    def newest_first(self) -> list[_Execution]:
        """Every execution."""
        return sorted(self._executions.values(), key=lambda execution: execution.created, reverse=True)

    def cancel(self, execution: _Execution) -> None:
        """Ends a running statement; a batch is rolled back as a whole."""
        if execution.status in _ENDED:
            raise ValidationException(
                f"Could not cancel a query that is already in {execution.status} state with ID: {execution.id}"
            )
        execution.cancelled = True
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not execution.ended.wait(0.02) and time.monotonic() < deadline:
            # A cancel between two commands of a session is lost, so it is repeated.
            if execution.session is not None and not execution.session.closed:
                execution.session.cancel_safe(timeout=_PATIENCE_SECONDS)

    def _counted_run(self, execution: _Execution) -> None:
        try:
            self._run(execution)
        finally:
            CLOCK.leave()

    def _run(self, execution: _Execution) -> None:
        began = time.monotonic_ns()
        execution.move("STARTED")
        error: str | None = None
        try:
            with self._session(execution.request.get("Database")) as session:
                execution.session = session
                execution.process_id = session.info.backend_pid
                self._run_parts(execution, session)
                if execution.is_batch:
                    faults.hit("redshift.after_commit")
        except faults.InjectedFault:
            error = "connection lost"
        except (RedshiftError, psycopg.Error) as refused:
            error = _said(refused)
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

    def _run_parts(self, execution: _Execution, session: Session) -> None:
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
                part.move("ABORTED" if execution.cancelled else "FAILED", _said(refused))
                raise
            finally:
                part.duration_ns = time.monotonic_ns() - began
            part.move("FINISHED")
        session.commit()

    def _carry_out(self, session: Session, statement: Statement) -> tuple[int, _Result | None]:
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
                    done, result = _query(session, command)
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

    def _session(self, database: str | None) -> Session:
        """A new session; the server itself refuses a database that does not exist."""
        dsn = make_conninfo(self._dsn, **({"dbname": database} if database else {}), options=_SESSION_SETTINGS)
        with self._lock:
            if dsn not in self._prepared:
                with psycopg.connect(dsn) as session:
                    session.execute("SELECT pg_advisory_xact_lock(4566)")
                    found = session.execute("SELECT to_regnamespace(%s)", [COMPATIBILITY_SCHEMA]).fetchone()
                    if found == (None,):
                        session.execute(COMPATIBILITY_FUNCTIONS.encode())
                self._prepared.add(dsn)
        session = psycopg.connect(dsn)
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return session


def _query(session: Session, command: str) -> tuple[int, _Result | None]:
    with session.cursor() as cursor:
        cursor.execute(command.encode())
        answer = cursor.pgresult
        if cursor.description is None or answer is None:
            return max(cursor.rowcount, 0), None
        columns = [_column(session, column) for column in cursor.description]
        rows = [[answer.get_value(row, at) for at in range(answer.nfields)] for row in range(answer.ntuples)]
    result = _Result(columns, rows)
    if result.size > _LARGEST_RESULT:
        raise RedshiftError("Query result size exceeded the maximum of 500 MB. hint: UNLOAD")
    return len(rows), result


def _column(session: Session, column: psycopg.Column) -> dict[str, Any]:
    known = session.adapters.types.get(column.type_code)
    kind = known.name if known else "varchar"
    return {
        "name": column.name,
        "label": column.name,
        "typeName": _TYPE_NAMES.get(kind, kind),
        "isCaseSensitive": kind in {"varchar", "text", "bpchar"},
        "isCurrency": False,
        "isSigned": kind in {*_LONG, *_DOUBLE, "numeric"},
        "length": 0,
        "nullable": 1,
        "precision": column.precision or column.display_size or 0,
        "scale": column.scale or 0,
        "schemaName": "",
        "tableName": "",
    }


def _cell(value: bytes | None, kind: str) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    if kind in _LONG:
        return {"longValue": int(value)}
    if kind in _DOUBLE and value not in {b"NaN", b"Infinity", b"-Infinity"}:
        return {"doubleValue": float(value)}
    if kind in _BOOLEAN:
        return {"booleanValue": value == b"t"}
    return {"stringValue": value.decode()}


def _said(error: Exception) -> str:
    """What Redshift would say of an error of PostgreSQL."""
    match error:
        case RedshiftError():
            return str(error)
        case psycopg.errors.SerializationFailure():
            return "ERROR: 1023 Detail: Serializable isolation violation on table"
        case psycopg.errors.CardinalityViolation() if "MERGE" in str(error):
            return "ERROR: Found multiple matches to update the same tuple."
        case psycopg.errors.QueryCanceled():
            return "ERROR: Query cancelled on user's request"
        case psycopg.errors.StringDataRightTruncation():
            return f"ERROR: Value too long for character type: {error.diag.message_primary}"
        case psycopg.Error() if error.diag.message_primary:
            details = [error.diag.message_primary, error.diag.message_detail, error.diag.message_hint]
            return f"ERROR: {' '.join(detail for detail in details if detail)}"
    return f"ERROR: {error}"


class _DataApi:
    """The operations of the Redshift Data API; each takes the request and returns the reply as a dict."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def execute_statement(self, request: dict[str, Any]) -> dict[str, Any]:
        _check_request(request)
        wanted, given = parameters_of(request["Sql"]), {item["name"] for item in request.get("Parameters") or []}
        if wanted != given:
            raise ValidationException(f"Parameters list doesn't match the SQL: {sorted(wanted ^ given)}")
        return self._warehouse.submit(request, [request["Sql"]], is_batch=False).accepted()

    def batch_execute_statement(self, request: dict[str, Any]) -> dict[str, Any]:
        _check_request(request)
        statements = request["Sqls"]
        if not 1 <= len(statements) <= _MOST_STATEMENTS:
            raise ValidationException(f"Sqls must have 1 to {_MOST_STATEMENTS} statements, it has {len(statements)}")
        return self._warehouse.submit(request, statements, is_batch=True).accepted()

    def describe_statement(self, request: dict[str, Any]) -> dict[str, Any]:
        execution, _ = self._find(request)
        return execution.describe()

    def get_statement_result(self, request: dict[str, Any]) -> dict[str, Any]:
        execution, index = self._find(request)
        part = execution.parts[index if index is not None else 0]
        if execution.is_batch and index is None and len(execution.parts) > 1:
            raise ValidationException(
                "The id of a batch has no result of its own. hint: <id>:<number of the statement>"
            )
        if execution.status != "FINISHED" or part.result is None:
            raise ResourceNotFoundException
        start, token = _page(request.get("NextToken"), _ROWS_A_PAGE, len(part.result.rows))
        kinds = [column["typeName"] for column in part.result.columns]
        records = [
            [_cell(value, kind) for value, kind in zip(row, kinds, strict=True)]
            for row in part.result.rows[start : start + _ROWS_A_PAGE]
        ]
        return {
            "Records": records,
            "ColumnMetadata": part.result.columns,
            "TotalNumRows": len(part.result.rows),
        } | token

    def list_statements(self, request: dict[str, Any]) -> dict[str, Any]:
        status, name = request.get("Status", "ALL"), request.get("StatementName") or ""
        found = [
            execution.listed()
            for execution in self._warehouse.newest_first()
            if status in {"ALL", execution.status} and (execution.request.get("StatementName") or "").startswith(name)
        ]
        size = int(request.get("MaxResults") or _STATEMENTS_A_PAGE)
        start, token = _page(request.get("NextToken"), size, len(found))
        return {"Statements": found[start : start + size]} | token

    def cancel_statement(self, request: dict[str, Any]) -> dict[str, Any]:
        execution, _ = self._find(request)
        self._warehouse.cancel(execution)
        return {"Status": True}

    def _find(self, request: dict[str, Any]) -> tuple[_Execution, int | None]:
        if not re.fullmatch(r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d+)?", request["Id"]):
            raise ValidationException(
                "id must satisfy regex pattern: ^[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\\d+)?$"
            )
        return self._warehouse.find(request["Id"])


def _check_request(request: dict[str, Any]) -> None:
    if not request.get("ClusterIdentifier") and not request.get("WorkgroupName"):
        raise ValidationException("Either ClusterIdentifier or WorkgroupName must be provided")
    if request.get("SessionId") or request.get("SessionKeepAliveSeconds"):
        raise ValidationException("The local warehouse gives every statement a session of its own")


def _page(token: str | None, size: int, total: int) -> tuple[int, dict[str, str]]:
    start = int(token) if token else 0
    return start, {"NextToken": str(start + size)} if start + size < total else {}


def _operation(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Any], _Answer]:
    def answer(response: RedshiftDataAPIServiceResponse) -> _Answer:
        return 200, {}, json.dumps(handle(json.loads(response.body)))

    return answer


def install(settings: GatewaySettings) -> Warehouse | None:
    """Puts the real Data API in the place of moto's; without a warehouse_dsn moto's stays."""
    if settings.warehouse_dsn is None:
        return None
    warehouse = Warehouse(settings)
    api = _DataApi(warehouse)
    operations: Iterable[Callable[[dict[str, Any]], dict[str, Any]]] = (
        api.execute_statement,
        api.batch_execute_statement,
        api.describe_statement,
        api.get_statement_result,
        api.list_statements,
        api.cancel_statement,
    )
    for operation in operations:
        setattr(RedshiftDataAPIServiceResponse, cast("Any", operation).__name__, _operation(operation))
    return warehouse
