"""The warehouse: what Gold publishes for Load, and the SQL of a staged, transactional load that counts once.

A load's SQL is one transaction: stage the change file, upsert, and note the load in etl.load_ledger. Every statement that
touches the target asks the ledger first, so replaying a load changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.errors import ConfigError
from headwater.ledger.stream import Bucket, countdown, counted_down

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_IDENTIFIER = re.compile(r"^[a-z_][a-z0-9_]{0,126}$")
_PLAIN = re.compile(r"^[A-Za-z0-9_.:/@=+-]+$")


@dataclass(frozen=True)
class ChangeFile:
    """What changed in a gold table up to one of its versions: Parquet files of its columns, `_change` and `_version`."""

    table: str
    grain: tuple[str, ...]
    columns: tuple[str, ...]
    version: int
    entries: tuple[tuple[str, int], ...]

    @classmethod
    def listed(
        cls, s3: S3Client, bucket: str, table: str, grain: Sequence[str], columns: Sequence[str], version: int
    ) -> ChangeFile:
        """Lists the files that were written for a version."""
        prefix = f"{ChangeLog(s3, bucket, table).folder(version)}/"
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        entries = [(f"s3://{bucket}/{item['Key']}", item["Size"]) for item in found if item["Key"].endswith(".parquet")]
        return cls(table, tuple(grain), tuple(columns), version, tuple(entries))


@dataclass(frozen=True)
class ChangeLog:
    """The published change files of one gold table, below `load/<table>/` in the lake bucket."""

    s3: S3Client
    bucket: str
    table: str

    def folder(self, version: int) -> str:
        """Names the folder of one version's files."""
        return f"load/{self.table}/changes/{version:09d}"

    def _key(self, version: int) -> str:
        return f"load/{self.table}/published/{countdown(version)}.json"

    def _listed(self) -> list[int]:
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"load/{self.table}/published/", MaxKeys=100)
        return [counted_down(item["Key"]) for item in answer.get("Contents", [])]

    def latest_version(self) -> int:
        """Finds the newest published version; -1 before the first."""
        return max(self._listed(), default=-1)

    def publish(self, change: ChangeFile) -> None:
        """Makes a change file visible to Load; the first publication of a version stands."""
        Bucket(self.s3, self.bucket).create(self._key(change.version), json.dumps(change.__dict__).encode())

    def since(self, version: int) -> list[ChangeFile]:
        """Reads the change files published after a version, oldest first."""
        changes = []
        for newer in sorted(found for found in self._listed() if found > version):
            body: dict[str, Any] = json.loads(
                self.s3.get_object(Bucket=self.bucket, Key=self._key(newer))["Body"].read()
            )
            changes.append(
                ChangeFile(
                    body["table"],
                    tuple(body["grain"]),
                    tuple(body["columns"]),
                    body["version"],
                    tuple((url, size) for url, size in body["entries"]),
                )
            )
        return changes


@dataclass(frozen=True)
class Load:
    """One table's load: its id, its COPY manifest, and its SQL, to be run as one transaction."""

    load_id: str
    table: str
    manifest: dict[str, Any]
    sqls: tuple[str, ...]


def load_of(changes: Sequence[ChangeFile], manifest_uri: str, copy_role: str, run_id: str) -> Load:
    """Makes the load of a table's pending change files; in each key the newest version wins."""
    newest = changes[-1]
    table, load_id = newest.table, f"{newest.table}@{newest.version}"
    for name in (table, *newest.grain, *newest.columns):
        if not _IDENTIFIER.match(name):
            raise ConfigError(f"{table}: {name!r} cannot be a column or table name in the warehouse")
    for value in (manifest_uri, copy_role, run_id, load_id):
        if not _PLAIN.match(value):
            raise ConfigError(f"{table}: {value!r} has characters that do not belong in SQL")
    columns = ", ".join(newest.columns)
    same_key = " AND ".join(f"analytics.{table}.{name} = incoming.{name}" for name in newest.grain)
    unseen = f"NOT EXISTS (SELECT 1 FROM etl.load_ledger WHERE load_id = '{load_id}')"
    grain = ", ".join(newest.grain)
    sqls = (
        f"CREATE TEMP TABLE incoming AS SELECT {columns}, CAST('' AS VARCHAR(6)) AS _change, CAST(0 AS BIGINT) AS _version "
        f"FROM analytics.{table} WHERE 1 = 0",
        f"COPY incoming FROM '{manifest_uri}' IAM_ROLE '{copy_role}' FORMAT AS PARQUET MANIFEST",
        f"DELETE FROM analytics.{table} USING incoming WHERE {same_key} AND {unseen}",
        f"INSERT INTO analytics.{table} ({columns}) SELECT {columns} FROM (SELECT {columns}, _change, ROW_NUMBER() OVER "
        f"(PARTITION BY {grain} ORDER BY _version DESC) AS recency FROM incoming) AS ranked "
        f"WHERE recency = 1 AND _change = 'upsert' AND {unseen}",
        "INSERT INTO etl.load_ledger (load_id, table_name, version, row_count, run_id, loaded_at) "
        f"SELECT '{load_id}', '{table}', {newest.version}, (SELECT COUNT(*) FROM incoming), '{run_id}', GETDATE() "
        f"WHERE {unseen}",
        "DROP TABLE incoming",
    )
    entries = [
        {"url": url, "mandatory": True, "meta": {"content_length": size}}
        for change in changes
        for url, size in change.entries
    ]
    return Load(load_id, table, {"entries": entries}, sqls)
