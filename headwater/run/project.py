"""A deployed project, opened: what is declared, its ledger, its secrets and its warehouse.

Glue jobs, Lambdas and the command line share it; none of it needs Spark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import boto3

from headwater.config import Project, load_deployed
from headwater.ledger.bucket import Bucket
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.warehouse import data_api

_STATEMENT_SECONDS = 60.0


@dataclass(frozen=True)
class Environment:
    """One deployed environment, as its Lambdas and the CLI reach it."""

    project: Project

    @classmethod
    def deployed(cls) -> Environment:
        """Opens the environment whose project file is named by PROJECT_URI."""
        parts = urlsplit(os.environ["PROJECT_URI"])
        body = boto3.client("s3").get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()
        return cls(load_deployed(body.decode()))

    @cached_property
    def ledger(self) -> Ledger:
        """The environment's ledger."""
        return Ledger(Bucket(boto3.client("s3"), self.project.environment.bucket("raw")))

    def streams(self, source: str | None = None) -> Iterator[StreamLedger]:
        """Opens the ledger of every stream, of one source or of all."""
        for name, declared in self.project.sources.items():
            if source in (None, name):
                for stream in declared.streams:
                    yield self.ledger.stream(name, stream)

    def query(self, sql: str) -> tuple[tuple[str | None, ...], ...]:
        """Runs one query in the warehouse and reads its rows; QueryError when the warehouse refuses."""
        warehouse = self.project.environment.warehouse
        return data_api.query(boto3.client("redshift-data"), warehouse, sql, _STATEMENT_SECONDS).rows
