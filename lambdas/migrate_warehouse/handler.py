"""Brings the warehouse's schemas, tables, views, users and grants to what is declared."""

from typing import Any

import boto3

from headwater.warehouse.migrations import Migrations, Migrator


def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Returns the names of the migrations that ran; LoadError or ConfigError names the one that cannot."""
    by = f"{context.function_name} {context.aws_request_id}"
    return {"migrated": Migrator(boto3.client("redshift-data"), Migrations.model_validate(event), by).migrate()}
