"""Deploys who hears of what goes wrong through the AWS API: what terraform/modules/alerts provisions on AWS, less what measures."""

from __future__ import annotations

import json

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
