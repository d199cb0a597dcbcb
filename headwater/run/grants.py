"""What analysts may see of the lake: each table of silver and gold through a filter of columns and rows, once a crawler has made it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import boto3

from headwater.errors import ConfigError
from headwater.open_project import OpenProject

FILTER = "analysts"
"""Name of the filter of each table."""
# Entries that one call takes.
_MOST_ENTRIES = 20


class Grant(NamedTuple):
    """A role that sees a table through its filter."""

    role: str
    database: str
    table: str


def grant_tables(opened: OpenProject) -> None:
    """Gives every analyst every table that is there, and takes from others what they have of it; safe to repeat.

    ConfigError when Lake Formation refuses a filter or a grant.
    """
    environment = opened.project.environment
    lake: Any = boto3.client("lakeformation")
    tables = list(_tables(opened))
    filters = {table["DatabaseName"] + "." + table["TableName"]: table for table in _filters(lake)}
    for database, table in tables:
        wanted = _filter(opened, database, table)
        there = filters.get(f"{database}.{table}")
        try:
            if there is None:
                lake.create_data_cells_filter(TableData=wanted)
            elif any(there.get(key) != value for key, value in wanted.items()):
                lake.update_data_cells_filter(TableData=wanted)
        except lake.exceptions.InvalidInputException as error:
            raise ConfigError(f"config/environments/{environment.name}.yaml: analysts, {table}: {error}") from None
    databases = {environment.database("silver"), environment.database("gold")}
    granted = {grant for grant in _granted(lake) if grant.database in databases}
    named = {Grant(role, *table) for role in environment.analysts.roles for table in tables}
    _change(lake.batch_grant_permissions, environment.account, sorted(named - granted))
    strangers = {grant for grant in granted if grant.role not in environment.analysts.roles}
    _change(lake.batch_revoke_permissions, environment.account, sorted(strangers))


def _tables(opened: OpenProject) -> Iterator[tuple[str, str]]:
    """Database and name of each declared table of silver and gold that the catalog has; none where there are no analysts."""
    environment = opened.project.environment
    if not environment.analysts.roles:
        return
    pages = boto3.client("glue").get_paginator("get_tables")
    for zone in ("silver", "gold"):
        database = environment.database(zone)
        found = {table["Name"] for page in pages.paginate(DatabaseName=database) for table in page["TableList"]}
        for table in sorted(found & {*opened.project.table_paths(zone)}):
            yield database, table


def _filter(opened: OpenProject, database: str, table: str) -> dict[str, Any]:
    environment = opened.project.environment
    expression = environment.analysts.row_filters.get(table)
    hidden = {*environment.analysts.hidden_columns.get(table, ())}
    if made := opened.project.made_of_hidden(table):
        # One that is declared since the last crawl has not got there yet, and a filter may not name it.
        [found] = boto3.client("glue").get_tables(DatabaseName=database, Expression=f"^{table}$")["TableList"]
        there = found["StorageDescriptor"]["Columns"]
        hidden |= {column["Name"] for column in there} & {*made}
    return {
        "TableCatalogId": environment.account,
        "DatabaseName": database,
        "TableName": table,
        "Name": FILTER,
        "ColumnWildcard": {"ExcludedColumnNames": sorted(hidden)},
        "RowFilter": {"FilterExpression": expression} if expression else {"AllRowsWildcard": {}},
    }


def _filters(lake: Any) -> Iterator[Mapping[str, Any]]:
    for page in lake.get_paginator("list_data_cells_filter").paginate():
        yield from (found for found in page["DataCellsFilters"] if found["Name"] == FILTER)


def _granted(lake: Any) -> Iterator[Grant]:
    token: dict[str, str] = {}
    while True:
        page = lake.list_permissions(**token)
        for found in page["PrincipalResourcePermissions"]:
            cells = found["Resource"].get("DataCellsFilter")
            if cells and cells["Name"] == FILTER:
                role = found["Principal"]["DataLakePrincipalIdentifier"]
                yield Grant(role, cells["DatabaseName"], cells["TableName"])
        if "NextToken" not in page:
            return
        token = {"NextToken": page["NextToken"]}


def _change(call: Any, account: str, grants: Sequence[Grant]) -> None:
    for first in range(0, len(grants), _MOST_ENTRIES):
        entries = [
            {
                "Id": str(number),
                "Principal": {"DataLakePrincipalIdentifier": grant.role},
                "Resource": {
                    "DataCellsFilter": {
                        "TableCatalogId": account,
                        "DatabaseName": grant.database,
                        "TableName": grant.table,
                        "Name": FILTER,
                    }
                },
                "Permissions": ["SELECT"],
            }
            for number, grant in enumerate(grants[first : first + _MOST_ENTRIES])
        ]
        if failures := call(Entries=entries).get("Failures"):
            said = failures[0].get("Error", {}).get("ErrorMessage")
            raise ConfigError(f"Lake Formation refuses analysts.roles their tables: {said}")
