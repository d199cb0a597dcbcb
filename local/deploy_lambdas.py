"""Deploys the Lambda functions through the AWS API: what terraform/modules/lambdas provisions on AWS."""

from __future__ import annotations

from typing import Any

import boto3

from headwater.deploy.deployment import Deployment, LambdaSpec
from headwater.deploy.packages import lambda_zip
from local.deploy_access import role_arn

ALIAS = "live"


def deploy_lambdas(deployment: Deployment, key: str) -> None:
    """Makes or updates every function, its variables encrypted with a key, and its alias; safe to repeat."""
    client: Any = boto3.client("lambda")
    reserved = deployment.project.environment.reserved_concurrency
    for function in deployment.lambdas():
        code = lambda_zip(deployment.root, function.folder)
        settings = _settings(deployment, function, key)
        try:
            made = client.create_function(Code={"ZipFile": code}, Publish=True, **settings)
        except client.exceptions.ResourceConflictException:
            client.update_function_configuration(**settings)
            made = client.update_function_code(FunctionName=function.name, ZipFile=code, Publish=True)
        if reserved is not None:
            client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=reserved)
        _alias(function.name, made["Version"])


def alias_arn(deployment: Deployment, function: str) -> str:
    """The ARN by which event sources call a function."""
    return deployment.project.environment.arn("lambda", f"function:{function}:{ALIAS}")


def permit(function: str, statement: str, service: str, source: str) -> None:
    """Lets a service call a function by its alias, on behalf of a source; safe to repeat."""
    client: Any = boto3.client("lambda")
    try:
        client.add_permission(
            FunctionName=function,
            Qualifier=ALIAS,
            StatementId=statement,
            Action="lambda:InvokeFunction",
            Principal=service,
            SourceArn=source,
        )
    except client.exceptions.ResourceConflictException:
        return


def _settings(deployment: Deployment, function: LambdaSpec, key: str) -> dict[str, Any]:
    return {
        "FunctionName": function.name,
        "Description": f"See lambdas/{function.folder}/handler.py.",
        "Runtime": "python3.11",
        "Role": role_arn(deployment, function.name),
        "KMSKeyArn": key,
        "Handler": "handler.handler",
        "MemorySize": 512,
        "Timeout": function.timeout_seconds,
        "Environment": {"Variables": function.variables},
        "DeadLetterConfig": {"TargetArn": deployment.entrances.dead_letters_arn},
        "TracingConfig": {"Mode": "Active"},
    }


def _alias(function: str, version: str) -> None:
    client: Any = boto3.client("lambda")
    settings = {"FunctionName": function, "Name": ALIAS, "FunctionVersion": version}
    if client.list_aliases(FunctionName=function)["Aliases"]:
        client.update_alias(**settings)
    else:
        client.create_alias(**settings, Description="The version in use.")
