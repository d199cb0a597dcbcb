"""What config/ declares, read once for all tests of a process: models are frozen."""

from __future__ import annotations

from functools import cache

from headwater.config import HttpSource, Policy, Project, Table
from headwater.deploy.project import Declared
from tests.support.paths import ROOT


@cache
def checkout() -> Declared:
    """The files of this checkout."""
    return Declared(ROOT)


@cache
def project(environment: str = "dev") -> Project:
    """The declared project of an environment."""
    return checkout().project(environment)


def http_source(name: str) -> HttpSource:
    """A source that speaks HTTP, as its file says, without an environment's differences."""
    source = project().sources[name]
    assert isinstance(source, HttpSource)
    return source


def table(name: str) -> Table:
    """A silver table, as its file says."""
    return project().tables[name]


def policy(table: str) -> Policy:
    """The quality policy of a table."""
    return project().quality[table]
