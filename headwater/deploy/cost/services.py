"""What orchestration, entrances, network and the watch over it all cost."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from headwater.deploy.cost.glue import STAGES, glue
from headwater.deploy.cost.item import Quantity
from headwater.deploy.cost.month import DAYS, HOURS, Month
from headwater.deploy.cost.run import Run
from headwater.deploy.cost.storage import requests

# What the modules of Terraform make; tests/terraform/test_cost.py counts there.
KEYS = 5
ENDPOINTS = 7
LAMBDA_GB = Decimal("0.5")
ALARM_METRICS, ALARM_METRICS_A_SOURCE = 6, 4
METRICS, METRICS_A_SOURCE = 1, 4
# The least that a proxy has.
_PROXY_VCPUS = 2
# An empty shard is looked at once a second by a mapping or a pipe; a queue is asked by five pollers that wait for 20 seconds.
_QUEUE_ASKS_A_SECOND = Decimal(5) / 20
_RECORD_CHUNK_GB = Decimal(64) / 10**6
_KB = Decimal(10**6)
_DAY_SECONDS = 86_400
# What a run looks at again and again until it is through.
LOOKS = ("turn_seconds", "crawl_wait_seconds", "load_seconds", "audit_seconds")


def orchestration(month: Month) -> Iterator[Quantity]:
    """Lists what state machine, Lambda, scheduler, keys and secrets cost."""
    transitions = month.count(lambda run: run.transitions)
    yield Quantity("Step Functions", "state transitions", transitions, "state_transitions", LOOKS)
    invoked = month.invocations
    yield Quantity("Lambda", "invocations", invoked, "lambda_requests", ("busy_share",))
    yield Quantity(
        "Lambda",
        "time",
        invoked * LAMBDA_GB * month.assumed("lambda_seconds"),
        "lambda_gb_second",
        ("lambda_seconds", "busy_share"),
    )
    yield Quantity("EventBridge", "schedules", month.runs_a_month + 2 * DAYS, "scheduler_invocations")
    yield Quantity("KMS", "keys", Decimal(KEYS), "kms_key")
    writes, reads = requests(month)
    # Bucket keys spare S3 nearly all calls; secrets, bookmarks, variables and queues have none.
    asked = (
        (writes + reads) * month.assumed("kms_share")
        + invoked
        + month.count(_job_runs) * month.assumed("kms_a_job_run")
    )
    yield Quantity("KMS", "requests", asked, "kms_requests", ("kms_share", "kms_a_job_run"))
    # That of the warehouse's admin is Redshift's own.
    yield Quantity("Secrets Manager", "secrets", Decimal(len(month.deployment.secrets()) + 1), "secret")
    # A function that takes pushed events keeps the senders' keys as long as it lives.
    yield Quantity("Secrets Manager", "reads", month.source_runs, "secret_reads")


def _job_runs(run: Run) -> int:
    return sum(run.job_runs(stage) for stage in STAGES)


def entrances(month: Month) -> Iterator[Quantity]:
    """Lists what streams, pipes, queues and the APIs cost."""
    made = month.entrances
    streams = Decimal(len(made.record_streams()))
    gb = month.workload.streamed_gb_a_day * DAYS if streams else Decimal()
    if streams:
        yield Quantity("Kinesis", "streams on demand", streams * HOURS, "kinesis_stream_hour")
        yield Quantity("Kinesis", "records in", gb, "kinesis_gb_in")
        yield Quantity("Kinesis", "records out", gb, "kinesis_gb_out")
    if pipes := made.pipes():
        yield Quantity("EventBridge", "pipes", gb / _RECORD_CHUNK_GB * len(pipes) / streams, "pipe_requests")
    if queues := made.queues():
        yield Quantity("SQS", "requests", _QUEUE_ASKS_A_SECOND * _DAY_SECONDS * DAYS * len(queues), "sqs_requests")
    called = {
        made.events_api: ("pushed events", month.workload.pushed_events_a_day),
        made.query_api: ("queries", month.workload.asked_queries_a_day),
    }
    for api in made.apis():
        what, calls = called[api.name]
        yield Quantity("API Gateway", what, calls * DAYS, "api_calls")


def network(month: Month) -> Iterator[Quantity]:
    """Lists what endpoints, or the NAT gateway in their place, RDS proxies and transfer cost."""
    declared = month.project.environment.network
    in_network = any(job.connections for job in month.jobs)
    gb = month.workload.gb_a_day * DAYS * month.assumed("network_share") if in_network else Decimal()
    if declared and declared.endpoints:
        yield Quantity("VPC", "endpoints", ENDPOINTS * len(declared.subnets) * HOURS, "vpc_endpoint_hour")
        # S3 has a gateway, which costs nothing: what is read of sources goes by the network's own ways.
        yield Quantity(
            "VPC",
            "through endpoints",
            gb * month.assumed("endpoint_share"),
            "vpc_endpoint_gb",
            ("network_share", "endpoint_share"),
        )
    elif declared and in_network:
        yield Quantity("VPC", "NAT gateway", HOURS, "nat_hour")
        yield Quantity(
            "VPC",
            "through NAT gateway",
            gb * month.assumed("endpoint_share"),
            "nat_gb",
            ("network_share", "endpoint_share"),
        )
    if proxies := month.deployment.rds_proxies():
        yield Quantity("RDS Proxy", "vCPU hours", len(proxies) * _PROXY_VCPUS * HOURS, "rds_proxy_vcpu_hour")
    yield Quantity("Data transfer", "out of AWS", month.workload.gb_out, "gb_out")


def watching(month: Month) -> Iterator[Quantity]:
    """Lists what logs, metrics, alarms, the dashboard, traces and the trail cost."""
    sources, environment = len(month.project.sources), month.project.environment
    hours = sum((quantity.amount for quantity in glue(month)), Decimal())
    invoked = month.invocations
    logged = (
        hours * month.assumed("log_gb_a_dpu_hour")
        + (
            month.count(lambda run: run.transitions) * month.assumed("log_kb_a_transition")
            + invoked * month.assumed("log_kb_an_invocation")
        )
        / _KB
    )
    assumes = ("log_gb_a_dpu_hour", "log_kb_a_transition", "log_kb_an_invocation")
    yield Quantity("CloudWatch", "logs, taken in", logged, "log_ingestion", assumes)
    kept = min(Decimal(environment.retention.logs) / DAYS, Decimal(month.workload.stored_months))
    yield Quantity(
        "CloudWatch",
        "logs, stored",
        logged * kept * month.assumed("log_compressed"),
        "log_storage",
        (*assumes, "log_compressed"),
    )
    yield Quantity("CloudWatch", "custom metrics", Decimal(METRICS + METRICS_A_SOURCE * sources), "metric")
    yield Quantity(
        "CloudWatch", "metrics of alarms", Decimal(ALARM_METRICS + ALARM_METRICS_A_SOURCE * sources), "alarm"
    )
    yield Quantity("CloudWatch", "dashboard", Decimal(1), "dashboard")
    yield Quantity("X-Ray", "traces", month.runs_a_month + invoked, "trace", ("busy_share",))
    yield Quantity(
        "CloudTrail", "data events", sum(requests(month), Decimal()), "data_events", ("table_writes", "table_reads")
    )
