"""Deploys one environment to the local stack through the AWS API: what Terraform provisions on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import ZONES, Deployment
from headwater.deploy.job_arguments import LIBRARY_KEY, PROJECT_KEY, WHEELS_KEY, jars
from headwater.deploy.packages import jar, library_zip, wheels_zip
from local.deploy_access import deploy_access, machine_log_group, role_arn
from local.deploy_alerts import deploy_bad_ends, deploy_topic
from local.deploy_buckets import deploy_buckets
from local.deploy_entrances import deploy_entrances
from local.deploy_grants import deploy_grants
from local.deploy_lambdas import deploy_lambdas
from local.deploy_schedules import deploy_schedules
from local.deploy_warehouse import migrate


def deploy(deployment: Deployment) -> None:
    """Makes or updates everything the environment consists of but its secrets; safe to repeat."""
    keys = deploy_access(deployment)
    deploy_buckets(deployment, keys["data"])
    _artifacts(deployment)
    _databases(deployment)
    _jobs(deployment)
    deploy_lambdas(deployment, keys["data"])
    deploy_topic(deployment, keys["alerts"])
    deploy_entrances(deployment, keys)
    deploy_bad_ends(deployment)
    _crawlers(deployment)
    _athena(deployment, keys["data"])
    deploy_grants(deployment)
    migrate(deployment)
    _state_machine(deployment)
    deploy_schedules(deployment, keys["data"])


def _artifacts(deployment: Deployment) -> None:
    s3 = boto3.client("s3")
    bucket = deployment.project.environment.bucket("artifacts")
    s3.put_object(Bucket=bucket, Key=PROJECT_KEY, Body=deployment.project_json)
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
            client.create_secret(
                Name=f"{prefix}/{name}",
                Description="Read by its own source's Extract job alone.",
                SecretString=text,
                KmsKeyId=f"alias/{prefix}-secrets",
            )
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=f"{prefix}/{name}", SecretString=text)


def _databases(deployment: Deployment) -> None:
    glue = boto3.client("glue")
    environment = deployment.project.environment
    for zone in ZONES:
        with suppress(glue.exceptions.AlreadyExistsException):
            glue.create_database(
                DatabaseInput={
                    "Name": environment.database(zone),
                    "Description": f"The {zone} zone: native Delta tables, kept true by crawlers.",
                    "LocationUri": f"s3://{environment.bucket('lake')}/{zone}/",
                }
            )


def _jobs(deployment: Deployment) -> None:
    glue: Any = boto3.client("glue")
    existing = set(glue.list_jobs()["JobNames"])
    for job in deployment.jobs():
        settings = {
            "Description": f"Extracts {job.source}." if job.source else f"The {job.script} stage, for all sources.",
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


def _crawlers(deployment: Deployment) -> None:
    glue: Any = boto3.client("glue")
    for crawler in deployment.crawlers():
        settings = {
            "Role": role_arn(deployment, f"{deployment.prefix}-crawl-{crawler.zone}"),
            "Description": f"Keeps the catalog of the {crawler.zone} zone true.",
            "CrawlerSecurityConfiguration": deployment.security_configuration,
            "DatabaseName": crawler.database,
            "TablePrefix": crawler.table_prefix,
            "Targets": {
                "DeltaTargets": [
                    {"DeltaTables": list(crawler.tables), "CreateNativeDeltaTable": True, "WriteManifest": False}
                ]
            },
            "SchemaChangePolicy": {"UpdateBehavior": crawler.update, "DeleteBehavior": crawler.delete},
        }
        with suppress(glue.exceptions.EntityNotFoundException):
            glue.delete_crawler(Name=crawler.name)
        glue.create_crawler(Name=crawler.name, **settings)


def _athena(deployment: Deployment, key: str) -> None:
    client: Any = boto3.client("athena")
    environment = deployment.project.environment
    configuration = {
        "ResultConfiguration": {
            "OutputLocation": f"s3://{environment.bucket('logs')}/athena/",
            "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": key},
        },
        "EnforceWorkGroupConfiguration": True,
        "PublishCloudWatchMetricsEnabled": True,
        "BytesScannedCutoffPerQuery": environment.athena_scan_gib * 1024**3,
        "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
    }
    names = {group["Name"] for group in client.list_work_groups()["WorkGroups"]}
    if deployment.prefix not in names:
        client.create_work_group(
            Name=deployment.prefix, Configuration=configuration, Description="Queries of bronze, silver and gold."
        )
    _saved_queries(deployment)


def _saved_queries(deployment: Deployment) -> None:
    client: Any = boto3.client("athena")
    pages = client.get_paginator("list_named_queries").paginate(WorkGroup=deployment.prefix)
    for old in [name for page in pages for name in page["NamedQueryIds"]]:
        client.delete_named_query(NamedQueryId=old)
    for path in sorted((deployment.root / "sql" / "athena").glob("*.sql")):
        text = path.read_text()
        client.create_named_query(
            Name=path.stem,
            Description=text.splitlines()[0].removeprefix("-- "),
            Database=deployment.project.environment.database("gold"),
            WorkGroup=deployment.prefix,
            QueryString=text,
        )


def _state_machine(deployment: Deployment) -> None:
    client: Any = boto3.client("stepfunctions")
    logs = deployment.project.environment.arn("logs", f"log-group:{machine_log_group(deployment)}:*")
    settings = {
        "definition": deployment.definition(),
        "roleArn": role_arn(deployment, deployment.state_machine),
        "loggingConfiguration": {
            "level": "ERROR",
            "includeExecutionData": True,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": logs}}],
        },
        "tracingConfiguration": {"enabled": True},
    }
    try:
        client.describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        client.create_state_machine(name=deployment.state_machine, **settings)
    else:
        client.update_state_machine(stateMachineArn=deployment.state_machine_arn, **settings)
