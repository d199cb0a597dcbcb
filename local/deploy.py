"""Deploys one environment to the local stack through the AWS API: what Terraform provisions on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3
from botocore.exceptions import ClientError

from headwater.deploy.deployment import ZONES, Deployment
from headwater.deploy.job_arguments import LIBRARY_KEY, PROJECT_KEY, WHEELS_KEY, jars
from headwater.deploy.packages import jar, lambda_zip, library_zip, wheels_zip
from local.deploy_access import deploy_access, deploy_topic, role_arn
from local.deploy_entrances import deploy_entrances
from local.deploy_schedules import deploy_schedules
from local.deploy_warehouse import migrate


def deploy(deployment: Deployment) -> None:
    """Makes or updates everything the environment consists of but its secrets; safe to repeat."""
    keys = deploy_access(deployment)
    _buckets(deployment, keys["data"])
    _artifacts(deployment)
    deploy_topic(deployment, keys["alerts"])
    _databases(deployment)
    _jobs(deployment)
    _lambdas(deployment, keys["data"])
    deploy_entrances(deployment, keys)
    _crawlers(deployment)
    _athena(deployment)
    _lake_formation(deployment)
    migrate(deployment)
    _state_machine(deployment)
    deploy_schedules(deployment, keys["data"])


def _buckets(deployment: Deployment, key: str) -> None:
    s3: Any = boto3.client("s3")
    environment = deployment.project.environment
    for name in deployment.buckets().values():
        try:
            s3.head_bucket(Bucket=name)
        except ClientError:
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": environment.region})
        encrypted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rule = {"ApplyServerSideEncryptionByDefault": encrypted, "BucketKeyEnabled": True}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _artifacts(deployment: Deployment) -> None:
    s3 = boto3.client("s3")
    bucket = deployment.project.environment.bucket("artifacts")
    s3.put_object(Bucket=bucket, Key=PROJECT_KEY, Body=deployment.project.model_dump_json(by_alias=True).encode())
    s3.put_object(Bucket=bucket, Key=LIBRARY_KEY, Body=library_zip(deployment.root))
    s3.put_object(Bucket=bucket, Key=WHEELS_KEY, Body=wheels_zip(deployment.root))
    for name in jars(deployment.project):
        s3.put_object(Bucket=bucket, Key=f"packages/{name}", Body=jar(name))
    for script in sorted((deployment.root / "glue_jobs").glob("*.py")):
        s3.put_object(Bucket=bucket, Key=f"glue_jobs/{script.name}", Body=script.read_bytes())


def put_secrets(prefix: str, secrets: Mapping[str, Mapping[str, str]]) -> None:
    """Gives each secret its value, JSON, by its name under the prefix; makes it if need be."""
    client = boto3.client("secretsmanager")
    for name, value in secrets.items():
        text = json.dumps(value)
        try:
            client.create_secret(Name=f"{prefix}/{name}", SecretString=text, KmsKeyId=f"alias/{prefix}-secrets")
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=f"{prefix}/{name}", SecretString=text)


def _databases(deployment: Deployment) -> None:
    glue = boto3.client("glue")
    for zone in ZONES:
        try:
            glue.create_database(DatabaseInput={"Name": deployment.project.environment.database(zone)})
        except glue.exceptions.AlreadyExistsException:
            continue


def _jobs(deployment: Deployment) -> None:
    glue: Any = boto3.client("glue")
    existing = set(glue.list_jobs()["JobNames"])
    for job in deployment.jobs():
        settings = {
            "Role": role_arn(deployment, job.name),
            "SecurityConfiguration": deployment.security_configuration,
            "Command": {"Name": "glueetl", "ScriptLocation": deployment.script_uri(job), "PythonVersion": "3"},
            "DefaultArguments": job.arguments,
            "ExecutionProperty": {"MaxConcurrentRuns": job.max_concurrent_runs},
            "MaxRetries": 0,
            "Timeout": job.timeout_minutes,
            "GlueVersion": "5.1",
            "WorkerType": job.worker_type,
            "NumberOfWorkers": job.workers,
            "ExecutionClass": "FLEX" if job.flex else "STANDARD",
        }
        if job.name in existing:
            glue.update_job(JobName=job.name, JobUpdate=settings)
        else:
            glue.create_job(Name=job.name, **settings)


def _lambdas(deployment: Deployment, key: str) -> None:
    client: Any = boto3.client("lambda")
    for function in deployment.lambdas():
        code = lambda_zip(deployment.root, function.folder)
        try:
            client.create_function(
                FunctionName=function.name,
                Runtime="python3.11",
                Role=role_arn(deployment, function.name),
                KMSKeyArn=key,
                Handler="handler.handler",
                Code={"ZipFile": code},
                Timeout=function.timeout_seconds,
                Environment={"Variables": function.variables},
            )
        except client.exceptions.ResourceConflictException:
            client.update_function_code(FunctionName=function.name, ZipFile=code)


def _crawlers(deployment: Deployment) -> None:
    glue: Any = boto3.client("glue")
    for crawler in deployment.crawlers():
        settings = {
            "Role": role_arn(deployment, f"{deployment.prefix}-crawl-{crawler.zone}"),
            "CrawlerSecurityConfiguration": deployment.security_configuration,
            "DatabaseName": crawler.database,
            "TablePrefix": crawler.table_prefix,
            "Targets": {"DeltaTargets": [{"DeltaTables": list(crawler.tables), "CreateNativeDeltaTable": True}]},
            "SchemaChangePolicy": {"UpdateBehavior": crawler.update, "DeleteBehavior": crawler.delete},
        }
        with suppress(glue.exceptions.EntityNotFoundException):
            glue.delete_crawler(Name=crawler.name)
        glue.create_crawler(Name=crawler.name, **settings)


def _athena(deployment: Deployment) -> None:
    client = boto3.client("athena")
    names = {group["Name"] for group in client.list_work_groups()["WorkGroups"]}
    if deployment.prefix not in names:
        location = f"s3://{deployment.project.environment.bucket('logs')}/athena/"
        client.create_work_group(
            Name=deployment.prefix, Configuration={"ResultConfiguration": {"OutputLocation": location}}
        )


def _lake_formation(deployment: Deployment) -> None:
    """Lets grant_tables pass on what it may select itself."""
    environment = deployment.project.environment
    role = role_arn(deployment, f"{deployment.prefix}-grant_tables")
    for zone in ("silver", "gold"):
        boto3.client("lakeformation").grant_permissions(
            Principal={"DataLakePrincipalIdentifier": role},
            Resource={"Table": {"DatabaseName": environment.database(zone), "TableWildcard": {}}},
            Permissions=["SELECT", "DESCRIBE"],
            PermissionsWithGrantOption=["SELECT", "DESCRIBE"],
        )


def _state_machine(deployment: Deployment) -> None:
    client: Any = boto3.client("stepfunctions")
    role = role_arn(deployment, deployment.state_machine)
    try:
        client.describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        client.create_state_machine(name=deployment.state_machine, definition=deployment.definition(), roleArn=role)
    else:
        client.update_state_machine(
            stateMachineArn=deployment.state_machine_arn, definition=deployment.definition(), roleArn=role
        )
