"""Deploys one environment to the local stack through the AWS API: what Terraform provisions on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from headwater.deploy.deployment import LIBRARY_KEY, PROJECT_KEY, ZONES, Deployment
from headwater.deploy.packages import lambda_zip, library_zip
from headwater.deploy.roles import LATE_ARNS, analyst_policy
from headwater.errors import LoadError
from local.deploy_entrances import deploy_entrances

_ROLE = "arn:aws:iam::{account}:role/headwater-local"
_ROLE_OF = "arn:aws:iam::{account}:role/{name}"
_MIGRATION_SECONDS = 900


def deploy(deployment: Deployment) -> None:
    """Makes or updates everything the environment consists of but its secrets; safe to repeat."""
    environment = deployment.project.environment
    role = _ROLE.format(account=environment.account)
    _role(role)
    _buckets(deployment)
    _artifacts(deployment)
    boto3.client("sns").create_topic(Name=deployment.topic)
    _databases(deployment)
    _jobs(deployment, role)
    _lambdas(deployment, role)
    deploy_entrances(deployment, role)
    _crawlers(deployment, role)
    _athena(deployment)
    _lake_formation(deployment)
    _analysts(deployment)
    _warehouse(deployment)
    own = _ROLE_OF.format(account=environment.account, name=deployment.state_machine)
    _role(own)
    _state_machine(deployment, own)


def _role(arn: str) -> None:
    iam = boto3.client("iam")
    services = ["glue.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"]
    trust = {"Effect": "Allow", "Principal": {"Service": services}, "Action": "sts:AssumeRole"}
    try:
        iam.create_role(
            RoleName=arn.rsplit("/", 1)[-1],
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )
    except iam.exceptions.EntityAlreadyExistsException:
        return


def _buckets(deployment: Deployment) -> None:
    s3: Any = boto3.client("s3")
    environment = deployment.project.environment
    for name in deployment.buckets().values():
        try:
            s3.head_bucket(Bucket=name)
        except ClientError:
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": environment.region})


def _artifacts(deployment: Deployment) -> None:
    s3 = boto3.client("s3")
    bucket = deployment.project.environment.bucket("artifacts")
    s3.put_object(Bucket=bucket, Key=PROJECT_KEY, Body=deployment.project.model_dump_json(by_alias=True).encode())
    s3.put_object(Bucket=bucket, Key=LIBRARY_KEY, Body=library_zip(deployment.root))
    for script in sorted((deployment.root / "glue_jobs").glob("*.py")):
        s3.put_object(Bucket=bucket, Key=f"glue_jobs/{script.name}", Body=script.read_bytes())


def put_secrets(prefix: str, secrets: Mapping[str, Mapping[str, str]]) -> None:
    """Gives each secret its value, JSON, by its name under the prefix; makes it if need be."""
    client = boto3.client("secretsmanager")
    for name, value in secrets.items():
        text = json.dumps(value)
        try:
            client.create_secret(Name=f"{prefix}/{name}", SecretString=text)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=f"{prefix}/{name}", SecretString=text)


def _databases(deployment: Deployment) -> None:
    glue = boto3.client("glue")
    for zone in ZONES:
        try:
            glue.create_database(DatabaseInput={"Name": deployment.project.environment.database(zone)})
        except glue.exceptions.AlreadyExistsException:
            continue


def _jobs(deployment: Deployment, role: str) -> None:
    glue: Any = boto3.client("glue")
    existing = set(glue.list_jobs()["JobNames"])
    for job in deployment.jobs():
        settings = {
            "Role": role,
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


def _lambdas(deployment: Deployment, role: str) -> None:
    client: Any = boto3.client("lambda")
    for function in deployment.lambdas():
        code = lambda_zip(deployment.root, function.folder)
        try:
            client.create_function(
                FunctionName=function.name,
                Runtime="python3.11",
                Role=role,
                Handler="handler.handler",
                Code={"ZipFile": code},
                Timeout=function.timeout_seconds,
                Environment={"Variables": function.variables},
            )
        except client.exceptions.ResourceConflictException:
            client.update_function_code(FunctionName=function.name, ZipFile=code)


def _crawlers(deployment: Deployment, role: str) -> None:
    glue: Any = boto3.client("glue")
    for crawler in deployment.crawlers():
        settings = {
            "Role": role,
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
    role = _ROLE_OF.format(account=environment.account, name=f"{deployment.prefix}-grant_tables")
    for zone in ("silver", "gold"):
        boto3.client("lakeformation").grant_permissions(
            Principal={"DataLakePrincipalIdentifier": role},
            Resource={"Table": {"DatabaseName": environment.database(zone), "TableWildcard": {}}},
            Permissions=["SELECT", "DESCRIBE"],
            PermissionsWithGrantOption=["SELECT", "DESCRIBE"],
        )


def _analysts(deployment: Deployment) -> None:
    """Makes the roles of analysts, which are made elsewhere on AWS, with the policy that is attached to them there."""
    late = {name: f"arn:aws:headwater:::{name}" for name in LATE_ARNS}
    for arn in deployment.project.environment.analysts.roles:
        _role(arn)
        boto3.client("iam").put_role_policy(
            RoleName=arn.rpartition("/")[2],
            PolicyName="analyst",
            PolicyDocument=json.dumps(analyst_policy(deployment, late)),
        )


def _warehouse(deployment: Deployment) -> None:
    """Makes the workgroup and calls the Lambda that migrates it; LoadError says why it cannot."""
    warehouse = deployment.project.environment.warehouse
    redshift: Any = boto3.client("redshift-serverless")
    with suppress(redshift.exceptions.ConflictException):
        redshift.create_namespace(
            namespaceName=warehouse.workgroup, dbName=warehouse.database, manageAdminPassword=True
        )
        redshift.create_workgroup(workgroupName=warehouse.workgroup, namespaceName=warehouse.workgroup)
    secret = redshift.get_namespace(namespaceName=warehouse.workgroup)["namespace"]["adminPasswordSecretArn"]
    client: Any = boto3.client("lambda", config=Config(read_timeout=_MIGRATION_SECONDS, retries={"max_attempts": 0}))
    event = {**deployment.migrations(), "admin_secret": secret}
    answer = client.invoke(FunctionName=deployment.migrator, Payload=json.dumps(event).encode())
    if "FunctionError" in answer:
        raise LoadError(json.loads(answer["Payload"].read())["errorMessage"])


def _state_machine(deployment: Deployment, role: str) -> None:
    client: Any = boto3.client("stepfunctions")
    try:
        client.describe_state_machine(stateMachineArn=deployment.state_machine_arn)
    except client.exceptions.StateMachineDoesNotExist:
        client.create_state_machine(name=deployment.state_machine, definition=deployment.definition(), roleArn=role)
    else:
        client.update_state_machine(
            stateMachineArn=deployment.state_machine_arn, definition=deployment.definition(), roleArn=role
        )
