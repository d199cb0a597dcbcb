"""Deploys who hears of what goes wrong through the AWS API: what terraform/modules/alerts provisions on AWS, less what measures."""

from __future__ import annotations

import json
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.resource_policies import topic_policy
from local.deploy_lambdas import alias_arn, permit


def deploy_topic(deployment: Deployment, key: str) -> None:
    """Makes or updates the topic of alerts, encrypted and with its policy, and who is subscribed to it; safe to repeat."""
    sns = boto3.client("sns")
    environment = deployment.project.environment
    arn = sns.create_topic(Name=deployment.topic)["TopicArn"]
    attributes = {
        "DisplayName": f"Headwater {environment.name}",
        "KmsMasterKeyId": key,
        "Policy": json.dumps(topic_policy(deployment)),
    }
    for name, value in attributes.items():
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
    for email in environment.alerts.emails:
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=email)
    for function in deployment.lambdas():
        if function.folder == "notify_slack":
            sns.subscribe(TopicArn=arn, Protocol="lambda", Endpoint=alias_arn(deployment, function.name))
            permit(function.name, "Alerts", "sns.amazonaws.com", arn)


def deploy_bad_ends(deployment: Deployment) -> None:
    """Makes the rules that tell of what a run cannot report itself, as terraform/modules/state_machine does; safe to repeat."""
    events: Any = boto3.client("events")
    for rule in _bad_ends(deployment):
        name = f"{deployment.prefix}-{rule['name']}"
        events.put_rule(Name=name, Description=rule["description"], EventPattern=json.dumps(rule["pattern"]))
        transformer = {
            "InputPathsMap": rule["paths"],
            "InputTemplate": json.dumps(f"{deployment.prefix}: {rule['text']}"),
        }
        target = {"Id": "topic", "Arn": deployment.topic_arn, "InputTransformer": transformer}
        target["DeadLetterConfig"] = {"Arn": deployment.entrances.dead_letters_arn}
        events.put_targets(Rule=name, Targets=[target])


def _bad_ends(deployment: Deployment) -> list[dict[str, Any]]:
    return [
        {
            "name": "ended-badly",
            "description": "Executions that ended badly without an alert of their own.",
            "pattern": {
                "source": ["aws.states"],
                "detail-type": ["Step Functions Execution Status Change"],
                "detail": {
                    "stateMachineArn": [deployment.state_machine_arn],
                    "$or": [
                        {"status": ["TIMED_OUT", "ABORTED"]},
                        {
                            "status": ["FAILED"],
                            "cause": [None, {"exists": False}, {"anything-but": {"prefix": "{"}}],
                        },
                    ],
                },
            },
            "paths": {"run": "$.detail.name", "status": "$.detail.status"},
            "text": "run <run> ended as <status>, and has sent no alert. Its execution tells the cause.",
        },
        {
            "name": "maintain-failed",
            "description": "Runs of Maintain that failed or timed out.",
            "pattern": {
                "source": ["aws.glue"],
                "detail-type": ["Glue Job State Change"],
                "detail": {"jobName": [f"{deployment.prefix}-maintain"], "state": ["FAILED", "ERROR", "TIMEOUT"]},
            },
            "paths": {"run": "$.detail.jobRunId", "status": "$.detail.state"},
            "text": "Maintain <run> ended as <status>. Its log tells which tables are left; it is safe to start again.",
        },
    ]
