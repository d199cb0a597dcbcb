"""The arguments of every format of COPY."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg

from local.gateway.redshift.options import (
    Options,
)
from local.gateway.redshift.table import Column, Session, copy_into
from local.gateway.s3_objects import S3Objects


@dataclass(frozen=True)
class Load:
    """One file, and the table that it goes into."""

    session: Session
    table: list[str]
    columns: list[Column]
    options: Options
    objects: S3Objects
    bucket: str
    key: str

    def rows(self, settings: str = "") -> AbstractContextManager[psycopg.Copy]:
        """Opens the way into the table, for CSV with some settings of PostgreSQL's."""
        return copy_into(self.session, self.table, self.columns, settings)
