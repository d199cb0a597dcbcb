"""Lake Formation as far as it decides who sees what: filters of cells, who may grant them, and what Athena lets a role read.

A user of IAM is an administrator of the lake here, and sees everything; a role sees what it was granted, and grants what it may
pass on, unless the settings name it as an administrator. A read-only administrator sees who was granted what.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.glue.exceptions import DatabaseNotFoundException, TableNotFoundException
from moto.glue.models import glue_backends
from moto.lakeformation import urls
from moto.lakeformation.exceptions import AlreadyExists, EntityNotFound, InvalidInput
from moto.lakeformation.models import LakeFormationBackend, lakeformation_backends
from moto.lakeformation.responses import LakeFormationResponse

from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import Principal
from local.gateway.settings import GatewaySettings

_Key = tuple[str, str, str]
_GRANTS = ("grant_permissions", "batch_grant_permissions", "revoke_permissions", "batch_revoke_permissions")


class _AccessDeniedError(JsonRESTError):  # type: ignore[misc]
    def __init__(self, message: str) -> None:
        super().__init__("AccessDeniedException", message)


@dataclass(frozen=True)
class Sight:
    """What somebody sees of a table: all but some columns, of the rows that pass a condition."""

    hidden: tuple[str, ...] = ()
    condition: str | None = None


class LakeFormation:
    """The filters and grants of the gateway's account and region."""

    def __init__(self, settings: GatewaySettings, authority: Authority) -> None:
        self._settings = settings
        self._authority = authority
        self.filters: dict[_Key, dict[str, Any]] = {}

    def caller(self, response: LakeFormationResponse) -> Principal:
        """Finds who signed a request."""
        return self._authority.caller(response.headers.get("Authorization", ""))

    def sight(self, principal: Principal, database: str, table: str) -> Sight | None:
        """What a caller sees of a table; None when nothing was granted."""
        if (arn := _role(principal)) is None:
            return Sight()
        for granted in self._granted(arn):
            if "SELECT" not in granted["Permissions"]:
                continue
            if _is_table(granted["Resource"], database, table):
                return Sight()
            cells = granted["Resource"].get("DataCellsFilter", {})
            if (cells.get("DatabaseName"), cells.get("TableName")) == (database, table):
                found = self.filters[(database, table, cells["Name"])]
                hidden = found.get("ColumnWildcard", {}).get("ExcludedColumnNames", [])
                return Sight(tuple(hidden), found["RowFilter"].get("FilterExpression"))
        return None

    def put_filter(self, given: dict[str, Any], *, is_new: bool) -> None:
        """Keeps a filter; refused when it is there already, or is not, or when its table or a column of it is not."""
        key = (given["DatabaseName"], given["TableName"], given["Name"])
        if (key in self.filters) is is_new:
            raise AlreadyExists("Data cells filter already exists") if is_new else EntityNotFound("no such filter")
        try:
            table = glue_backends[self._settings.account_id][self._settings.region].get_table(*key[:2]).as_dict()
        except (DatabaseNotFoundException, TableNotFoundException):
            raise EntityNotFound(f"Table not found: {key[0]}.{key[1]}") from None
        columns = {column["Name"] for column in table["StorageDescriptor"].get("Columns", [])}
        if missing := {*given.get("ColumnWildcard", {}).get("ExcludedColumnNames", [])} - columns:
            raise InvalidInput(f"Columns {sorted(missing)} do not exist in table {key[1]}")
        self.filters[key] = given

    def check_granter(self, principal: Principal, resource: dict[str, Any]) -> None:
        """Refuses whoever may not pass on rights of a resource."""
        if not self._passes_on(principal, resource):
            [kind] = resource
            raise _AccessDeniedError(
                f"Insufficient Lake Formation permission(s): Required Select with grant option on {kind} {resource[kind]}"
            )

    def shown(self, principal: Principal, granted: dict[str, Any]) -> bool:
        """True when a grant is shown to a caller: its own, one of what it may pass on, and to an administrator every one."""
        own = granted["Principal"]["DataLakePrincipalIdentifier"] == principal.arn
        return own or self._administers(principal, "ReadOnlyAdmins") or self._passes_on(principal, granted["Resource"])

    def _administers(self, principal: Principal, *more: str) -> bool:
        backend: LakeFormationBackend = lakeformation_backends[self._settings.account_id][self._settings.region]
        settings = backend.get_data_lake_settings(self._settings.account_id)
        named = [named for role in ("DataLakeAdmins", *more) for named in settings.get(role, ())]
        return _role(principal) is None or {"DataLakePrincipalIdentifier": principal.arn} in named

    def _passes_on(self, principal: Principal, resource: dict[str, Any]) -> bool:
        if self._administers(principal):
            return True
        table = resource.get("DataCellsFilter") or resource.get("Table") or {}
        name = str(table.get("TableName") or table.get("Name") or "")
        return name != "" and any(
            "SELECT" in granted["PermissionsWithGrantOption"]
            and _is_table(granted["Resource"], table["DatabaseName"], name)
            for granted in self._granted(principal.arn)
        )

    def check_filter(self, cells: dict[str, str]) -> None:
        """Refuses a grant of a filter that is not there."""
        if (cells["DatabaseName"], cells["TableName"], cells["Name"]) not in self.filters:
            raise EntityNotFound(f"Data cells filter {cells['Name']} of {cells['TableName']} not found")

    def _granted(self, arn: str) -> Iterator[dict[str, Any]]:
        backend: LakeFormationBackend = lakeformation_backends[self._settings.account_id][self._settings.region]
        for granted in backend.list_permissions(self._settings.account_id):
            if granted["Principal"]["DataLakePrincipalIdentifier"] == arn:
                yield granted


def _role(principal: Principal) -> str | None:
    return principal.arn if ":role/" in principal.arn else None


def _is_table(resource: dict[str, Any], database: str, table: str) -> bool:
    named = resource.get("Table", {})
    return named.get("DatabaseName") == database and ("TableWildcard" in named or named.get("Name") == table)


def install(settings: GatewaySettings, authority: Authority) -> LakeFormation:
    """Adds the filters of cells to moto's Lake Formation, and asks of every grant who makes it, and who wants to see it."""
    lake = LakeFormation(settings, authority)
    listed = LakeFormationResponse.list_permissions

    def put(*, is_new: bool) -> Callable[[LakeFormationResponse], str]:
        def answer(response: LakeFormationResponse) -> str:
            given = response._get_param("TableData")
            lake.check_granter(lake.caller(response), {"DataCellsFilter": given})
            lake.put_filter(given, is_new=is_new)
            return "{}"

        return answer

    def list_permissions(response: LakeFormationResponse) -> str:
        answer, caller = json.loads(listed(response)), lake.caller(response)
        found = [granted for granted in answer["PrincipalResourcePermissions"] if lake.shown(caller, granted)]
        return json.dumps({**answer, "PrincipalResourcePermissions": found})

    def list_filters(_response: LakeFormationResponse) -> str:
        return json.dumps({"DataCellsFilters": list(lake.filters.values())})

    def checked(original: Callable[[LakeFormationResponse], str]) -> Callable[[LakeFormationResponse], str]:
        def answer(response: LakeFormationResponse) -> str:
            caller = lake.caller(response)
            for entry in response._get_param("Entries") or [{"Resource": response._get_param("Resource")}]:
                lake.check_granter(caller, entry["Resource"])
                if cells := entry["Resource"].get("DataCellsFilter"):
                    lake.check_filter(cells)
            return original(response)

        return answer

    LakeFormationResponse.create_data_cells_filter = put(is_new=True)
    LakeFormationResponse.update_data_cells_filter = put(is_new=False)
    LakeFormationResponse.list_data_cells_filter = list_filters
    LakeFormationResponse.list_permissions = list_permissions
    for path in ("CreateDataCellsFilter", "UpdateDataCellsFilter"):
        urls.url_paths[f"{{0}}/{path}$"] = urls.response.dispatch
    for name in _GRANTS:
        setattr(LakeFormationResponse, name, checked(getattr(LakeFormationResponse, name)))
    return lake
