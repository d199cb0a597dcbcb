"""Deploys the entrances of records, events and files through the AWS API: what terraform/modules/entrances provisions on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.entrances import Entrances, MappingSpec
from headwater.deploy.resource_policies import queue_policies
from local.deploy_access import role_arn

_SHARDS = 2


def deploy_entrances(deployment: Deployment, keys: Mapping[str, str]) -> None:
    """Makes or updates streams, queues, pipes, mappings, the rule for dropped files and the API; safe to repeat.

    The functions and the buckets must be there. `keys` holds the ARN of each key by what it protects.
    """
    entrances = deployment.entrances
    _streams(entrances, keys["data"])
    _queues(deployment, keys["alerts"])
    _pipes(deployment)
    for mapping in entrances.mappings():
        _mapping(entrances, mapping)
    _drops(deployment)
    _api(deployment)


def _streams(entrances: Entrances, key: str) -> None:
    client = boto3.client("kinesis")
    for stream in entrances.record_streams():
        with suppress(client.exceptions.ResourceInUseException):
            client.create_stream(StreamName=stream.name, ShardCount=_SHARDS)
            if stream.retention_hours > 24:
                client.increase_stream_retention_period(
                    StreamName=stream.name, RetentionPeriodHours=stream.retention_hours
                )
        client.start_stream_encryption(StreamName=stream.name, EncryptionType="KMS", KeyId=key)


def _queues(deployment: Deployment, key: str) -> None:
    client = boto3.client("sqs")
    entrances = deployment.entrances
    policies = {queue: {"Policy": json.dumps(policy)} for queue, policy in queue_policies(deployment).items()}
    encrypted = {"KmsMasterKeyId": key}
    url = client.create_queue(QueueName=entrances.dead_letters)["QueueUrl"]
    client.set_queue_attributes(QueueUrl=url, Attributes=encrypted | policies[entrances.dead_letters])
    for queue in entrances.queues():
        attributes = {
            "VisibilityTimeout": str(queue.visibility_seconds),
            "MessageRetentionPeriod": str(queue.retention_seconds),
            "RedrivePolicy": json.dumps(
                {"deadLetterTargetArn": entrances.dead_letters_arn, "maxReceiveCount": queue.max_receive_count}
            ),
            **encrypted,
            **policies.get(queue.name, {}),
        }
        url = client.create_queue(QueueName=queue.name)["QueueUrl"]
        client.set_queue_attributes(QueueUrl=url, Attributes=attributes)


def _pipes(deployment: Deployment) -> None:
    client: Any = boto3.client("pipes")
    entrances = deployment.entrances
    for pipe in entrances.pipes():
        try:
            client.describe_pipe(Name=pipe.name)
        except client.exceptions.NotFoundException:
            reading = {
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 100,
                "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
                "DeadLetterConfig": {"Arn": entrances.dead_letters_arn},
            }
            client.create_pipe(
                Name=pipe.name,
                RoleArn=role_arn(deployment, f"{pipe.name}-pipe"),
                Source=pipe.stream_arn,
                Target=pipe.queue_arn,
                SourceParameters={"KinesisStreamParameters": reading},
            )


def _mapping(entrances: Entrances, mapping: MappingSpec) -> None:
    client: Any = boto3.client("lambda")
    settings: dict[str, Any] = {
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.window_seconds,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    if mapping.reads_shards:
        # A record is retried until it expires in Kinesis: an unreadable one becomes a row in quarantine, and fails nothing.
        settings |= {
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": -1,
            "MaximumRecordAgeInSeconds": -1,
            "DestinationConfig": {"OnFailure": {"Destination": entrances.dead_letters_arn}},
        }
    known = client.list_event_source_mappings(EventSourceArn=mapping.source_arn, FunctionName=mapping.function)
    for found in known["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=found["UUID"], **settings)
        return
    start = {"StartingPosition": "TRIM_HORIZON"} if mapping.reads_shards else {}
    client.create_event_source_mapping(
        EventSourceArn=mapping.source_arn, FunctionName=mapping.function, **settings, **start
    )


def _drops(deployment: Deployment) -> None:
    if not deployment.entrances.landing:
        return
    s3: Any = boto3.client("s3")
    landing = deployment.project.environment.bucket("landing")
    s3.put_bucket_notification_configuration(Bucket=landing, NotificationConfiguration={"EventBridgeConfiguration": {}})
    events = boto3.client("events")
    for rule in deployment.entrances.drop_rules():
        events.put_rule(Name=rule.name, EventPattern=json.dumps(rule.pattern))
        events.put_targets(Rule=rule.name, Targets=[{"Id": "queue", "Arn": rule.queue_arn}])


def _api(deployment: Deployment) -> None:
    client: Any = boto3.client("apigatewayv2")
    environment = deployment.project.environment
    known = {api["Name"] for api in client.get_apis()["Items"]}
    for api in deployment.entrances.apis():
        if api.name in known:
            continue
        api_id = client.create_api(Name=api.name, ProtocolType="HTTP")["ApiId"]
        integration = client.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=environment.arn("lambda", f"function:{api.function}"),
            PayloadFormatVersion="2.0",
        )["IntegrationId"]
        client.create_route(ApiId=api_id, RouteKey=api.route, Target=f"integrations/{integration}")
        limits = {"ThrottlingRateLimit": api.calls_per_second, "ThrottlingBurstLimit": api.burst}
        client.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True, DefaultRouteSettings=limits)
