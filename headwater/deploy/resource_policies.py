"""Policies of what is used by AWS's services in their own name: the keys, the topic of alerts, and queues that events are sent to."""

from __future__ import annotations

from typing import Any

from headwater.deploy.deployment import Deployment

Policy = dict[str, Any]

KEYS = ("data", "secrets", "bookmarks", "logs", "alerts")
"""One key for each kind of reader: keys cost little, and a role that may use one cannot read what another protects."""
_USE = ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"]


def key_policies(deployment: Deployment) -> dict[str, Policy]:
    """Makes the policy of each key; apart from services, the account's IAM policies decide, and those are in config/roles."""
    environment = deployment.project.environment
    own = {"StringEquals": {"aws:SourceAccount": environment.account}}
    logs = f"logs.{environment.region}.amazonaws.com"
    own_logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": environment.arn("logs", "log-group:*")}}
    users: dict[str, dict[str, Any]] = {
        "logs": {logs: own_logs},
        # EventBridge knows no condition for encrypted topics and queues.
        "alerts": {"budgets.amazonaws.com": own, "cloudwatch.amazonaws.com": own, "events.amazonaws.com": None},
    }
    # Lake Formation reads the lake for analysts in its own name; terraform/bootstrap makes this role.
    service_role = "aws-service-role/lakeformation.amazonaws.com/AWSServiceRoleForLakeFormationDataAccess"
    reader = f"arn:aws:iam::{environment.account}:role/{service_role}"
    account = {"AWS": f"arn:aws:iam::{environment.account}:root"}
    made = {}
    for key in KEYS:
        statements = [_allow("Account", account, ["kms:*"], "*")]
        for service, condition in users.get(key, {}).items():
            sid = "Use" + service.replace("-", " ").replace(".", " ").title().replace(" ", "")
            statements.append(_allow(sid, {"Service": service}, _USE, "*", condition))
        if key == "data":
            statements.append(_allow("UseLakeFormation", {"AWS": reader}, ["kms:Decrypt", "kms:DescribeKey"], "*"))
        made[key] = _policy(statements)
    return made


def topic_policy(deployment: Deployment) -> Policy:
    """Makes the policy of the topic of alerts: the account's alarms, budgets and rules publish, and nobody without TLS."""
    arn, publish = deployment.topic_arn, ["sns:Publish"]
    own = {"StringEquals": {"aws:SourceAccount": deployment.project.environment.account}}
    services = {"Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]}
    refused = {"Bool": {"aws:SecureTransport": "false"}}
    return _policy(
        [
            _allow("OwnServices", services, publish, arn, own),
            # EventBridge knows no condition for topics.
            _allow("OwnRules", {"Service": "events.amazonaws.com"}, publish, arn),
            _allow("OnlyEncryptedConnections", "*", publish, arn, refused) | {"Effect": "Deny"},
        ]
    )


def queue_policies(deployment: Deployment) -> dict[str, Policy]:
    """Makes the policy of each queue that EventBridge sends to, by the queue's name: a rule's own, and the one for dead letters."""
    environment, entrances = deployment.project.environment, deployment.entrances
    sender, send = {"Service": "events.amazonaws.com"}, ["sqs:SendMessage"]
    own_rules = {"ArnLike": {"aws:SourceArn": environment.arn("events", f"rule/{environment.prefix}-*")}}
    made = {
        entrances.dead_letters: _policy([_allow("EventBridge", sender, send, entrances.dead_letters_arn, own_rules)])
    }
    for rule in entrances.drop_rules():
        condition = {"ArnEquals": {"aws:SourceArn": environment.arn("events", f"rule/{rule.name}")}}
        made[rule.queue_arn.rpartition(":")[2]] = _policy([_allow("Drops", sender, send, rule.queue_arn, condition)])
    return made


def _policy(statements: list[dict[str, Any]]) -> Policy:
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(
    sid: str, principal: Any, actions: list[str], resource: str, condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    allowed = {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resource}
    return allowed | ({"Condition": condition} if condition else {})
