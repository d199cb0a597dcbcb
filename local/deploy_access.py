"""Deploys through the AWS API who may do what: keys, roles, log groups and Glue's security configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.resource_policies import key_policies, topic_policy
from headwater.deploy.roles import RoleSpec, roles


def deploy_access(deployment: Deployment) -> dict[str, str]:
    """Makes or updates all of it and returns the ARNs of the keys by what they protect; safe to repeat."""
    keys = _keys(deployment)
    _roles(roles(deployment, _late_arns(deployment, keys)))
    _security_configuration(deployment, keys)
    _log_groups(deployment, keys["logs"])
    return keys


def role_arn(deployment: Deployment, name: str) -> str:
    """The ARN of a role that is deployed."""
    return f"arn:aws:iam::{deployment.project.environment.account}:role/{name}"


def deploy_topic(deployment: Deployment, key: str) -> None:
    """Makes or updates the topic of alerts, encrypted and with its policy."""
    sns = boto3.client("sns")
    arn = sns.create_topic(Name=deployment.topic)["TopicArn"]
    attributes = {"KmsMasterKeyId": key, "Policy": json.dumps(topic_policy(deployment))}
    for name, value in attributes.items():
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)


def _keys(deployment: Deployment) -> dict[str, str]:
    kms = boto3.client("kms")
    pages = kms.get_paginator("list_aliases").paginate()
    known = {alias["AliasName"]: alias.get("TargetKeyId") for page in pages for alias in page["Aliases"]}
    made = {}
    for name, policy in key_policies(deployment).items():
        alias, text = f"alias/{deployment.prefix}-{name}", json.dumps(policy)
        key = known.get(alias)
        if key is None:
            key = kms.create_key(Description=alias, Policy=text)["KeyMetadata"]["KeyId"]
            kms.create_alias(AliasName=alias, TargetKeyId=key)
        else:
            kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text)
        made[name] = deployment.project.environment.arn("kms", f"key/{key}")
    return made


def _late_arns(deployment: Deployment, keys: Mapping[str, str]) -> dict[str, str]:
    environment = deployment.project.environment
    warehouse = environment.warehouse.workgroup
    return {
        **{f"{key}_key": keys[key] for key in ("alerts", "bookmarks", "data", "secrets")},
        "workgroup_arn": environment.arn("redshift-serverless", f"workgroup/{warehouse}"),
        "namespace_arn": environment.arn("redshift-serverless", f"namespace/{warehouse}"),
    }


def _roles(specs: list[RoleSpec]) -> None:
    iam = boto3.client("iam")
    pages = iam.get_paginator("list_roles").paginate()
    known = {role["RoleName"] for page in pages for role in page["Roles"]}
    for spec in specs:
        trust = json.dumps(spec.trust)
        if spec.name in known:
            iam.update_assume_role_policy(RoleName=spec.name, PolicyDocument=trust)
        else:
            iam.create_role(RoleName=spec.name, AssumeRolePolicyDocument=trust)
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
    of_jobs = [f"{deployment.log_group(job)}/{kind}" for job in deployment.jobs() for kind in ("error", "output")]
    for group in [*of_jobs, *(f"/aws/lambda/{function.name}" for function in deployment.lambdas())]:
        with suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_log_group(logGroupName=group, kmsKeyId=key)
