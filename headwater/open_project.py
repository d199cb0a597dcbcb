"""A deployed project, opened: what is declared, its ledger, its secrets and its warehouse.

Glue jobs, Lambdas and the command line share it; none of it needs Spark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import boto3

from headwater.config import Project, load_deployed
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.secrets import read_secret, save_secret
from headwater.warehouse import data_api

# A workgroup that sleeps has to wake first.
STATEMENT_SECONDS = 240.0
"""How long a query may take."""


@dataclass(frozen=True)
class OpenProject:
    """One deployed project, as its jobs, its Lambdas and the command line reach it."""

    project: Project

    @classmethod
    def deployed(cls) -> OpenProject:
        """Opens the project whose file is named by PROJECT_URI, as in a Lambda."""
        return cls.at(os.environ["PROJECT_URI"])

    @classmethod
    def at(cls, uri: str) -> OpenProject:
        """Opens the project that was deployed to an S3 URI."""
        parts = urlsplit(uri)
        body = boto3.client("s3").get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()
        return cls(load_deployed(body.decode()))

    @cached_property
    def ledger(self) -> Ledger:
        """Its ledger, on the raw bucket."""
        return Ledger(Bucket(boto3.client("s3"), self.project.environment.bucket("raw")))

    @property
    def lake(self) -> Bucket:
        """The bucket of its lake."""
        return Bucket(self.ledger.bucket.s3, self.project.environment.bucket("lake"))

    def streams(self, source: str | None = None) -> Iterator[StreamLedger]:
        """Opens the ledger of every stream, of one source or of all."""
        for name, declared in self.project.sources.items():
            if source in (None, name):
                for stream in declared.streams:
                    yield self.ledger.stream(name, stream)

    def secret(self, name: str | None) -> dict[str, str]:
        """Reads a secret by its name under the environment's prefix; empty when the source has none."""
        return {} if name is None else read_secret(self._secret(name))

    def save_secret(self, name: str | None, secret: Mapping[str, str]) -> None:
        """Writes a secret back, of which the provider has rotated a part."""
        assert name is not None  # noqa: S101 - without a secret there is nothing to rotate
        save_secret(self._secret(name), secret)

    def _secret(self, name: str) -> str:
        return f"{self.project.environment.prefix}/{name}"

    def query(self, sql: str) -> tuple[tuple[str | None, ...], ...]:
        """Runs one query in the warehouse and reads its rows; QueryError when the warehouse refuses."""
        warehouse = self.project.environment.warehouse
        return data_api.query(boto3.client("redshift-data"), warehouse, sql, STATEMENT_SECONDS).rows
