"""What Gold publishes for Load: the change files of each gold table, listed in the lake bucket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.ledger.bucket import Bucket, countdown, counted_down

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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
