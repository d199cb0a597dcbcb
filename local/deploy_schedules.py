"""Deploys the schedules through the AWS API: what terraform/modules/state_machine provisions on AWS."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.schedules import compact
from local.deploy_access import role_arn

_RETRY = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}


def deploy_schedules(deployment: Deployment, key: str) -> None:
    """Makes or updates what starts runs, Maintain and snapshots, its input encrypted with a key; safe to repeat."""
    client: Any = boto3.client("scheduler")
    environment = deployment.project.environment
    with suppress(client.exceptions.ConflictException):
        client.create_schedule_group(Name=environment.prefix)
    for spec in [*deployment.schedules(), *deployment.snapshots()]:
        settings = {
            "Name": spec.name,
            "GroupName": environment.prefix,
            "Description": "See schedules and maintenance in config/environments.",
            "ScheduleExpression": spec.expression,
            "ScheduleExpressionTimezone": spec.time_zone,
            "State": "ENABLED" if spec.enabled else "DISABLED",
            "KmsKeyArn": key,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": spec.action,
                "RoleArn": role_arn(deployment, f"{environment.prefix}-scheduler"),
                "Input": compact(spec.input),
                "DeadLetterConfig": {"Arn": deployment.entrances.dead_letters_arn},
                "RetryPolicy": _RETRY,
            },
        }
        try:
            client.create_schedule(**settings)
        except client.exceptions.ConflictException:
            client.update_schedule(**settings)
