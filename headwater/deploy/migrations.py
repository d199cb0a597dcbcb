"""The migrations of the warehouse, derived from sql/redshift, the declared gold tables and who speaks to the warehouse."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import sqlglot

from headwater.deploy.ddl import comment, comments, create_table
from headwater.errors import ConfigError
from headwater.warehouse.changes import ChangeFile
from headwater.warehouse.load import load_of
from headwater.warehouse.migrations import (
    MOST_BYTES,
    MOST_STATEMENTS,
    OWN_STATEMENTS,
    Access,
    AnyMigration,
    Table,
    View,
    Written,
)

if TYPE_CHECKING:
    from headwater.config import GoldTable
    from headwater.deploy.deployment import Deployment

_WRITTEN = re.compile(r"[0-9]{3}_[a-z0-9_]+")
_MADE = re.compile(r"create table (?:if not exists )?analytics\.([a-z0-9_]+)")
_ROLE = re.compile(r"TO ROLE ([a-z0-9_]+)")
# Redshift lets everybody who can log in make tables in public, and have COPY and UNLOAD assume whatever role the namespace has.
_CLOSE_PUBLIC = ("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "REVOKE ASSUMEROLE ON ALL FROM PUBLIC FOR ALL")


def migrations(deployment: Deployment) -> list[AnyMigration]:
    """Lists them in the order in which they run: what is written, tables, views, access; ConfigError names the file that is wrong."""
    folder = deployment.root / "sql" / "redshift"
    project = deployment.project
    written = [
        Written(name=_number(path), sqls=statements(path)) for path in sorted((folder / "migrations").glob("*.sql"))
    ]
    tables = [
        Table(
            name=f"table {name}",
            relation=name,
            sqls=_making(name, table),
            grain=table.grain,
            columns={column: declared.type for column, declared in table.columns.items()},
            comments=_fitting(f"gold table {name}", comments(name, table)),
        )
        for name, table in project.gold.items()
    ]
    views = [
        View(name=f"view {path.stem}", relation=_view(path), sqls=(*statements(path), _about(path)))
        for path in _kept(deployment)
    ]
    return [*written, *tables, *views, _access(deployment, folder / "grants.sql")]


def _access(deployment: Deployment, path: Path) -> Access:
    environment = deployment.project.environment
    prefix = environment.prefix.replace("-", "_")
    granted = statements(
        path, prefix=prefix, database=environment.warehouse.database, copy_role=environment.warehouse.copy_role
    )
    roles = tuple(dict.fromkeys(_ROLE.findall("\n".join(granted))))
    users = {f"IAMR:{name}": role and f"{prefix}_{role}" for name, role in deployment.warehouse_users().items()}
    if strange := {role for role in users.values() if role} - {*roles}:
        raise ConfigError(f"{path}: no grant to {', '.join(sorted(strange))}; roles: {', '.join(roles)}")
    # In a workgroup that was there before, others may live on it.
    closed = () if environment.warehouse.existing else _CLOSE_PUBLIC
    unloading = [user for user, role in users.items() if role is None]
    assumed = [
        f"GRANT ASSUMEROLE ON '{environment.warehouse.copy_role}' TO \"{user}\" FOR UNLOAD" for user in unloading
    ]
    # What dbt will build, as well: it builds a mart anew each time, and a new one has no grants.
    built = f'ALTER DEFAULT PRIVILEGES FOR USER "IAMR:{deployment.modeller}" IN SCHEMA marts'
    shown = [f"{built} GRANT SELECT ON TABLES TO ROLE {prefix}_analyst"] if deployment.modeller else []
    return Access(name="access", sqls=(*closed, *granted, *assumed, *shown), roles=roles, users=users)


def statements(path: Path, **values: str) -> tuple[str, ...]:
    """Reads the statements of a SQL file, its placeholders filled in; ConfigError when the Data API would not take them at once."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("--")]
    try:
        text = Template("\n".join(lines)).substitute(values)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path}: placeholder {error}; known: {', '.join(values) or 'none'}") from None
    found = tuple(statement.strip() for statement in text.split(";") if statement.strip())
    most = MOST_STATEMENTS - OWN_STATEMENTS
    if len(found) > most:
        raise ConfigError(
            f"{path}: {len(found)} statements, and one transaction of the Data API takes {most}. hint: two files"
        )
    return _fitting(str(path), found)


def _fitting(where: str, sqls: tuple[str, ...]) -> tuple[str, ...]:
    for number, statement in enumerate(sqls, 1):
        if (size := len(statement.encode())) > MOST_BYTES:
            raise ConfigError(f"{where}: statement {number} has {size} bytes, and the Data API takes {MOST_BYTES}")
    return sqls


def _making(name: str, table: GoldTable) -> tuple[str, ...]:
    """What makes a gold table; ConfigError where the Data API would not take this or its loads."""
    changes = ChangeFile(name, table.grain, tuple(table.columns), 0, ())
    # The loads name each column thrice; what else is in them is short.
    _fitting(f"gold table {name}: its load", load_of([changes], "s3://bucket/manifest", "role", "run").sqls)
    return _fitting(f"gold table {name}", (create_table(name, table),))


def _number(path: Path) -> str:
    if not _WRITTEN.fullmatch(path.stem):
        raise ConfigError(f"{path}: a migration is called by its number and what it does, like 002_more_of_it.sql")
    return path.stem


def _view(path: Path) -> str:
    if f"create or replace view analytics.{path.stem} as" not in " ".join(path.read_text().lower().split()):
        raise ConfigError(f"{path}: has to be CREATE OR REPLACE VIEW analytics.{path.stem} AS, as the file is named")
    return path.stem


def _about(path: Path) -> str:
    """What the warehouse says of a view: what its file opens with."""
    opening = f"-- {path.stem}: "
    first = path.read_text().partition("\n")[0]
    if not first.startswith(opening):
        raise ConfigError(f"{path}: must open with `{opening}` and what the view tells")
    return comment(f"VIEW analytics.{path.stem}", first.removeprefix(opening))


def _kept(deployment: Deployment) -> list[Path]:
    """The files of views whose tables and views this deployment has, in order."""
    folder = deployment.root / "sql" / "redshift"
    there = {*deployment.project.gold}
    for path in (folder / "migrations").glob("*.sql"):
        there.update(_MADE.findall(path.read_text().lower()))
    kept = []
    for path in sorted((folder / "views").glob("*.sql")):
        if _read(path) <= there:
            kept.append(path)
            there.add(path.stem)
    return kept


def _read(path: Path) -> set[str]:
    """What a view reads of its own schema."""
    [view] = sqlglot.parse(path.read_text(), read="redshift")
    tables = view.expression.find_all(sqlglot.exp.Table) if view else ()
    return {table.name for table in tables if table.db == "analytics"}
