"""What is stored, who may read it and by which key, as the API lists it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import boto3

from tests.terraform.inventory.asking import Listed, Listing, ask, asked, pages, plainly
from tests.terraform.inventory.shapes import snake


def _buckets() -> list[str]:
    return [bucket["Name"] for bucket in ask("s3", "list_buckets")["Buckets"]]


def _of_buckets(call: str, field: str, block: str = "") -> Listing:
    """Makes a listing of a setting of buckets; `block` is where Terraform has it, if not at the top."""

    def listing() -> Listed:
        for bucket in _buckets():
            if told := asked("s3", call, Bucket=bucket).get(field):
                yield {"bucket": bucket, **({block: snake(told)} if block else snake(told))}

    return listing


def _encryption() -> Listed:
    for told in _of_buckets("get_bucket_encryption", "ServerSideEncryptionConfiguration")():
        [rule] = told["rules"]
        yield {"bucket": told["bucket"], "rule": rule}


def _lifecycles() -> Listed:
    for bucket in _buckets():
        rules = snake(asked("s3", "get_bucket_lifecycle_configuration", Bucket=bucket).get("Rules", []))
        for rule in rules:
            moves = rule.pop("transitions", [])
            # At once is what Terraform's schema calls unset.
            rule["transition"] = [{name: value for name, value in move.items() if value != 0} for move in moves]
        if rules:
            yield {"bucket": bucket, "rule": rules}


def _notifications() -> Listed:
    for bucket in _buckets():
        told = ask("s3", "get_bucket_notification_configuration", Bucket=bucket)
        if "EventBridgeConfiguration" in told:
            yield {"bucket": bucket, "eventbridge": True}


def _ownership() -> Listed:
    for told in _of_buckets("get_bucket_ownership_controls", "OwnershipControls")():
        yield {"bucket": told["bucket"], "rule": told["rules"]}


def _policies() -> Listed:
    for bucket in _buckets():
        if policy := asked("s3", "get_bucket_policy", Bucket=bucket).get("Policy"):
            yield {"bucket": bucket, "policy": policy}


def _objects() -> Listed:
    client = boto3.client("s3")
    for bucket in _buckets():
        for found in pages("s3", "list_objects_v2", "Contents", Bucket=bucket):
            told = client.get_object(Bucket=bucket, Key=found["Key"])
            digest = hashlib.sha256(told["Body"].read()).hexdigest()
            yield {
                "bucket": bucket,
                "key": found["Key"],
                "source_hash": digest,
                "server_side_encryption": told.get("ServerSideEncryption"),
                "kms_key_id": told.get("SSEKMSKeyId"),
            }


def _keys() -> Listed:
    for found in pages("kms", "list_keys", "Keys"):
        key = found["KeyId"]
        yield {
            "description": ask("kms", "describe_key", KeyId=key)["KeyMetadata"]["Description"],
            "enable_key_rotation": ask("kms", "get_key_rotation_status", KeyId=key)["KeyRotationEnabled"],
            "policy": ask("kms", "get_key_policy", KeyId=key, PolicyName="default")["Policy"],
        }


def _aliases() -> Listed:
    for found in pages("kms", "list_aliases", "Aliases"):
        if not found["AliasName"].startswith("alias/aws/"):
            yield {"name": found["AliasName"], "target_key_id": found["TargetKeyId"]}


def _roles() -> Listed:
    for found in pages("iam", "list_roles", "Roles"):
        role = ask("iam", "get_role", RoleName=found["RoleName"])["Role"]
        yield {
            "name": role["RoleName"],
            "description": role.get("Description"),
            "assume_role_policy": json.dumps(role["AssumeRolePolicyDocument"]),
            "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        }


def _role_policies() -> Listed:
    for role in pages("iam", "list_roles", "Roles"):
        for name in pages("iam", "list_role_policies", "PolicyNames", RoleName=role["RoleName"]):
            told = ask("iam", "get_role_policy", RoleName=role["RoleName"], PolicyName=name)
            yield {"role": role["RoleName"], "name": name, "policy": json.dumps(told["PolicyDocument"])}


def _managed_policies() -> Listed:
    for found in pages("iam", "list_policies", "Policies", Scope="Local"):
        version = ask("iam", "get_policy_version", PolicyArn=found["Arn"], VersionId=found["DefaultVersionId"])
        about = ask("iam", "get_policy", PolicyArn=found["Arn"])["Policy"].get("Description")
        yield {
            "name": found["PolicyName"],
            "description": about,
            "policy": json.dumps(version["PolicyVersion"]["Document"]),
        }


def _databases() -> Listed:
    for told in plainly("glue", "get_databases", "DatabaseList")():
        defaults = told.pop("create_table_default_permissions", [])
        yield {**told, "create_table_default_permission": defaults}


def _security_configurations() -> Listed:
    for told in plainly("glue", "get_security_configurations", "SecurityConfigurations")():
        encryption = told["encryption_configuration"]
        logs = encryption.pop("cloud_watch_encryption", {})
        encryption["cloudwatch_encryption"] = {
            "cloudwatch_encryption_mode": logs.get("cloud_watch_encryption_mode"),
            "kms_key_arn": logs.get("kms_key_arn"),
        }
        yield told


def _grants() -> Listed:
    for found in pages("lakeformation", "list_permissions", "PrincipalResourcePermissions"):
        resource: dict[str, Any] = snake(found["Resource"])
        if "table" in resource:
            resource["table"]["wildcard"] = resource["table"].pop("table_wildcard", None) is not None
        if "data_location" in resource:
            resource["data_location"] = {"arn": resource["data_location"]["resource_arn"]}
        yield {
            "principal": found["Principal"]["DataLakePrincipalIdentifier"],
            "permissions": found["Permissions"],
            "permissions_with_grant_option": found["PermissionsWithGrantOption"],
            **resource,
        }


def _locations() -> Listed:
    for told in plainly("lakeformation", "list_resources", "ResourceInfoList")():
        service = "AWSServiceRoleForLakeFormationDataAccess"
        linked = told.get("role_arn", "").endswith(service)
        yield {"arn": told["resource_arn"], "use_service_linked_role": linked}


def _secrets() -> Listed:
    for found in pages("secretsmanager", "list_secrets", "SecretList"):
        told = ask("secretsmanager", "describe_secret", SecretId=found["ARN"])
        # Redshift makes that of its administrator itself.
        if told["Name"].startswith("redshift!"):
            continue
        # Given by its alias, which AWS repeats.
        key = ask("kms", "describe_key", KeyId=told["KmsKeyId"])["KeyMetadata"]["Arn"]
        yield {"name": told["Name"], "description": told.get("Description"), "kms_key_id": key}


def _namespaces() -> Listed:
    for told in plainly("redshift-serverless", "list_namespaces", "namespaces")():
        yield {**told, "manage_admin_password": "admin_password_secret_arn" in told}


def _work_groups() -> Listed:
    for found in pages("athena", "list_work_groups", "WorkGroups"):
        if found["Name"] == "primary":
            continue
        told = snake(ask("athena", "get_work_group", WorkGroup=found["Name"])["WorkGroup"])
        configuration = told["configuration"]
        configuration["enforce_workgroup_configuration"] = configuration.get("enforce_work_group_configuration")
        configuration["publish_cloudwatch_metrics_enabled"] = configuration.get("publish_cloud_watch_metrics_enabled")
        encryption = configuration.get("result_configuration", {}).get("encryption_configuration", {})
        if "kms_key" in encryption:
            encryption["kms_key_arn"] = encryption.pop("kms_key")
        yield told


def _saved_queries() -> Listed:
    for group in pages("athena", "list_work_groups", "WorkGroups"):
        for found in pages("athena", "list_named_queries", "NamedQueryIds", WorkGroup=group["Name"]):
            told = snake(ask("athena", "get_named_query", NamedQueryId=found)["NamedQuery"])
            yield {**told, "workgroup": told["work_group"], "query": told["query_string"]}


def _trails() -> Listed:
    for found in ask("cloudtrail", "describe_trails")["trailList"]:
        told = snake(found)
        selectors = asked("cloudtrail", "get_event_selectors", TrailName=found["TrailARN"]).get(
            "AdvancedEventSelectors"
        )
        yield {
            **told,
            "enable_log_file_validation": told.get("log_file_validation_enabled"),
            "advanced_event_selector": [
                {**snake(selector), "field_selector": snake(selector["FieldSelectors"])} for selector in selectors or []
            ],
        }


LISTED: dict[str, Listing] = {
    "aws_athena_named_query": _saved_queries,
    "aws_athena_workgroup": _work_groups,
    "aws_cloudtrail": _trails,
    "aws_glue_catalog_database": _databases,
    "aws_glue_security_configuration": _security_configurations,
    "aws_iam_policy": _managed_policies,
    "aws_iam_role": _roles,
    "aws_iam_role_policy": _role_policies,
    "aws_kms_alias": _aliases,
    "aws_kms_key": _keys,
    "aws_lakeformation_permissions": _grants,
    "aws_lakeformation_resource": _locations,
    "aws_redshiftserverless_namespace": _namespaces,
    "aws_redshiftserverless_usage_limit": plainly("redshift-serverless", "list_usage_limits", "usageLimits"),
    "aws_redshiftserverless_workgroup": plainly("redshift-serverless", "list_workgroups", "workgroups"),
    "aws_s3_bucket": lambda: ({"bucket": bucket} for bucket in _buckets()),
    "aws_s3_bucket_lifecycle_configuration": _lifecycles,
    "aws_s3_bucket_logging": _of_buckets("get_bucket_logging", "LoggingEnabled"),
    "aws_s3_bucket_notification": _notifications,
    "aws_s3_bucket_ownership_controls": _ownership,
    "aws_s3_bucket_policy": _policies,
    "aws_s3_bucket_public_access_block": _of_buckets("get_public_access_block", "PublicAccessBlockConfiguration"),
    "aws_s3_bucket_server_side_encryption_configuration": _encryption,
    "aws_s3_bucket_versioning": lambda: (
        {"bucket": bucket, "versioning_configuration": {"status": status}}
        for bucket in _buckets()
        if (status := ask("s3", "get_bucket_versioning", Bucket=bucket).get("Status"))
    ),
    "aws_s3_object": _objects,
    "aws_secretsmanager_secret": _secrets,
}
