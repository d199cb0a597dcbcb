"""The S3 calls of the ledger, and keys that sort the newest first."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from headwater.errors import LedgerError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_COUNTDOWN_FROM = 999_999_999
# S3's answers to a conditional write: two at the same moment, of which this one is to be tried again, and an object is there.
_CONFLICT = 409
_IS_THERE = 412
_CONFLICT_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6)


def countdown(number: int) -> str:
    """Writes a number counting down, so that the newest key sorts first."""
    return f"{_COUNTDOWN_FROM - number:09d}"


def counted_down(key: str) -> int:
    """Reads the number back from a key that ends in its countdown."""
    return _COUNTDOWN_FROM - int(key.rsplit("/", 1)[-1].partition(".")[0])


@dataclass(frozen=True)
class Bucket:
    """The few S3 calls the ledger needs, on one bucket."""

    s3: S3Client
    name: str

    @property
    def uri(self) -> str:
        """The bucket's root, for Spark and Redshift."""
        return f"s3://{self.name}"

    def create(self, key: str, body: bytes) -> bool:
        """Creates an object; False when another is there, whose bytes were read and are not these.

        LedgerError when S3 says again and again that another write is going on, so that nobody knows what will be there.
        """
        for longest in (*_CONFLICT_WAITS, None):
            try:
                self.s3.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {_CONFLICT, _IS_THERE}:
                    raise
            else:
                return True
            # What is in the way may be this very write: its reply was lost, and boto3 has sent it again.
            there = self.read(key)
            if there is not None:
                return there == body
            if longest is not None:
                time.sleep(random.uniform(0, longest))
        raise LedgerError(f"s3://{self.name}/{key}: other writes were going on at each try. hint: run again")

    def write(self, key: str, body: bytes) -> None:
        """Writes an object, over the one that is there."""
        self.s3.put_object(Bucket=self.name, Key=key, Body=body)

    def read(self, key: str) -> bytes | None:
        """Reads an object; None when it is not there."""
        try:
            return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise

    def upload(self, path: Path, key: str) -> None:
        """Uploads a local file."""
        self.s3.upload_file(str(path), self.name, key)

    def keys(self, prefix: str, page: int = 1000) -> Iterator[tuple[str, datetime, int]]:
        """Lists (key, modified, bytes) below a prefix in key order, asking for `page` at a time."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix, PaginationConfig={"PageSize": page}
        )
        for answer in pages:
            for item in answer.get("Contents", []):
                yield item["Key"], item["LastModified"], item["Size"]
