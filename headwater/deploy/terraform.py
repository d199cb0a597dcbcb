"""deployment.json: all that Terraform reads of one environment. Nothing of it is derived a second time in HCL.

ARNs that AWS knows only once something is made stand in the roles' policies as placeholders, each a whole resource: `${data_key}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from headwater.config import Environment
from headwater.deploy.deployment import ZONES, Deployment
from headwater.deploy.entrances import Entrances
from headwater.deploy.resource_policies import key_policies, queue_policies, topic_policy
from headwater.deploy.roles import LATE_ARNS, RoleSpec, analyst_policy, roles
from headwater.deploy.schedules import ScheduleSpec, compact
from headwater.errors import ConfigError

_OF_ENVIRONMENT = {
    *("name", "prefix", "region", "account", "warehouse", "retention", "alerts", "network"),
    *("analysts", "budget_usd", "athena_scan_gib", "protected", "reserved_concurrency", "data_events"),
}


def document(deployment: Deployment) -> dict[str, Any]:
    """Derives what deployment.json holds, but for the digest of what it was derived from; ConfigError names the file that is wrong."""
    environment = deployment.project.environment
    _check_copy_role(environment)
    late = {name: f"${{{name}}}" for name in LATE_ARNS}
    made = {role.name: _role(role, environment.boundary_arn) for role in roles(deployment, late)}
    prefix = deployment.prefix
    return {
        "environment": environment.model_dump(mode="json", include=_OF_ENVIRONMENT),
        "buckets": deployment.buckets(),
        "databases": {zone: environment.database(zone) for zone in ZONES},
        "secrets": deployment.secrets(),
        "security_configuration": deployment.security_configuration,
        "jobs": {
            job.name: {
                **asdict(job),
                "script_key": job.script_key,
                "log_group": deployment.log_group(job),
                "role": made[job.name],
            }
            for job in deployment.jobs()
        },
        "lambdas": {
            function.name: {**asdict(function), "role": made[function.name]} for function in deployment.lambdas()
        },
        "crawlers": {crawler.name: asdict(crawler) for crawler in deployment.crawlers()},
        "crawler_roles": {zone: made[f"{prefix}-crawl-{zone}"] for zone in ZONES},
        "state_machine": {
            "name": deployment.state_machine,
            "arn": deployment.state_machine_arn,
            "definition": deployment.definition(),
            "role": made[deployment.state_machine],
        },
        "scheduler_role": made[f"{prefix}-scheduler"],
        "schedules": _schedules(deployment.schedules()),
        "snapshots": _schedules(deployment.snapshots()),
        "copy_role": made[f"{prefix}-copy"],
        "analyst_policy": {"name": f"{prefix}-analyst", "policy": compact(analyst_policy(deployment, late))},
        "grant_tables_role": f"{prefix}-grant_tables",
        "gold_readers": deployment.gold_readers(),
        "migrations": {"function": deployment.migrator, "input": deployment.migrations()},
        "topic": {
            "name": deployment.topic,
            "arn": deployment.topic_arn,
            "policy": compact(topic_policy(deployment)),
        },
        "key_policies": {key: compact(policy) for key, policy in key_policies(deployment).items()},
        "queue_policies": {queue: compact(policy) for queue, policy in queue_policies(deployment).items()},
        "rds_proxies": {
            proxy.key: {**asdict(proxy), "secret": f"{prefix}/{proxy.secret}", "role": made[proxy.name]}
            for proxy in deployment.rds_proxies()
        },
        "entrances": _entrances(deployment.entrances, made),
    }


def _check_copy_role(environment: Environment) -> None:
    expected = f"arn:aws:iam::{environment.account}:role/{environment.prefix}-copy"
    if environment.warehouse.copy_role != expected:
        raise ConfigError(
            f"config/environments/{environment.name}.yaml: warehouse.copy_role: {environment.warehouse.copy_role}, "
            f"but the role that Terraform makes is {expected}"
        )


def _role(role: RoleSpec, boundary: str | None) -> dict[str, str | None]:
    return {
        "name": role.name,
        "file": role.file,
        "boundary": boundary,
        "trust": compact(role.trust),
        "permissions": compact(role.permissions),
    }


def _schedules(specs: Iterable[ScheduleSpec]) -> dict[str, Any]:
    return {spec.name: {**asdict(spec), "input": compact(spec.input)} for spec in specs}


def _entrances(entrances: Entrances, made: Mapping[str, Any]) -> dict[str, Any]:
    piped = {pipe.stream_arn: pipe for pipe in entrances.pipes()}
    return {
        "record_streams": {
            f"{source}.{stream}": {
                **asdict(spec),
                "pipe_role": made[f"{spec.name}-pipe"] if spec.arn in piped else None,
            }
            for source, stream in entrances.received()
            for spec in [entrances.record_stream(source, stream)]
        },
        "queues": {queue.name: asdict(queue) for queue in entrances.queues()},
        "mappings": {
            mapping.source_arn: {**asdict(mapping), "reads_shards": mapping.reads_shards}
            for mapping in entrances.mappings()
        },
        "drop_rules": {rule.name: {"pattern": compact(rule.pattern)} for rule in entrances.drop_rules()},
        "apis": {api.name: asdict(api) for api in entrances.apis()},
    }
