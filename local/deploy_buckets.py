"""Deploys the buckets through the AWS API: what terraform/modules/lake provisions on AWS."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.exceptions import ClientError

from headwater.config.environment import Retention
from headwater.deploy.deployment import Deployment

# Below this size a cheaper class costs more than it saves.
_LARGE = 131072
_PUBLIC = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def deploy_buckets(deployment: Deployment, key: str) -> None:
    """Makes or updates the buckets, encrypted with a key; safe to repeat."""
    s3: Any = boto3.client("s3")
    environment = deployment.project.environment
    encrypted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ApplyServerSideEncryptionByDefault": encrypted, "BucketKeyEnabled": True}
    for purpose, name in deployment.buckets().items():
        try:
            s3.head_bucket(Bucket=name)
        except ClientError:
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": environment.region})
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=dict.fromkeys(_PUBLIC, True))
        owned = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=owned)
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(_policy(name)))
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        rules = {"Rules": _lifecycle(purpose, environment.retention)}
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=rules)


def _policy(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    plain = {
        "Sid": "OnlyEncryptedConnections",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [plain]}


def _lifecycle(purpose: str, retention: Retention) -> list[dict[str, Any]]:
    """Rules that the gateway keeps and tells; nothing expires there."""
    old = {
        "NoncurrentVersionExpiration": {"NoncurrentDays": retention.old_versions},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    rules = [_rule("old-versions", {"Prefix": ""}, **old)]
    if purpose in {"raw", "landing"}:
        ages = {"STANDARD_IA": retention.raw_infrequent_access, "GLACIER_IR": retention.raw_archive}
        moves = [{"Days": days, "StorageClass": kind} for kind, days in ages.items()]
        rules.append(_rule("ageing", {"ObjectSizeGreaterThan": _LARGE}, Transitions=moves))
    if purpose == "lake":
        moves = [{"Days": 0, "StorageClass": "INTELLIGENT_TIERING"}]
        rules.append(_rule("tiering", {"ObjectSizeGreaterThan": _LARGE}, Transitions=moves))
        rules.append(_rule("logs", {"Prefix": "lineage/"}, Expiration={"Days": retention.logs}))
    if purpose == "logs":
        days = {"temporary-temp": ("temp/", retention.temporary), "temporary-athena": ("athena/", retention.temporary)}
        days["logs"] = ("spark/", retention.logs)
        rules += [_rule(name, {"Prefix": prefix}, Expiration={"Days": age}) for name, (prefix, age) in days.items()]
    return rules


def _rule(name: str, chosen: dict[str, Any], **acts: Any) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": chosen, **acts}
