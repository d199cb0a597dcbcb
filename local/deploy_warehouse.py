"""Deploys the warehouse: its workgroup, and what is in it by its migrations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config

from headwater.deploy.deployment import Deployment
from headwater.errors import LoadError

_MIGRATION_SECONDS = 900


def deploy_workgroup(deployment: Deployment, keys: Mapping[str, str]) -> dict[str, str]:
    """Makes workgroup and namespace and returns their ARNs and that of the administrator's secret, as roles name them; safe to repeat.

    `keys` holds the ARN of each key by what it protects.
    """
    environment = deployment.project.environment
    warehouse = environment.warehouse
    redshift: Any = boto3.client("redshift-serverless")
    with suppress(redshift.exceptions.ConflictException):
        redshift.create_namespace(
            namespaceName=warehouse.workgroup,
            dbName=warehouse.database,
            kmsKeyId=keys["data"],
            manageAdminPassword=True,
            adminPasswordSecretKmsKeyId=keys["secrets"],
            iamRoles=[warehouse.copy_role],
            defaultIamRoleArn=warehouse.copy_role,
            logExports=["connectionlog", "useractivitylog", "userlog"],
        )
        made = redshift.create_workgroup(
            workgroupName=warehouse.workgroup,
            namespaceName=warehouse.workgroup,
            baseCapacity=warehouse.base_capacity,
            maxCapacity=warehouse.max_capacity,
            publiclyAccessible=False,
            enhancedVpcRouting=False,
        )["workgroup"]
        for action, days in {"log": 1, "deactivate": 2}.items():
            redshift.create_usage_limit(
                resourceArn=made["workgroupArn"],
                usageType="serverless-compute",
                period="daily",
                amount=warehouse.rpu_hours_a_day * days,
                breachAction=action,
            )
    namespace = _namespace(deployment)
    return {
        "admin_secret": namespace["adminPasswordSecretArn"],
        "workgroup_arn": redshift.get_workgroup(workgroupName=warehouse.workgroup)["workgroup"]["workgroupArn"],
        "namespace_arn": namespace["namespaceArn"],
    }


def migrate(deployment: Deployment) -> None:
    """Calls the Lambda that migrates the warehouse; LoadError says why it cannot."""
    client: Any = boto3.client("lambda", config=Config(read_timeout=_MIGRATION_SECONDS, retries={"max_attempts": 0}))
    event = {**deployment.migrations(), "admin_secret": _namespace(deployment)["adminPasswordSecretArn"]}
    answer = client.invoke(FunctionName=deployment.migrator, Payload=json.dumps(event).encode())
    if "FunctionError" in answer:
        raise LoadError(json.loads(answer["Payload"].read())["errorMessage"])


def _namespace(deployment: Deployment) -> dict[str, str]:
    redshift: Any = boto3.client("redshift-serverless")
    found: dict[str, str] = redshift.get_namespace(namespaceName=deployment.project.environment.warehouse.workgroup)[
        "namespace"
    ]
    return found
