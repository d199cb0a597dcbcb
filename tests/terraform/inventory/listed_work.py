"""What works, what starts it, what it logs and who hears of it, as the API lists it."""

from __future__ import annotations

import json
from typing import Any

import boto3

from tests.terraform.inventory.asking import Listed, Listing, ask, asked, pages, plainly
from tests.terraform.inventory.shapes import snake

_ACCOUNT = "123456789012"


def _jobs() -> Listed:
    for told in plainly("glue", "get_jobs", "Jobs")():
        yield {**told, "role_arn": told["role"], "connections": told.get("connections", {}).get("connections")}


def _crawlers() -> Listed:
    for told in plainly("glue", "get_crawlers", "Crawlers")():
        lake = snake(told.get("lake_formation_configuration"))
        yield {
            **told,
            "schedule": (told.get("schedule") or {}).get("schedule_expression"),
            "security_configuration": told.get("crawler_security_configuration"),
            "delta_target": told["targets"].get("delta_targets"),
            "lake_formation_configuration": lake,
        }


def _functions() -> Listed:
    for found in pages("lambda", "list_functions", "Functions"):
        name = found["FunctionName"]
        told = snake(ask("lambda", "get_function_configuration", FunctionName=name))
        reserved = ask("lambda", "get_function_concurrency", FunctionName=name).get("ReservedConcurrentExecutions")
        yield {
            **told,
            "reserved_concurrent_executions": reserved,
            "source_code_hash": told["code_sha256"],
        }


def _aliases() -> Listed:
    for function in pages("lambda", "list_functions", "Functions"):
        for told in plainly("lambda", "list_aliases", "Aliases", FunctionName=function["FunctionName"])():
            yield {**told, "function_name": function["FunctionName"]}


def _permissions() -> Listed:
    for alias in _aliases():
        about = {"FunctionName": alias["function_name"], "Qualifier": alias["name"]}
        policy = json.loads(asked("lambda", "get_policy", **about).get("Policy", "{}"))
        for said in policy.get("Statement", []):
            yield {
                "function_name": alias["function_name"],
                "statement_id": said["Sid"],
                "action": said["Action"],
                "principal": said["Principal"]["Service"],
                "source_arn": said["Condition"]["ArnLike"]["AWS:SourceArn"],
                "qualifier": alias["name"],
            }


def _mappings() -> Listed:
    for told in plainly("lambda", "list_event_source_mappings", "EventSourceMappings")():
        failed = told.get("destination_config", {}).get("on_failure", {}).get("destination")
        yield {
            **told,
            "function_name": told["function_arn"],
            "enabled": told["state"] == "Enabled",
            "destination_config": {"on_failure": {"destination_arn": failed}},
        }


def _machines() -> Listed:
    for found in pages("stepfunctions", "list_state_machines", "stateMachines"):
        told = snake(ask("stepfunctions", "describe_state_machine", stateMachineArn=found["stateMachineArn"]))
        logging = told.get("logging_configuration") or {}
        if logging.get("destinations"):
            logging["log_destination"] = logging["destinations"][0]["cloud_watch_logs_log_group"]["log_group_arn"]
        yield told


def _schedules() -> Listed:
    for found in pages("scheduler", "list_schedules", "Schedules"):
        yield snake(ask("scheduler", "get_schedule", GroupName=found["GroupName"], Name=found["Name"]))


def _groups() -> Listed:
    for told in plainly("scheduler", "list_schedule_groups", "ScheduleGroups")():
        if told["name"] != "default":
            yield told


def _targets() -> Listed:
    for rule in pages("events", "list_rules", "Rules"):
        for told in plainly("events", "list_targets_by_rule", "Targets", Rule=rule["Name"])():
            transformer = told.get("input_transformer") or {}
            if "input_paths_map" in transformer:
                transformer["input_paths"] = transformer.pop("input_paths_map")
            yield {**told, "rule": rule["Name"]}


def _pipes() -> Listed:
    for found in pages("pipes", "list_pipes", "Pipes"):
        yield snake(ask("pipes", "describe_pipe", Name=found["Name"]))


def _streams() -> Listed:
    for name in pages("kinesis", "list_streams", "StreamNames"):
        told = snake(ask("kinesis", "describe_stream_summary", StreamName=name)["StreamDescriptionSummary"])
        mode = told.get("stream_mode_details") or {}
        shards = told["open_shard_count"] if mode.get("stream_mode") == "PROVISIONED" else None
        yield {
            **told,
            "name": name,
            "retention_period": told["retention_period_hours"],
            "kms_key_id": told.get("key_id"),
            "shard_count": shards,
        }


def _queues() -> Listed:
    for url in pages("sqs", "list_queues", "QueueUrls"):
        told = snake(ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])["Attributes"])
        # Terraform has the policy as a resource of its own.
        policy = told.pop("policy", None)
        yield {
            **told,
            "name": url.rpartition("/")[2],
            "visibility_timeout_seconds": told["visibility_timeout"],
            "message_retention_seconds": told["message_retention_period"],
            "of_its_own": policy,
        }


def _queue_policies() -> Listed:
    for told in _queues():
        if told["of_its_own"]:
            yield {"queue_url": told["name"], "policy": told["of_its_own"]}


def _topics() -> Listed:
    for found in pages("sns", "list_topics", "Topics"):
        told = snake(ask("sns", "get_topic_attributes", TopicArn=found["TopicArn"])["Attributes"])
        # Terraform has the policy as a resource of its own.
        policy = told.pop("policy")
        yield {**told, "name": found["TopicArn"].rpartition(":")[2], "arn": found["TopicArn"], "of_its_own": policy}


def _topic_policies() -> Listed:
    for told in _topics():
        yield {"arn": told["arn"], "policy": told["of_its_own"]}


def _of_apis(call: str) -> Listing:
    def listing() -> Listed:
        for api in pages("apigatewayv2", "get_apis", "Items"):
            for told in plainly("apigatewayv2", call, "Items", ApiId=api["ApiId"])():
                yield {**told, "api_id": api["ApiId"], "name": told.get("stage_name")}

    return listing


def _integrations() -> Listed:
    for told in _of_apis("get_integrations")():
        yield {**told, "timeout_milliseconds": told.get("timeout_in_millis")}


def _log_groups() -> Listed:
    for told in plainly("logs", "describe_log_groups", "logGroups")():
        yield {**told, "name": told["log_group_name"]}


def _metric_filters() -> Listed:
    for found in pages("logs", "describe_metric_filters", "metricFilters"):
        [measure] = found["metricTransformations"]
        yield {
            "name": found["filterName"],
            "log_group_name": found["logGroupName"],
            "pattern": found["filterPattern"],
            "metric_transformation": {
                "name": measure["metricName"],
                "namespace": measure["metricNamespace"],
                "value": measure["metricValue"],
                "dimensions": measure.get("dimensions"),
            },
        }


def _alarms() -> Listed:
    for told in plainly("cloudwatch", "describe_alarms", "MetricAlarms")():
        told["dimensions"] = _dimensions(told)
        for query in told.setdefault("metrics", []):
            if stat := query.pop("metric_stat", None):
                query["metric"] = {**stat, **stat["metric"], "dimensions": _dimensions(stat["metric"])}
        yield {**told, "metric_query": told["metrics"]}


def _dimensions(told: dict[str, Any]) -> dict[str, str]:
    return {dimension["name"]: dimension["value"] for dimension in told.get("dimensions", [])}


def _dashboards() -> Listed:
    client = boto3.client("cloudwatch")
    for found in pages("cloudwatch", "list_dashboards", "DashboardEntries"):
        told = client.get_dashboard(DashboardName=found["DashboardName"])
        yield {"dashboard_name": found["DashboardName"], "dashboard_body": told["DashboardBody"]}


def _budgets() -> Listed:
    for found in pages("budgets", "describe_budgets", "Budgets", AccountId=_ACCOUNT):
        about = {"AccountId": _ACCOUNT, "BudgetName": found["BudgetName"]}
        notifications = []
        for noted in pages("budgets", "describe_notifications_for_budget", "Notifications", **about):
            told = ask("budgets", "describe_subscribers_for_notification", Notification=noted, **about)["Subscribers"]
            addresses = [one["Address"] for one in told if one["SubscriptionType"] == "SNS"]
            notifications.append({**snake(noted), "subscriber_sns_topic_arns": addresses})
        yield {
            **snake(found),
            "name": found["BudgetName"],
            "limit_amount": found["BudgetLimit"]["Amount"],
            "limit_unit": found["BudgetLimit"]["Unit"],
            "cost_filter": [
                {"name": name, "values": values} for name, values in (found.get("CostFilters") or {}).items()
            ],
            "notification": notifications,
        }


LISTED: dict[str, Listing] = {
    "aws_apigatewayv2_api": plainly("apigatewayv2", "get_apis", "Items"),
    "aws_apigatewayv2_integration": _integrations,
    "aws_apigatewayv2_route": _of_apis("get_routes"),
    "aws_apigatewayv2_stage": _of_apis("get_stages"),
    "aws_budgets_budget": _budgets,
    "aws_cloudwatch_dashboard": _dashboards,
    "aws_cloudwatch_event_rule": plainly("events", "list_rules", "Rules"),
    "aws_cloudwatch_event_target": _targets,
    "aws_cloudwatch_log_group": _log_groups,
    "aws_cloudwatch_log_metric_filter": _metric_filters,
    "aws_cloudwatch_metric_alarm": _alarms,
    "aws_glue_connection": plainly("glue", "get_connections", "ConnectionList"),
    "aws_glue_crawler": _crawlers,
    "aws_glue_job": _jobs,
    "aws_kinesis_stream": _streams,
    "aws_lambda_alias": _aliases,
    "aws_lambda_event_source_mapping": _mappings,
    "aws_lambda_function": _functions,
    "aws_lambda_permission": _permissions,
    "aws_pipes_pipe": _pipes,
    "aws_scheduler_schedule": _schedules,
    "aws_scheduler_schedule_group": _groups,
    "aws_sfn_state_machine": _machines,
    "aws_sns_topic": _topics,
    "aws_sns_topic_policy": _topic_policies,
    "aws_sns_topic_subscription": plainly("sns", "list_subscriptions", "Subscriptions"),
    "aws_sqs_queue": _queues,
    "aws_sqs_queue_policy": _queue_policies,
}
