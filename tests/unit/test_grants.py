"""What analysts are given: the declared tables that a crawl has put into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from headwater.config import Project
from headwater.config.environment import Analysts
from headwater.open_project import OpenProject
from headwater.run.grants import _filter, _tables

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


def test_what_is_made_of_a_hidden_column_is_hidden_once_it_is_there(project: Project, s3: S3Client) -> None:
    hidden = project.environment.analysts.hidden_columns["customers"]
    assert {"email", "first_name"} <= {*hidden}
    glue, database = boto3.client("glue"), project.environment.database("silver")
    glue.create_database(DatabaseInput={"Name": database})
    columns = [{"Name": name, "Type": "string"} for name in ("email", "city", "email_normal")]
    glue.create_table(
        DatabaseName=database, TableInput={"Name": "customers", "StorageDescriptor": {"Columns": columns}}
    )
    found = _filter(OpenProject(project), database, "customers")["ColumnWildcard"]["ExcludedColumnNames"]
    assert found == sorted({*hidden, "email_normal"})


def test_notes_may_tell_of_what_is_hidden(project: Project) -> None:
    analysts = Analysts(roles=(ROLE,), hidden_columns={"crm_deals": ("name",)})
    environment = project.environment.model_copy(update={"analysts": analysts})
    told = project.model_copy(update={"environment": environment})
    assert (told.made_of_hidden("crm_deals"), told.made_of_hidden("customers")) == (["notes"], [])
