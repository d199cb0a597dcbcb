"""A database and one connection to it, opened by the driver's JVM through the same JDBC drivers that Spark uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from headwater.errors import FatalSourceError, RetriableSourceError, SourceError

# Classes of SQLSTATE that are transient: connection, resources, rollback of a deadlock, operator's intervention, and a slot in use.
_RETRIABLE = ("08", "53", "40", "57", "55006")


@dataclass(frozen=True)
class Database:
    """A database's JDBC address, driver and credentials; `opening` is SQL that a connection that is opened here begins with, if any."""

    url: str
    driver: str
    user: str
    password: str = field(repr=False)
    opening: str = ""

    @property
    def options(self) -> dict[str, str]:
        """The options that Spark's and Glue's JDBC readers share."""
        return {"url": self.url, "user": self.user, "password": self.password}


@dataclass(frozen=True)
class Session:
    """An open JDBC connection."""

    connection: Any

    def execute(self, sql: str) -> None:
        """Runs a statement without an answer."""
        statement = self.connection.createStatement()
        try:
            statement.execute(sql)
        except Py4JJavaError as error:
            raise _source_error(error) from None
        finally:
            statement.close()

    def rows(self, sql: str, fetch_size: int = 0) -> Iterator[tuple[str | None, ...]]:
        """Runs a query and reads its columns as text, `fetch_size` rows at a time inside a transaction; all at once if 0."""
        statement = self.connection.createStatement()
        try:
            statement.setFetchSize(fetch_size)
            result = statement.executeQuery(sql)
            width = result.getMetaData().getColumnCount()
            while result.next():
                yield tuple(result.getString(i + 1) for i in range(width))
        except Py4JJavaError as error:
            raise _source_error(error) from None
        finally:
            statement.close()

    def row(self, sql: str) -> tuple[str | None, ...]:
        """Runs a query of one row and reads its columns as text."""
        return next(iter(list(self.rows(sql))))

    def find(self, sql: str) -> tuple[str | None, ...] | None:
        """Runs a query of one row or none."""
        return next(iter(list(self.rows(sql))), None)


@contextmanager
def connect(spark: SparkSession, database: Database) -> Iterator[Session]:
    """Opens a connection that commits every statement, for the length of the block.

    FatalSourceError when the database refuses the credentials, RetriableSourceError when it does not answer.
    """
    jvm: Any = spark._jvm
    # The driver sits in Spark's own class loader; Spark's registry makes it known to java.sql.
    jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry.register(database.driver)
    properties = jvm.java.util.Properties()
    for name, value in {"user": database.user, "password": database.password}.items():
        properties.setProperty(name, value)
    try:
        connection = jvm.java.sql.DriverManager.getConnection(database.url, properties)
    except Py4JJavaError as error:
        raise _source_error(error) from None
    try:
        session = Session(connection)
        if database.opening:
            session.execute(database.opening)
        yield session
    finally:
        connection.close()


def _source_error(error: Py4JJavaError) -> SourceError:
    cause: Any = error.java_exception
    state = str(cause.getSQLState() or "") if hasattr(cause, "getSQLState") else ""
    message = f"{str(cause.getMessage()).strip()} (SQLSTATE {state or 'unknown'})"
    if state.startswith(_RETRIABLE):
        return RetriableSourceError(f"{message}. hint: run again once the database answers")
    return FatalSourceError(message)
