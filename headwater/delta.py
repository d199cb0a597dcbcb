"""What Delta knows that Spark's DataFrame API does not tell: versions, transaction ids and commit metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

_TXN_APP_ID = "spark.databricks.delta.write.txnAppId"
_TXN_VERSION = "spark.databricks.delta.write.txnVersion"
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_HISTORY_PAGE = 20


@dataclass(frozen=True)
class Commit:
    """One Delta commit: its version, its metrics as integers, and the user metadata it carries."""

    version: int
    metrics: dict[str, int]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A Delta table by path, which need not exist yet."""

    spark: SparkSession
    path: str

    def exists(self) -> bool:
        """Tells whether the table has a first commit."""
        return bool(DeltaTable.isDeltaTable(self.spark, self.path))

    def read(self) -> DataFrame:
        """Reads the newest version."""
        return self.spark.read.format("delta").load(self.path)

    def delta(self) -> DeltaTable:
        """Opens the table for MERGE."""
        return DeltaTable.forPath(self.spark, self.path)

    def version(self) -> int:
        """Finds the newest version; -1 before the first commit."""
        return int(self._log().update(False, _none(self.spark), _none(self.spark)).version()) if self.exists() else -1

    def transaction(self, app_id: str) -> int:
        """Finds the last transaction version that an application committed; 0 when it never did."""
        if not self.exists():
            return 0
        snapshot = self._log().update(False, _none(self.spark), _none(self.spark))
        last = snapshot.transactions().get(app_id)
        return int(last.get()) if last.isDefined() else 0

    def changes(self, since: int) -> DataFrame:
        """Reads the change data feed from version `since` on, with `_change_type` and `_commit_version`."""
        return (
            self.spark.read.format("delta")
            .option("readChangeFeed", "true")
            .option("startingVersion", since)
            .load(self.path)
        )

    def commit_of(self, app_id: str, transaction: int) -> Commit:
        """Finds the commit that one transaction made, newest first; LookupError when there is none."""
        limit = _HISTORY_PAGE
        while True:
            rows = self.delta().history(limit).select("version", "operationMetrics", "userMetadata").collect()
            for row in rows:
                metadata = json.loads(row.userMetadata) if row.userMetadata else {}
                if metadata.get("app_id") == app_id and metadata.get("transaction") == transaction:
                    metrics = {key: int(value) for key, value in row.operationMetrics.items() if value.isdigit()}
                    return Commit(row.version, metrics, metadata)
            if len(rows) < limit:
                raise LookupError(f"{self.path}: no commit of transaction {transaction} of {app_id}")
            limit *= 4

    def latest_metadata(self) -> dict[str, Any]:
        """Reads the user metadata of the newest commit that carries any; empty when none does."""
        if not self.exists():
            return {}
        limit = _HISTORY_PAGE
        while True:
            rows = self.delta().history(limit).select("userMetadata").collect()
            for row in rows:
                if row.userMetadata:
                    found: dict[str, Any] = json.loads(row.userMetadata)
                    return found
            if len(rows) < limit:
                return {}
            limit *= 4

    @contextmanager
    def transact(self, app_id: str, transaction: int, **metadata: object) -> Iterator[None]:
        """Makes every write inside carry a transaction id, so that Delta skips one it has seen, and the metadata."""
        conf = self.spark.conf
        conf.set(_TXN_APP_ID, app_id)
        conf.set(_TXN_VERSION, str(transaction))
        conf.set(_USER_METADATA, json.dumps({"app_id": app_id, "transaction": transaction, **metadata}))
        try:
            yield
        finally:
            for key in (_TXN_APP_ID, _TXN_VERSION, _USER_METADATA):
                conf.unset(key)

    def _log(self) -> Any:
        jvm: Any = self.spark._jvm
        return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path)


def _none(spark: SparkSession) -> Any:
    jvm: Any = spark._jvm
    return jvm.scala.Option.empty()
