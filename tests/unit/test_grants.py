"""What analysts are given: the declared tables that a crawl has put into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from headwater.config import Project
from headwater.config.environment import Analysts
from headwater.open_project import OpenProject
from headwater.run.grants import _tables

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROLE = "arn:aws:iam::123456789012:role/analysts"


def opened(project: Project, *roles: str) -> OpenProject:
    environment = project.environment.model_copy(update={"analysts": Analysts(roles=roles)})
    return OpenProject(project.model_copy(update={"environment": environment}))


def test_only_declared_tables_that_are_there_are_granted(project: Project, s3: S3Client) -> None:
    glue = boto3.client("glue")
    for zone, tables in {"silver": ("orders", "of_somebody_else"), "gold": ("business_metrics",)}.items():
        database = project.environment.database(zone)  # type: ignore[arg-type]
        glue.create_database(DatabaseInput={"Name": database})
        for table in tables:
            glue.create_table(DatabaseName=database, TableInput={"Name": table})
    assert list(_tables(opened(project, ROLE))) == [
        ("headwater_local_silver", "orders"),
        ("headwater_local_gold", "business_metrics"),
    ]
    assert list(_tables(opened(project))) == []
