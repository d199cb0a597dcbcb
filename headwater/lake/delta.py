"""What Spark's DataFrame API lacks of Delta: versions, transaction ids and commit metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import takewhile
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from headwater.lake.session import having

_TXN_APP_ID = "spark.databricks.delta.write.txnAppId"
_TXN_VERSION = "spark.databricks.delta.write.txnVersion"
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_RESTORED = "restored"
_OVERWRITTEN = "overwritten"


@dataclass(frozen=True)
class Commit:
    """One Delta commit: its version and operation, its metrics as integers, and the user metadata it carries."""

    version: int
    operation: str
    metrics: dict[str, int]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class _Restored:
    """A RESTORE: the version that it made, and the one that it went back to."""

    version: int
    to: int


@dataclass(frozen=True)
class Table:
    """A Delta table by path, which need not exist yet."""

    spark: SparkSession
    path: str

    def exists(self) -> bool:
        """True when the table has a first commit."""
        return self.version() >= 0

    def read(self, version: int | None = None) -> DataFrame:
        """Reads the newest version, or an earlier one."""
        reader = self.spark.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(self.path)

    def delta(self) -> DeltaTable:
        """Opens the table for MERGE."""
        return DeltaTable.forPath(self.spark, self.path)

    def version(self) -> int:
        """Finds the newest version; -1 before the first commit."""
        return int(self._snapshot().version())

    def schema(self) -> str:
        """Describes the newest version's columns, as JSON, and what it is partitioned by."""
        metadata = self._snapshot().metadata()
        partitions = [str(name) for name in metadata.partitionColumns().mkString(",").split(",") if name]
        return json.dumps(
            {"columns": json.loads(metadata.schemaString())["fields"], "partitions": partitions}, indent=1
        )

    def types(self) -> dict[str, str]:
        """The Spark SQL type of each column of the newest version."""
        return {field.name: field.dataType.simpleString() for field in self.read().schema}

    def add_columns(self, types: Mapping[str, str]) -> None:
        """Adds columns, which are NULL in every row that is there."""
        told = ", ".join(f"`{name}` {type_}" for name, type_ in types.items())
        self.spark.sql(f"ALTER TABLE delta.`{self.path}` ADD COLUMNS ({told})")

    def data_version(self, since: int) -> int:
        """Finds the newest version after `since` whose commit may have changed rows; `since` itself when there is none.

        An OPTIMIZE puts the same rows into other files: no row changes in its commit.
        """
        newest = self.version()
        arranging = takewhile(lambda commit: commit.operation == "OPTIMIZE", self._commits(newest, since))
        # Where the log has been cleaned up before `since` is reached, what is missing counts as changed, and is read.
        return newest - sum(1 for _ in arranging)

    def transaction(self, app_id: str) -> int:
        """Finds the last transaction of an application that the table's rows have; 0 when they have none.

        A RESTORE takes rows back, but not the transaction that brought them: from then on what counts is what the version that was
        restored had, and what has been committed since.
        """
        return self._transaction(app_id, self._snapshot())

    def _transaction(self, app_id: str, snapshot: Any) -> int:
        version = int(snapshot.version())
        if version < 0:
            return 0
        restored = self._restored(version)
        last = _last_of(_since(app_id, restored), snapshot)
        if last is not None:
            return last
        if restored is None:
            return 0
        before = self._log().getSnapshotAt(restored.to, _none(self.spark), _none(self.spark))
        return self._transaction(app_id, before)

    def _restored(self, version: int) -> _Restored | None:
        """Finds the newest RESTORE up to a version; every commit of ours carries it on, so the log is not read any further."""
        for number, lines in self._log_lines(version):
            commit = _commit(number, lines)
            if commit.operation == "RESTORE":
                return _Restored(number, self._restored_to(lines))
            if _RESTORED in commit.metadata:
                carried = commit.metadata[_RESTORED]
                return _Restored(*carried) if carried else None
        return None

    def _restored_to(self, lines: Iterable[str]) -> int:
        told = next(json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"'))
        to = told["operationParameters"]
        if to.get("version") is not None:
            return int(to["version"])
        jvm: Any = self.spark._jvm
        moment = jvm.java.sql.Timestamp.valueOf(to["timestamp"])
        return int(self._log().history().getActiveCommitAtTime(moment, True, False, False).version())

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
        for commit in self._commits(self.version()):
            if commit.metadata.get("app_id") == app_id and commit.metadata.get("transaction") == transaction:
                return commit
        raise LookupError(f"{self.path}: no commit of transaction {transaction} of {app_id}")

    def own_commit(self, app_id: str, transaction: int) -> Commit:
        """Reads the commit that this session has just made, without a look at what else is in the log."""
        newest = int(self._log().unsafeVolatileSnapshot().version())
        commit = next(self._commits(newest, newest - 1), None)
        if commit and (commit.metadata.get("app_id"), commit.metadata.get("transaction")) == (app_id, transaction):
            return commit
        return self.commit_of(app_id, transaction)

    def appended(self, app_id: str, after: int) -> DataFrame | None:
        """Reads what an application has appended after a transaction, from the files of its commits.

        None when other commits lie between, which may have moved the rows. The rest of the table is not read: the cost does not grow
        with the table.
        """
        added: list[str] = []
        for version, lines in self._log_lines(self.version()):
            commit = _commit(version, lines)
            if commit.operation != "WRITE" or commit.metadata.get("app_id") != app_id:
                return None
            if commit.metadata["transaction"] > after:
                added += [line for line in lines if line.startswith('{"add"')]
            # A log that was cleaned up ends before it has told all.
            if commit.metadata["transaction"] <= after or version == 0:
                return self._rows_of(added)
        return None

    def latest_metadata(self) -> dict[str, Any]:
        """Reads the user metadata of the newest commit that carries any; empty when none does.

        After a RESTORE that is the newest of those whose rows are there again.
        """
        return self._metadata_up_to(self.version())

    def _metadata_up_to(self, version: int) -> dict[str, Any]:
        restored = self._restored(version)
        since = restored.version if restored else -1
        found = next((commit.metadata for commit in self._commits(version, since) if commit.metadata), None)
        if found is None and restored:
            return self._metadata_up_to(restored.to)
        return found or {}

    def overwritten(self, since: int) -> bool:
        """True when a commit after `since` has written the table whole, so that its change feed tells nothing of use."""
        return any(commit.metadata.get(_OVERWRITTEN) for commit in self._commits(self.version(), since))

    def overwrite(self, rows: DataFrame, app_id: str, transaction: int, **metadata: object) -> None:
        """Makes of the table, in one commit, what `rows` has, with its columns and types; readers see the one before until then."""
        with self.transact(app_id, transaction, **metadata, **{_OVERWRITTEN: True}):
            rows.write.format("delta").mode("overwrite").option("overwriteSchema", True).save(self.path)

    def _commits(self, newest: int, since: int = -1) -> Iterator[Commit]:
        """Reads the commits after `since`, newest first, as far back as the log goes."""
        return (_commit(version, lines) for version, lines in self._log_lines(newest, since))

    def _log_lines(self, newest: int, since: int = -1) -> Iterator[tuple[int, list[str]]]:
        """Reads the actions of the versions after `since`, newest first, as far back as the log goes.

        One small file each, where a history would be a Spark job.
        """
        log = self._log()
        jvm: Any = self.spark._jvm
        conf = self.spark._jsparkSession.sessionState().newHadoopConf()
        for version in range(newest, since, -1):
            path = jvm.org.apache.hadoop.fs.Path(log.logPath(), f"{version:020d}.json")
            try:
                lines = log.store().read(path, conf).mkString("\n").splitlines()
            except Py4JJavaError as error:
                if "FileNotFound" in str(error.java_exception):
                    return
                raise
            yield version, lines

    def _rows_of(self, added: Iterable[str]) -> DataFrame:
        """Reads the files that these actions have added."""
        jvm: Any = self.spark._jvm
        files = jvm.java.util.ArrayList()
        for action in added:
            files.add(jvm.org.apache.spark.sql.delta.actions.Action.fromJson(action))
        listed = jvm.scala.collection.JavaConverters.asScalaBuffer(files).toSeq()
        frame = self._log().createDataFrame(self._snapshot(), listed, False, _none(self.spark))
        return DataFrame(frame, self.spark)

    @contextmanager
    def transact(self, app_id: str, transaction: int, **metadata: object) -> Iterator[None]:
        """Makes every write inside carry a transaction id, so that Delta skips one it has seen, and the metadata."""
        restored = self._restored(self.version())
        told = {"app_id": app_id, "transaction": transaction, _RESTORED: restored and astuple(restored)}
        carried = {
            _TXN_APP_ID: _since(app_id, restored),
            _TXN_VERSION: str(transaction),
            _USER_METADATA: json.dumps({**told, **metadata}),
        }
        with having(self.spark, carried):
            yield

    def _snapshot(self) -> Any:
        """The newest state of the log."""
        return self._log().update(False, _none(self.spark), _none(self.spark))

    def _log(self) -> Any:
        jvm: Any = self.spark._jvm
        return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path)


def _last_of(app_id: str, snapshot: Any) -> int | None:
    """The last transaction of an application that a snapshot knows of."""
    checksum = snapshot.checksumOpt()
    listed = checksum.get().setTransactions() if checksum.isDefined() else checksum
    if listed.isDefined():
        # The commit's checksum has them all. Asked for any, a snapshot would gather them from the log by Spark jobs.
        known = listed.get()
        found = (known.apply(number) for number in range(known.size()))
        return next((int(one.version()) for one in found if one.appId() == app_id), None)
    last = snapshot.transactions().get(app_id)
    return int(last.get()) if last.isDefined() else None


def _since(app_id: str, restored: _Restored | None) -> str:
    """Names an application as Delta knows it since a RESTORE, after which it would skip what is missing as seen."""
    return f"{app_id}@{restored.version}" if restored else app_id


def _commit(version: int, lines: Iterable[str]) -> Commit:
    info: dict[str, Any] = next(
        (json.loads(line)["commitInfo"] for line in lines if line.startswith('{"commitInfo"')), {}
    )
    metrics = {key: int(value) for key, value in info.get("operationMetrics", {}).items() if value.isdigit()}
    return Commit(version, info.get("operation", ""), metrics, json.loads(info.get("userMetadata") or "{}"))


def _none(spark: SparkSession) -> Any:
    jvm: Any = spark._jvm
    return jvm.scala.Option.empty()
