"""Migrations of the warehouse: what is written runs once, what is derived runs again when it has changed or is gone, and
etl.migrations says what ran.

A migration is one transaction with its row of the ledger, and begins by locking the ledger. A written one then asks the ledger once
more, by a statement that fails where it is noted already: of two who migrate at once, the second does not run it again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from headwater.config.strict import Strict
from headwater.errors import ConfigError, ConflictError, LoadError, QueryError
from headwater.log import Logger
from headwater.warehouse import data_api

MOST_STATEMENTS = 40
"""Statements that one BatchExecuteStatement takes."""
MOST_BYTES = 100_000
"""Length of one statement that the Data API takes, in bytes of UTF-8."""
OWN_STATEMENTS = 4
"""Statements that a migration's transaction has besides its own."""
# A workgroup that has slept wakes first, and Redshift lets one transaction wait for another.
_STATEMENT_SECONDS = 300.0
# Whoever writes a table meanwhile is in the way of a GRANT on it.
_CONFLICT_WAITS = (2.0, 10.0, 30.0, 60.0)
_LEDGER = (
    "CREATE SCHEMA IF NOT EXISTS etl",
    "CREATE TABLE IF NOT EXISTS etl.migrations (name VARCHAR(256) NOT NULL, digest VARCHAR(64) NOT NULL, "
    "migrated_at TIMESTAMP NOT NULL, migrated_by VARCHAR(256) NOT NULL) DISTSTYLE ALL SORTKEY (name)",
)
_TYPES = {
    "character varying": "VARCHAR({length})",
    "character": "CHAR({length})",
    "numeric": "DECIMAL({precision}, {scale})",
    "timestamp without time zone": "TIMESTAMP",
}
_LOG = Logger(__name__)
Ask = Callable[[str], Sequence[Sequence[str | None]]]
"""Asks the warehouse a query and has its rows."""


class Written(Strict):
    """A file of sql/redshift/migrations: it runs once, and stays as it was when it ran."""

    kind: Literal["written"] = "written"
    name: str
    sqls: tuple[str, ...]

    def statements(self, _ask: Ask) -> Sequence[str]:
        """What has to run."""
        return self.sqls


class View(Strict):
    """A view in analytics, which replaces what is there."""

    kind: Literal["view"] = "view"
    name: str
    sqls: tuple[str, ...]
    relation: str

    def statements(self, _ask: Ask) -> Sequence[str]:
        """What has to run."""
        return self.sqls


class Table(Strict):
    """A gold table in analytics: it is made, or gets the columns that it lacks."""

    kind: Literal["table"] = "table"
    name: str
    sqls: tuple[str, ...]
    relation: str
    grain: tuple[str, ...]
    columns: dict[str, str] = Field(description="The warehouse's types by column, in their order.")
    comments: tuple[str, ...] = Field((), description="Says of the table and of its columns what they mean.")

    def statements(self, ask: Ask) -> Sequence[str]:
        """What has to run, given what is there; ConfigError where what is there cannot become what is declared."""
        there = {str(column): _declared(*rest) for column, *rest in ask(_columns_of(self.relation))}
        if not there:
            return [*self.sqls, *self.comments]
        missing = [column for column in self.columns if column not in there]
        wrong = [f"has no {column}, which is of its grain" for column in missing if column in self.grain]
        wrong += [
            f"has {column} as {there[column]}, and {type_} is declared"
            for column, type_ in self.columns.items()
            if column in there and there[column] != type_
        ]
        if wrong:
            raise ConfigError(
                f"analytics.{self.relation} in the warehouse {'; '.join(wrong)}. hint: a new file in sql/redshift/migrations that "
                f"drops the table and deletes its rows of etl.load_ledger; it is made anew then, and the next run loads it"
            )
        added = (
            f"ALTER TABLE analytics.{self.relation} ADD COLUMN {column} {self.columns[column]}" for column in missing
        )
        return [*added, *self.comments]


class Access(Strict):
    """Users, roles and grants: afterwards they are exactly these, whatever they were before."""

    kind: Literal["access"] = "access"
    name: str
    sqls: tuple[str, ...] = Field(
        description="Takes from the roles all that they have, and grants them what is theirs."
    )
    roles: tuple[str, ...]
    users: dict[str, str | None] = Field(description="The role of each user; one without has none of these.")

    def before(self, ask: Ask) -> Sequence[str]:
        """Makes the roles and users that are not there yet, which neither CREATE ROLE nor CREATE USER can ask for."""
        roles = {role for [role] in ask("SELECT role_name FROM svv_roles")}
        users = {user for [user] in ask("SELECT usename FROM pg_user")}
        return [
            *(f"CREATE ROLE {role}" for role in self.roles if role not in roles),
            *(f'CREATE USER "{user}" PASSWORD DISABLE' for user in self.users if user not in users),
        ]

    def statements(self, ask: Ask) -> Sequence[str]:
        """What has to run, given who is a member of what."""
        members: dict[str, set[str]] = {role: set() for role in self.roles}
        for user, role in ask("SELECT user_name, role_name FROM svv_user_grants"):
            if role in members:
                members[role].add(str(user))
        wanted = {role: {user for user, its in self.users.items() if its == role} for role in self.roles}
        return [
            *(_membership("REVOKE", role, "FROM", members[role] - wanted[role]) for role in self.roles),
            *(_membership("GRANT", role, "TO", wanted[role] - members[role]) for role in self.roles),
            *self.sqls,
        ]


AnyMigration = Annotated[Written | View | Table | Access, Field(discriminator="kind")]


class Migrations(Strict):
    """What a warehouse is to hold, in the order in which it is made; who may log in as its administrator has the secret."""

    workgroup: str
    database: str
    migrations: tuple[AnyMigration, ...]
    admin_secret: str = Field(description="ARN of the administrator's secret.")


def digest(migration: AnyMigration) -> str:
    """Computes what the ledger knows a migration by: the SHA-256 of all it says."""
    return hashlib.sha256(migration.model_dump_json().encode()).hexdigest()


@dataclass(frozen=True)
class Migrator:
    """Brings a warehouse to where its migrations say; `by` is who does, for the ledger."""

    api: Any
    wanted: Migrations
    by: str
    sleep: Callable[[float], None] = time.sleep

    def migrate(self) -> list[str]:
        """Runs what has to run and names it.

        ConfigError, before anything has run, when a written migration has changed since it ran; LoadError names the one that the
        warehouse refused: that one has changed nothing, and those before it are done.
        """
        self._run(_LEDGER)
        noted = self._noted()
        self._refuse_changed(noted)
        there = self._there()
        ran: list[str] = []
        for migration in self.wanted.migrations:
            match migration:
                case Table() | View():
                    is_gone = migration.relation not in there
                case Access():
                    # What has been made anew has no grants.
                    is_gone = bool(ran)
                case Written():
                    is_gone = False
            if (is_gone or noted.get(migration.name) != digest(migration)) and self._bring(migration):
                _LOG.info("migrated", migration=migration.name)
                ran.append(migration.name)
                if isinstance(migration, Written):
                    there = self._there()
        return ran

    def _there(self) -> set[str | None]:
        return {name for [name] in self._ask("SELECT table_name FROM svv_tables WHERE table_schema = 'analytics'")}

    def _noted(self) -> dict[str, str]:
        return {str(name): str(known) for name, known in self._ask("SELECT name, digest FROM etl.migrations")}

    def _refuse_changed(self, noted: Mapping[str, str]) -> None:
        changed = [
            f"sql/redshift/migrations/{migration.name}.sql"
            for migration in self.wanted.migrations
            if isinstance(migration, Written) and noted.get(migration.name) not in {None, digest(migration)}
        ]
        if changed:
            raise ConfigError(
                f"{', '.join(changed)}: changed since it ran in this warehouse, where it will not run again. hint: put it back as it "
                "was, and write what is to change as the next file"
            )

    def _bring(self, migration: AnyMigration) -> bool:
        """Runs one migration; False when somebody else has run it meanwhile."""
        try:
            if isinstance(migration, Access):
                making = migration.before(self._ask)
                for first in range(0, len(making), MOST_STATEMENTS):
                    self._run(making[first : first + MOST_STATEMENTS])
            own = [statement for statement in migration.statements(self._ask) if statement]
            while len(own) > MOST_STATEMENTS - OWN_STATEMENTS:
                # Only columns and comments are so many: which columns are there is asked anew, should the rest fail.
                self._run(own[:MOST_STATEMENTS])
                own = own[MOST_STATEMENTS:]
            self._run([*_claim(migration), *own, *_note(migration, self.by)])
        except QueryError as error:
            if self._noted().get(migration.name) == digest(migration):
                return False
            raise LoadError(f"migration {migration.name}: {error}") from None
        return True

    def _ask(self, sql: str) -> Sequence[Sequence[str | None]]:
        return data_api.query(self.api, self.wanted, sql, _STATEMENT_SECONDS, self.wanted.admin_secret).rows

    def _run(self, sqls: Sequence[str]) -> None:
        """Runs statements as one transaction, and again when another transaction was in its way."""
        for wait in (*_CONFLICT_WAITS, None):
            try:
                data_api.run(self.api, self.wanted, sqls, _STATEMENT_SECONDS, self.wanted.admin_secret)
            except ConflictError:
                if wait is None:
                    raise
                self.sleep(wait)
            else:
                return


def _claim(migration: AnyMigration) -> list[str]:
    lock = "LOCK etl.migrations"
    if not isinstance(migration, Written):
        return [lock]
    # Divides by zero where it is noted.
    return [lock, f"SELECT 1 / (1 - COUNT(*)) FROM etl.migrations WHERE name = {_text(migration.name)}"]


def _note(migration: AnyMigration, by: str) -> list[str]:
    name = _text(migration.name)
    return [
        f"DELETE FROM etl.migrations WHERE name = {name}",
        "INSERT INTO etl.migrations (name, digest, migrated_at, migrated_by) "
        f"VALUES ({name}, '{digest(migration)}', GETDATE(), {_text(by)})",
    ]


def _columns_of(table: str) -> str:
    return (
        "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns "
        f"WHERE table_schema = 'analytics' AND table_name = {_text(table)}"
    )


def _declared(type_: str | None, length: str | None, precision: str | None, scale: str | None) -> str:
    """The type of a column that is there, spelled as a gold table declares it."""
    return _TYPES.get(str(type_), str(type_).upper()).format(length=length, precision=precision, scale=scale)


def _membership(verb: str, role: str, preposition: str, users: set[str]) -> str:
    quoted = ", ".join(f'"{user}"' for user in sorted(users))
    return f"{verb} ROLE {role} {preposition} {quoted}" if users else ""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
