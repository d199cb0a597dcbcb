"""The operations of the Redshift Data API, over statements that really run.

moto keeps statements but runs none, and knows no batch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, cast

from moto.redshiftdata.exceptions import ResourceNotFoundException, ValidationException
from moto.redshiftdata.responses import RedshiftDataAPIServiceResponse

from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import Principal
from local.gateway.redshift.executions import Execution, Executions
from local.gateway.redshift.results import cell
from local.gateway.redshift.running import Warehouse
from local.gateway.redshift.sql import parameters_of
from local.gateway.redshift.users import Users
from local.gateway.settings import GatewaySettings

_MOST_STATEMENTS = 40
_LONGEST_STATEMENT = 100_000
_ROWS_A_PAGE = 1_000
_STATEMENTS_A_PAGE = 100
_Answer = tuple[int, dict[str, str], str]


class _DataApi:
    """The operations of the Redshift Data API; each takes the request and returns the reply as a dict."""

    def __init__(self, warehouse: Warehouse, users: Users, owns: Callable[..., bool]) -> None:
        self._warehouse = warehouse
        self._users = users
        self._executions = Executions()
        self._owns = owns

    def execute_statement(self, request: dict[str, Any], principal: Principal) -> dict[str, Any]:
        _check_request(request)
        wanted, given = parameters_of(request["Sql"]), {item["name"] for item in request.get("Parameters") or []}
        if wanted != given:
            raise ValidationException(f"Parameters list doesn't match the SQL: {sorted(wanted ^ given)}")
        return self._submit(request, principal, [request["Sql"]], is_batch=False)

    def batch_execute_statement(self, request: dict[str, Any], principal: Principal) -> dict[str, Any]:
        _check_request(request)
        statements = request["Sqls"]
        if not 1 <= len(statements) <= _MOST_STATEMENTS:
            raise ValidationException(f"Sqls must have 1 to {_MOST_STATEMENTS} statements, it has {len(statements)}")
        return self._submit(request, principal, statements, is_batch=True)

    def _submit(
        self, request: dict[str, Any], principal: Principal, statements: list[str], *, is_batch: bool
    ) -> dict[str, Any]:
        self._users.namespace(request)
        execution, is_new = self._executions.add(request, principal, statements, is_batch=is_batch)
        if is_new:
            self._warehouse.submit(execution)
        return execution.accepted()

    def describe_statement(self, request: dict[str, Any], _principal: Principal) -> dict[str, Any]:
        execution, _ = self._find(request)
        return execution.describe()

    def get_statement_result(self, request: dict[str, Any], _principal: Principal) -> dict[str, Any]:
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
            [cell(value, kind) for value, kind in zip(row, kinds, strict=True)]
            for row in part.result.rows[start : start + _ROWS_A_PAGE]
        ]
        return {
            "Records": records,
            "ColumnMetadata": part.result.columns,
            "TotalNumRows": len(part.result.rows),
        } | token

    def list_statements(self, request: dict[str, Any], _principal: Principal) -> dict[str, Any]:
        status, name = request.get("Status", "ALL"), request.get("StatementName") or ""
        found = [
            execution.listed()
            for execution in self._executions.newest_first()
            if status in {"ALL", execution.status}
            and (execution.request.get("StatementName") or "").startswith(name)
            and self._owns(execution.id, as_role=request.get("RoleLevel", True))
        ]
        size = int(request.get("MaxResults") or _STATEMENTS_A_PAGE)
        start, token = _page(request.get("NextToken"), size, len(found))
        return {"Statements": found[start : start + size]} | token

    def cancel_statement(self, request: dict[str, Any], _principal: Principal) -> dict[str, Any]:
        execution, _ = self._find(request)
        self._warehouse.cancel(execution)
        return {"Status": True}

    def _find(self, request: dict[str, Any]) -> tuple[Execution, int | None]:
        if not re.fullmatch(r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d+)?", request["Id"]):
            raise ValidationException(
                "id must satisfy regex pattern: ^[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\\d+)?$"
            )
        found = self._executions.find(request["Id"])
        # Redshift tells of statements only to who submitted them, whatever policies say; other sessions of its role count as it.
        if not self._owns(found[0].id, as_role=True):
            raise ResourceNotFoundException
        return found


def _check_request(request: dict[str, Any]) -> None:
    if not request.get("ClusterIdentifier") and not request.get("WorkgroupName"):
        raise ValidationException("Either ClusterIdentifier or WorkgroupName must be provided")
    for statement in [request["Sql"]] if "Sql" in request else request["Sqls"]:
        if len(statement.encode()) > _LONGEST_STATEMENT:
            raise ValidationException(f"A statement has {len(statement.encode())} bytes; the Data API takes 100 KB")
    if request.get("SessionId") or request.get("SessionKeepAliveSeconds"):
        raise ValidationException("The local warehouse gives every statement a session of its own")


def _page(token: str | None, size: int, total: int) -> tuple[int, dict[str, str]]:
    start = int(token) if token else 0
    return start, {"NextToken": str(start + size)} if start + size < total else {}


def install(settings: GatewaySettings, users: Users, authority: Authority) -> Warehouse | None:
    """Puts the real Data API in the place of moto's; without a warehouse_dsn moto's stays."""
    if settings.warehouse_dsn is None:
        return None
    warehouse = Warehouse(settings, users)
    api = _DataApi(warehouse, users, authority.owns)
    handlers: Iterable[Callable[[dict[str, Any], Principal], dict[str, Any]]] = (
        api.execute_statement,
        api.batch_execute_statement,
        api.describe_statement,
        api.get_statement_result,
        api.list_statements,
        api.cancel_statement,
    )

    def operation(handle: Callable[[dict[str, Any], Principal], dict[str, Any]]) -> Callable[[Any], _Answer]:
        def answer(response: RedshiftDataAPIServiceResponse) -> _Answer:
            principal = authority.caller(response.headers.get("Authorization", ""))
            return 200, {}, json.dumps(handle(json.loads(response.body), principal))

        return answer

    for handler in handlers:
        setattr(RedshiftDataAPIServiceResponse, cast("Any", handler).__name__, operation(handler))
    return warehouse
