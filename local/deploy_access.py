"""Deploys through the AWS API who may do what: keys, the warehouse with its administrator, roles, log groups and Glue's security
configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.resource_policies import key_policies
from headwater.deploy.roles import RoleSpec, analyst_policy, roles
from local.deploy_warehouse import deploy_workgroup


def deploy_access(deployment: Deployment) -> dict[str, str]:
    """Makes or updates all of it and returns the ARNs of the keys by what they protect; safe to repeat."""
    keys = _keys(deployment)
    late = {f"{key}_key": keys[key] for key in ("alerts", "bookmarks", "data", "secrets")}
    late |= deploy_workgroup(deployment, keys)
    _roles(roles(deployment, late))
    _analysts(deployment, late)
    _security_configuration(deployment, keys)
    _log_groups(deployment, keys["logs"])
    return keys


def role_arn(deployment: Deployment, name: str) -> str:
    """The ARN of a role that is deployed."""
    return f"arn:aws:iam::{deployment.project.environment.account}:role/{name}"


def machine_log_group(deployment: Deployment) -> str:
    """Where the state machine logs what failed."""
    return f"/aws/vendedlogs/states/{deployment.state_machine}"


def api_log_group(api: str) -> str:
    """Where an API logs its calls."""
    return f"/aws/vendedlogs/apigateway/{api}"


def _keys(deployment: Deployment) -> dict[str, str]:
    kms = boto3.client("kms")
    pages = kms.get_paginator("list_aliases").paginate()
    known = {alias["AliasName"]: alias.get("TargetKeyId") for page in pages for alias in page["Aliases"]}
    made = {}
    for name, policy in key_policies(deployment).items():
        alias, text = f"alias/{deployment.prefix}-{name}", json.dumps(policy)
        key = known.get(alias)
        if key is None:
            described = f"{deployment.prefix}: {name}."
            key = kms.create_key(Description=described, Policy=text)["KeyMetadata"]["KeyId"]
            kms.enable_key_rotation(KeyId=key)
            kms.create_alias(AliasName=alias, TargetKeyId=key)
        else:
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
        made[name] = deployment.project.environment.arn("kms", f"key/{key}")
    return made


def _analysts(deployment: Deployment, late: Mapping[str, str]) -> None:
    """Makes the policy of analysts, and their roles, which are made elsewhere on AWS and have the policy attached there."""
    iam = boto3.client("iam")
    environment = deployment.project.environment
    name, policy = f"{deployment.prefix}-analyst", json.dumps(analyst_policy(deployment, late))
    arn = f"arn:aws:iam::{environment.account}:policy/{name}"
    roles = [role.rpartition("/")[2] for role in environment.analysts.roles]
    with suppress(iam.exceptions.NoSuchEntityException):
        for role in roles:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        iam.delete_policy(PolicyArn=arn)
    iam.create_policy(PolicyName=name, Description="See config/roles/analyst.yaml.", PolicyDocument=policy)
    account = {"AWS": f"arn:aws:iam::{environment.account}:root"}
    trust = {"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    for role in roles:
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def _roles(specs: list[RoleSpec]) -> None:
    iam = boto3.client("iam")
    pages = iam.get_paginator("list_roles").paginate()
    known = {role["RoleName"] for page in pages for role in page["Roles"]}
    for spec in specs:
        trust = json.dumps(spec.trust)
        if spec.name in known:
            iam.update_assume_role_policy(RoleName=spec.name, PolicyDocument=trust)
        else:
            described = f"See config/roles/{spec.file}.yaml."
            iam.create_role(RoleName=spec.name, AssumeRolePolicyDocument=trust, Description=described)
        iam.put_role_policy(RoleName=spec.name, PolicyName=spec.file, PolicyDocument=json.dumps(spec.permissions))


def _security_configuration(deployment: Deployment, keys: Mapping[str, str]) -> None:
    glue: Any = boto3.client("glue")
    with suppress(glue.exceptions.AlreadyExistsException):
        glue.create_security_configuration(
            Name=deployment.security_configuration,
            EncryptionConfiguration={
                "S3Encryption": [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": keys["data"]}],
                "CloudWatchEncryption": {"CloudWatchEncryptionMode": "SSE-KMS", "KmsKeyArn": keys["logs"]},
                "JobBookmarksEncryption": {"JobBookmarksEncryptionMode": "CSE-KMS", "KmsKeyArn": keys["bookmarks"]},
            },
        )


def _log_groups(deployment: Deployment, key: str) -> None:
    client = boto3.client("logs")
    days = deployment.project.environment.retention.logs
    groups = [f"{deployment.log_group(job)}/{kind}" for job in deployment.jobs() for kind in ("error", "output")]
    groups += [f"/aws/lambda/{function.name}" for function in deployment.lambdas()]
    groups += [api_log_group(api.name) for api in deployment.entrances.apis()]
    for group in [*groups, machine_log_group(deployment)]:
        with suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=group, kmsKeyId=key)
        client.put_retention_policy(logGroupName=group, retentionInDays=days)
