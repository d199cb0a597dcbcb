"""Athena over DuckDB: queries really run, on the tables of the Glue catalog, and leave their CSV in S3.

moto answers every query with success and no rows. Athena here reads; Glue jobs write the tables.
"""

from __future__ import annotations

import fnmatch
import io
import json
import math
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import botocore.exceptions
import duckdb
from deltalake.exceptions import DeltaError
from moto.athena.exceptions import JsonRESTError
from moto.athena.models import athena_backends
from moto.athena.responses import AthenaResponse

from local.gateway.athena.catalog import Catalog
from local.gateway.athena.sql import SESSION_SETUP, Action, AthenaError, Request, SyntaxRefusedError, understand
from local.gateway.calls import Asked, signature
from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import Principal
from local.gateway.lake_formation import LakeFormation, Sight
from local.gateway.s3_objects import S3Objects
from local.gateway.settings import GatewaySettings

_ROWS_A_PAGE = 1_000
_EXECUTIONS_A_PAGE = 50
_BATCH_ROWS = 10_000
_QUERIES_AT_ONCE = 4
_PATIENCE_SECONDS = 5.0
_ENDED = {"SUCCEEDED", "FAILED", "CANCELLED"}
_TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    # DuckDB adds integers in 128 bits; Athena's sum of a bigint is a bigint.
    "HUGEINT": "bigint",
    "UBIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "VARCHAR": "varchar",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "varbinary",
    "JSON": "json",
    "UUID": "uuid",
    "INTERVAL": "interval day to second",
}
_PRECISIONS = {
    "tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19, "float": 17, "double": 17, "varchar": 2147483647,
    "timestamp": 3, "timestamp with time zone": 3,
}  # fmt: skip
_Answer = tuple[int, dict[str, str], str]
_Row = list[str | None]


@dataclass
class _Execution:
    """One query execution, from QUEUED to its end."""

    sql: str
    request: Request
    context: dict[str, Any]
    output: str
    workgroup: str
    sees: Callable[[str, str], Sight | None]
    objects: S3Objects
    """S3 in the name of whoever asks, where the result goes."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: str = "QUEUED"
    reason: str | None = None
    submitted: float = field(default_factory=time.time)
    completed: float | None = None
    engine_ms: int = 0
    queue_ms: int = 0
    scanned: int = 0
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    connection: duckdb.DuckDBPyConnection | None = None
    cancelled: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def output_location(self) -> str:
        ending = "csv" if self.request.action is Action.QUERY else "txt"
        return f"{self.output.rstrip('/')}/{self.id}.{ending}"

    def end(self, state: str, reason: str | None = None) -> None:
        # The state is read without a lock: it changes last.
        self.completed, self.reason = time.time(), reason
        self.state = state
        self.ended.set()

    def describe(self) -> dict[str, Any]:
        """The answer to GetQueryExecution."""
        status: dict[str, Any] = {"State": self.state, "SubmissionDateTime": self.submitted}
        if self.completed is not None:
            status["CompletionDateTime"] = self.completed
        if self.reason is not None:
            status["StateChangeReason"] = self.reason
            status["AthenaError"] = {
                "ErrorCategory": 2,
                "ErrorType": 1,
                "Retryable": False,
                "ErrorMessage": self.reason,
            }
        total = int(((self.completed or time.time()) - self.submitted) * 1000)
        return {
            "QueryExecutionId": self.id,
            "Query": self.sql,
            "StatementType": self.request.statement_type,
            "ResultConfiguration": {"OutputLocation": self.output_location},
            "QueryExecutionContext": self.context,
            "Status": status,
            "Statistics": {
                "EngineExecutionTimeInMillis": self.engine_ms,
                "DataScannedInBytes": self.scanned,
                "TotalExecutionTimeInMillis": total,
                "QueryQueueTimeInMillis": self.queue_ms,
                "ServiceProcessingTimeInMillis": max(total - self.engine_ms - self.queue_ms, 0),
                "ResultReuseInformation": {"ReusedPreviousResult": False},
            },
            "WorkGroup": self.workgroup,
            "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
        }


class QueryEngine:
    """Runs queries in threads, each in a DuckDB of its own, and keeps their outcomes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.catalog = Catalog(settings)
        self.asked: dict[str, tuple[dict[str, Any], str]] = {}
        """What was asked by each client's token, and the execution that came of it."""
        # Where moto keeps its own, whose workgroups decide who may look.
        self.executions: dict[str, _Execution] = athena_backends[settings.account_id][settings.region].executions
        self._threads = ThreadPoolExecutor(_QUERIES_AT_ONCE, thread_name_prefix="athena")

    def close(self) -> None:
        """Waits for running queries and ends the threads."""
        self._threads.shutdown()

    def submit(self, execution: _Execution) -> None:
        """Queues an execution."""
        self.executions[execution.id] = execution
        self._threads.submit(self._run, execution)

    def cancel(self, execution: _Execution) -> None:
        """Stops an execution; one that has ended stays as it is."""
        if execution.state in _ENDED:
            return
        execution.cancelled = True
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not execution.ended.wait(0.02) and time.monotonic() < deadline:
            # An interrupt between two commands of a session is lost, so it is repeated.
            if execution.connection is not None:
                execution.connection.interrupt()

    def _run(self, execution: _Execution) -> None:
        began = time.time()
        execution.queue_ms = int((began - execution.submitted) * 1000)
        try:
            execution.state = "RUNNING"
            if not execution.cancelled:
                self._carry_out(execution)
            execution.engine_ms = int((time.time() - began) * 1000)
            self._write(execution)
        except (AthenaError, duckdb.Error, DeltaError, OSError) as error:
            execution.engine_ms = int((time.time() - began) * 1000)
            execution.end("CANCELLED" if execution.cancelled else "FAILED", _said(error, cancelled=execution.cancelled))
        except Exception as crash:  # noqa: BLE001 - a defect of the gateway must end the query, not leave it running
            execution.end("FAILED", f"GENERIC_INTERNAL_ERROR: local Athena: {crash!r}")
        else:
            execution.end("CANCELLED" if execution.cancelled else "SUCCEEDED")

    def _carry_out(self, execution: _Execution) -> None:
        request, catalog = execution.request, self.catalog
        subject = request.subject
        match request.action:
            case Action.SHOW_DATABASES:
                _list(execution, "database_name", _like(catalog.databases(), request.pattern))
            case Action.SHOW_TABLES if subject is not None:
                _list(execution, "tab_name", _like(catalog.tables(subject.database), request.pattern))
            case Action.DESCRIBE if subject is not None:
                lines = [f"{name:<20}\t{kind:<20}\t{'':<20}" for name, kind, _ in catalog.columns(subject)]
                _list(execution, "col_name", lines)
            case Action.DROP_VIEW if subject is not None:
                catalog.drop_view(subject)
            case Action.CREATE_VIEW if subject is not None:
                with self._session(execution) as session:
                    view = session.sql(request.sql)
                    columns = [(name, _athena_type(kind)) for name, kind in zip(view.columns, view.types, strict=True)]
                catalog.put_view(subject, request.original, columns, replace=request.replaces)
            case _:
                with self._session(execution) as session:
                    self._query(execution, session)

    def _session(self, execution: _Execution) -> duckdb.DuckDBPyConnection:
        session = duckdb.connect()
        for command in SESSION_SETUP:
            session.execute(command).fetchall()
        execution.connection = session
        execution.scanned = sum(
            self.catalog.register(session, name, execution.sees) for name in execution.request.tables
        )
        session.execute("SET enable_external_access = false").fetchall()
        return session

    def _query(self, execution: _Execution, session: duckdb.DuckDBPyConnection) -> None:
        relation = session.sql(execution.request.sql)
        execution.columns = [
            (name, _athena_type(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        kinds = [kind for _, kind in execution.columns]
        for batch in relation.to_arrow_reader(_BATCH_ROWS):
            columns = [
                [_text(value, kind) for value in column.to_pylist()]
                for column, kind in zip(batch.columns, kinds, strict=True)
            ]
            execution.rows.extend(list(row) for row in zip(*columns, strict=True))
            if execution.cancelled:
                raise AthenaError("Query cancelled by user")

    def _write(self, execution: _Execution) -> None:
        bucket, _, key = execution.output_location.removeprefix("s3://").partition("/")
        with execution.objects.client() as client:
            try:
                client.get_bucket_location(Bucket=bucket)
                client.put_object(Bucket=bucket, Key=key, Body=_file(execution))
            except botocore.exceptions.ClientError as error:
                raise AthenaError(f"Unable to verify/create output bucket {bucket}: {error}") from None


def _list(execution: _Execution, column: str, values: list[str]) -> None:
    execution.columns = [(column, "varchar")]
    execution.rows = [[value] for value in values]


def _like(names: list[str], pattern: str | None) -> list[str]:
    """Hive's patterns: `*` for anything, `|` between alternatives."""
    if pattern is None:
        return names
    return [name for name in names if any(fnmatch.fnmatchcase(name, part) for part in pattern.lower().split("|"))]


def _said(error: Exception, *, cancelled: bool) -> str:
    if cancelled:
        return "Query cancelled by user"
    match error:
        case AthenaError():
            return str(error)
        case duckdb.BinderException() if "not found in FROM" in str(error):
            return f"COLUMN_NOT_FOUND: line 1:8: {error}"
        case duckdb.InvalidInputException() if "Division by zero" in str(error):
            return "DIVISION_BY_ZERO: Division by zero"
        case duckdb.CatalogException():
            return f"FUNCTION_NOT_FOUND: line 1:8: {error}"
        case DeltaError() | OSError():
            # delta-rs draws its chain of causes as a coloured tree that ends in the server's XML.
            causes = re.sub(r"\x1b\[\d+m|\u21b3|<\?xml.*", "", str(error), flags=re.DOTALL)
            return f"HIVE_CANNOT_OPEN_SPLIT: {' '.join(causes.split())}"
    return f"GENERIC_USER_ERROR: {error}"


def _athena_type(kind: Any) -> str:
    said = str(kind)
    if said.startswith("DECIMAL"):
        return said.lower().replace(" ", "")
    if said.endswith("[]"):
        return "array"
    return _TYPES.get(said) or {"STRUCT": "row", "MAP": "map"}.get(said.split("(", maxsplit=1)[0], "varchar")


def _text(value: Any, kind: str) -> str | None:
    """A value as Athena writes it in its CSV; None is NULL."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case float():
            return _double(value)
        case Decimal():
            return f"{value:f}"
        case datetime():
            moment = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}"
            return f"{moment} UTC" if kind == "timestamp with time zone" else moment
        case bytes():
            return value.hex(" ")
        case list() | dict():
            return _nested(value, kind)
    return str(value)


def _nested(value: Any, kind: str) -> str:
    if isinstance(value, list) and kind != "map":
        said = ", ".join(_text(item, "") or "null" for item in value)
        return f"[{said}]"
    pairs = value.items() if isinstance(value, dict) else value
    said = ", ".join("{}={}".format(name, _text(item, "") or "null") for name, item in pairs)
    return f"{{{said}}}"


def _double(value: float) -> str:
    """Java's form of a double: 1.0E10 from ten million on and below a thousandth."""
    if math.isnan(value) or value in {float("inf"), float("-inf")}:
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{Decimal(repr(value)):E}".partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa if '.' in mantissa else f'{mantissa}.0'}E{int(exponent)}"


def _file(execution: _Execution) -> bytes:
    """The result file: CSV with every value in quotes, or the bare lines of SHOW and DESCRIBE."""
    written = io.StringIO()
    if execution.request.action is not Action.QUERY:
        written.writelines(f"{row[0]}\n" for row in execution.rows)
    else:
        header: _Row = [name for name, _ in execution.columns]
        for row in [header, *execution.rows]:
            cells = ("" if cell is None else '"{}"'.format(cell.replace('"', '""')) for cell in row)
            written.write(",".join(cells) + "\n")
    return written.getvalue().encode()


class _Api:
    """The operations of Athena that moto only fakes or lacks; each takes the request and returns the reply."""

    def __init__(
        self, settings: GatewaySettings, engine: QueryEngine, authority: Authority, lake: LakeFormation
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._authority = authority
        self._lake = lake
        self._starting = threading.Lock()

    def start_query_execution(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        with self._starting:
            return self._once(response, asked)

    def _once(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        """Starts an execution, or finds the one that was started by the same token."""
        # A client of AWS's own always sends one.
        token = asked["ClientRequestToken"]
        if token not in self._engine.asked:
            self._engine.asked[token] = (asked, self._start(response, asked))
        before, execution = self._engine.asked[token]
        if before != asked:
            raise _invalid("Idempotent parameters do not match")
        return {"QueryExecutionId": execution}

    def _start(self, response: AthenaResponse, asked: dict[str, Any]) -> str:
        name = asked.get("WorkGroup") or "primary"
        workgroup = response.athena_backend.get_work_group(name)
        if workgroup is None:
            raise _invalid(f"WorkGroup {name} is not found.")
        context = asked.get("QueryExecutionContext") or {}
        try:
            request = understand(asked["QueryString"], context.get("Database"), asked.get("ExecutionParameters") or ())
        except SyntaxRefusedError as error:
            raise _invalid(str(error)) from None
        output = _output_location(asked, workgroup["Configuration"])
        header = response.headers.get("Authorization", "")
        principal = self._authority.caller(header)
        objects = self._engine.catalog.objects.signed_by((signature(header) or ("",))[0])

        def sees(database: str, table: str) -> Sight | None:
            self._check_asker(principal, database, table)
            return self._lake.sight(principal, database, table)

        execution = _Execution(asked["QueryString"], request, context, output, name, sees, objects)
        self._engine.submit(execution)
        return execution.id

    def _check_asker(self, principal: Principal, database: str, table: str) -> None:
        """Refuses whoever may not look a table up, or may not ask Lake Formation for its data."""
        place = f"{self._settings.region}:{self._settings.account_id}"
        parts = ("catalog", f"database/{database}", f"table/{database}/{table}")
        asked = [Asked("glue:GetTable", f"arn:aws:glue:{place}:{part}") for part in parts]
        for one in (*asked, Asked("lakeformation:GetDataAccess", "*")):
            if not self._authority.allows(principal, [one]):
                raise AthenaError(
                    f"Insufficient permissions to execute the query. User: {principal.arn} is not authorized to perform: "
                    f"{one.action} on resource: {one.resource}"
                )

    def get_query_execution(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        del response
        return {"QueryExecution": self._find(asked["QueryExecutionId"]).describe()}

    def batch_get_query_execution(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        del response
        known = [name for name in asked["QueryExecutionIds"] if name in self._engine.executions]
        unknown = [name for name in asked["QueryExecutionIds"] if name not in self._engine.executions]
        return {
            "QueryExecutions": [self._find(name).describe() for name in known],
            "UnprocessedQueryExecutionIds": [
                {
                    "QueryExecutionId": name,
                    "ErrorCode": "INVALID_INPUT",
                    "ErrorMessage": f"QueryExecution {name} was not found",
                }
                for name in unknown
            ],
        }

    def get_query_results(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        execution = self._find(asked["QueryExecutionId"])
        if execution.state not in _ENDED:
            raise _invalid(f"Query has not yet finished. Current state: {execution.state}")
        if execution.state != "SUCCEEDED":
            raise _invalid(f"Query did not finish successfully. Final query state: {execution.state}")
        # The result is read from S3 in the name of whoever asks for it.
        asker = self._authority.caller(response.headers.get("Authorization", ""))
        at = f"arn:aws:s3:::{execution.output_location.removeprefix('s3://')}"
        if not self._authority.allows(asker, [Asked("s3:GetObject", at)]):
            raise JsonRESTError("AccessDeniedException", f"{asker.arn} may not read the result {at}")
        header: list[_Row] = (
            [[name for name, _ in execution.columns]] if execution.request.action is Action.QUERY else []
        )
        total = len(header) + len(execution.rows)
        # A token names a place in one result, and is refused of another.
        execution_id, _, said = (asked.get("NextToken") or f"{execution.id}:0").partition(":")
        if execution_id != execution.id or not said.isdecimal():
            raise _invalid("Invalid next token")
        start, size = int(said), min(int(asked.get("MaxResults") or _ROWS_A_PAGE), _ROWS_A_PAGE)
        first = header[start:]
        rows = first + execution.rows[max(start - len(header), 0) :][: size - len(first)]
        return {
            "UpdateCount": 0,
            "ResultSet": {
                "Rows": [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in rows],
                "ResultSetMetadata": {"ColumnInfo": [_column_info(name, kind) for name, kind in execution.columns]},
            },
        } | ({"NextToken": f"{execution.id}:{start + size}"} if start + size < total else {})

    def stop_query_execution(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        del response
        self._engine.cancel(self._find(asked["QueryExecutionId"]))
        return {}

    def delete_named_query(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        if response.athena_backend.named_queries.pop(asked["NamedQueryId"], None) is None:
            raise _invalid(f"Named query {asked['NamedQueryId']} was not found")
        return {}

    def list_query_executions(self, response: AthenaResponse, asked: dict[str, Any]) -> dict[str, Any]:
        del response
        workgroup = asked.get("WorkGroup") or "primary"
        newest = sorted(self._engine.executions.values(), key=lambda execution: execution.submitted, reverse=True)
        names = [execution.id for execution in newest if execution.workgroup == workgroup]
        start, size = int(asked.get("NextToken") or 0), int(asked.get("MaxResults") or _EXECUTIONS_A_PAGE)
        more = {"NextToken": str(start + size)} if start + size < len(names) else {}
        return {"QueryExecutionIds": names[start : start + size]} | more

    def _find(self, name: str) -> _Execution:
        execution = self._engine.executions.get(name)
        if execution is None:
            raise _invalid(f"QueryExecution {name} was not found")
        return execution


def _column_info(name: str, kind: str) -> dict[str, Any]:
    base, _, size = kind.partition("(")
    precision, _, scale = size.rstrip(")").partition(",")
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": base,
        "Precision": int(precision) if precision else _PRECISIONS.get(base, 0),
        "Scale": int(scale) if scale else 0,
        "Nullable": "UNKNOWN",
        "CaseSensitive": base == "varchar",
    }


def _output_location(asked: dict[str, Any], workgroup: dict[str, Any]) -> str:
    own = (asked.get("ResultConfiguration") or {}).get("OutputLocation")
    common = (workgroup.get("ResultConfiguration") or {}).get("OutputLocation")
    output = (common or own) if workgroup.get("EnforceWorkGroupConfiguration") else (own or common)
    if not output:
        raise _invalid(
            "No output location provided. An output location is required either through the Workgroup result configuration "
            "setting or as an API input."
        )
    return str(output)


def _invalid(message: str) -> JsonRESTError:
    return JsonRESTError("InvalidRequestException", message)


def _operation(
    handle: Callable[[AthenaResponse, dict[str, Any]], dict[str, Any]],
) -> Callable[[AthenaResponse], _Answer]:
    def answer(response: AthenaResponse) -> _Answer:
        return 200, {}, json.dumps(handle(response, json.loads(response.body)))

    return answer


def install(settings: GatewaySettings, authority: Authority, lake: LakeFormation) -> QueryEngine:
    """Replaces moto's queries by real ones: of what Lake Formation lets the caller see, with the caller's rights."""
    engine = QueryEngine(settings)
    for name, handle in _operations(_Api(settings, engine, authority, lake)):
        setattr(AthenaResponse, name, _operation(handle))
    return engine


def _operations(api: _Api) -> Iterator[tuple[str, Callable[..., dict[str, Any]]]]:
    for handle in (
        api.start_query_execution,
        api.get_query_execution,
        api.batch_get_query_execution,
        api.get_query_results,
        api.stop_query_execution,
        api.list_query_executions,
        api.delete_named_query,
    ):
        yield cast("Any", handle).__name__, handle
