"""Deploys Lake Formation's grants through the AWS API: what terraform/modules/lake provisions on AWS."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import boto3

from headwater.config.environment import Zone
from headwater.deploy.deployment import ZONES, Deployment
from local.deploy_access import role_arn

_READ: tuple[Zone, ...] = ("silver", "gold")


def deploy_grants(deployment: Deployment) -> None:
    """Registers the lake; lets grant_tables pass on what it may select itself, analysts see databases, the query
    API read gold, and crawlers keep theirs."""
    lake: Any = boto3.client("lakeformation")
    environment = deployment.project.environment
    bucket = f"arn:aws:s3:::{environment.bucket('lake')}"
    with suppress(lake.exceptions.AlreadyExistsException):
        lake.register_resource(ResourceArn=bucket, UseServiceLinkedRole=True)
    granter = role_arn(deployment, f"{deployment.prefix}-grant_tables")
    for zone in _READ:
        tables = {"Table": {"DatabaseName": environment.database(zone), "TableWildcard": {}}}
        _grant(granter, tables, ["SELECT", "DESCRIBE"], PermissionsWithGrantOption=["SELECT", "DESCRIBE"])
        for analyst in environment.analysts.roles:
            _grant(analyst, {"Database": {"Name": environment.database(zone)}}, ["DESCRIBE"])
    gold = {"DatabaseName": environment.database("gold")}
    for reader in deployment.gold_readers():
        _grant(role_arn(deployment, reader), {"Database": {"Name": gold["DatabaseName"]}}, ["DESCRIBE"])
        _grant(role_arn(deployment, reader), {"Table": {**gold, "TableWildcard": {}}}, ["SELECT", "DESCRIBE"])
    for zone in ZONES:
        crawler = role_arn(deployment, f"{deployment.prefix}-crawl-{zone}")
        database = {"Database": {"Name": environment.database(zone)}}
        _grant(crawler, database, ["ALTER", "CREATE_TABLE", "DESCRIBE"])
        _grant(crawler, {"DataLocation": {"ResourceArn": bucket}}, ["DATA_LOCATION_ACCESS"])


def _grant(principal: str, resource: dict[str, Any], permissions: list[str], **more: Any) -> None:
    lake: Any = boto3.client("lakeformation")
    lake.grant_permissions(
        Principal={"DataLakePrincipalIdentifier": principal},
        Resource=resource,
        Permissions=permissions,
        **more,
    )
