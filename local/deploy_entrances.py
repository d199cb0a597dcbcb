"""Deploys the entrances of records, events, files and questions: what terraform/modules/entrances provisions on AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3

from headwater.deploy.deployment import Deployment
from headwater.deploy.entrances import Entrances, MappingSpec
from headwater.deploy.resource_policies import queue_policies
from local.deploy_access import api_log_group, role_arn
from local.deploy_lambdas import alias_arn, permit

_DEAD_LETTER_SECONDS = 14 * 86400
_LOGGED = {
    "requestId": "$context.requestId",
    "route": "$context.routeKey",
    "status": "$context.status",
    "latency": "$context.responseLatency",
    "error": "$context.error.message",
}


def deploy_entrances(deployment: Deployment, keys: Mapping[str, str]) -> None:
    """Makes or updates streams, queues, pipes, mappings, the rule for dropped files and the APIs; safe to repeat.

    The functions and the buckets must be there. `keys` holds the ARN of each key by what it protects.
    """
    entrances = deployment.entrances
    _streams(entrances, keys["data"])
    _queues(deployment, keys["alerts"])
    _pipes(deployment)
    for mapping in entrances.mappings():
        _mapping(deployment, mapping)
    _drops(deployment)
    _apis(deployment)


def _streams(entrances: Entrances, key: str) -> None:
    client = boto3.client("kinesis")
    for stream in entrances.record_streams():
        with suppress(client.exceptions.ResourceInUseException):
            client.create_stream(StreamName=stream.name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
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
    kept = {"MessageRetentionPeriod": str(_DEAD_LETTER_SECONDS)}
    client.set_queue_attributes(QueueUrl=url, Attributes=kept | encrypted | policies[entrances.dead_letters])
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
                "MaximumBatchingWindowInSeconds": 1,
                "MaximumRetryAttempts": 10,
                "OnPartialBatchItemFailure": "AUTOMATIC_BISECT",
                "DeadLetterConfig": {"Arn": entrances.dead_letters_arn},
            }
            client.create_pipe(
                Name=pipe.name,
                Description="Takes the records of a stream to a queue.",
                RoleArn=role_arn(deployment, f"{pipe.name}-pipe"),
                Source=pipe.stream_arn,
                Target=pipe.queue_arn,
                SourceParameters={"KinesisStreamParameters": reading},
            )


def _mapping(deployment: Deployment, mapping: MappingSpec) -> None:
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
            "ParallelizationFactor": 1,
            "DestinationConfig": {"OnFailure": {"Destination": deployment.entrances.dead_letters_arn}},
        }
    else:
        settings["ScalingConfig"] = {"MaximumConcurrency": 5}
    function = alias_arn(deployment, mapping.function)
    known = client.list_event_source_mappings(EventSourceArn=mapping.source_arn, FunctionName=function)
    for found in known["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=found["UUID"], **settings)
        return
    start = {"StartingPosition": "TRIM_HORIZON"} if mapping.reads_shards else {}
    client.create_event_source_mapping(EventSourceArn=mapping.source_arn, FunctionName=function, **settings, **start)


def _drops(deployment: Deployment) -> None:
    if not deployment.entrances.landing:
        return
    events = boto3.client("events")
    for rule in deployment.entrances.drop_rules():
        described = "Objects created below the prefixes that partners write to."
        events.put_rule(Name=rule.name, Description=described, EventPattern=json.dumps(rule.pattern))
        failed = {"Arn": deployment.entrances.dead_letters_arn}
        events.put_targets(Rule=rule.name, Targets=[{"Id": "queue", "Arn": rule.queue_arn, "DeadLetterConfig": failed}])


def _apis(deployment: Deployment) -> None:
    client: Any = boto3.client("apigatewayv2")
    environment = deployment.project.environment
    known = {api["Name"] for api in client.get_apis()["Items"]}
    for api in deployment.entrances.apis():
        if api.name in known:
            continue
        api_id = client.create_api(Name=api.name, Description=api.description, ProtocolType="HTTP")["ApiId"]
        integration = client.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=alias_arn(deployment, api.function),
            PayloadFormatVersion="2.0",
            TimeoutInMillis=api.timeout_seconds * 1000,
        )["IntegrationId"]
        client.create_route(ApiId=api_id, RouteKey=api.route, Target=f"integrations/{integration}")
        limits = {"ThrottlingRateLimit": api.calls_per_second, "ThrottlingBurstLimit": api.burst}
        client.create_stage(
            ApiId=api_id,
            StageName="$default",
            AutoDeploy=True,
            DefaultRouteSettings={**limits, "DetailedMetricsEnabled": True},
            AccessLogSettings={
                "DestinationArn": environment.arn("logs", f"log-group:{api_log_group(api.name)}"),
                "Format": json.dumps(_LOGGED),
            },
        )
        called = environment.arn("execute-api", f"{api_id}/*/{api.calls}")
        permit(api.function, "Api", "apigateway.amazonaws.com", called)
