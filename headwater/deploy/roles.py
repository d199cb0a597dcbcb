"""The IAM roles of one environment: one for each job, Lambda, crawler zone and service, as config/roles declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from headwater.config import (
    AnySource,
    Environment,
    FilesSource,
    HttpSource,
    KafkaSource,
    KinesisSource,
    RedshiftSource,
)
from headwater.config.kafka_source import Iam
from headwater.config.role import Role, Shared, Statement
from headwater.deploy.deployment import LAMBDAS, ZONES, Deployment, JobSpec
from headwater.errors import ConfigError

_Declared = TypeVar("_Declared", bound=Shared)
# ARNs that AWS assigns when Terraform creates the resource.
LATE_ARNS = ("admin_secret", "alerts_key", "bookmarks_key", "data_key", "namespace_arn", "secrets_key", "workgroup_arn")


@dataclass(frozen=True)
class RoleSpec:
    """One role: its name, trust policy and permissions policy, as IAM takes them, and its file in config/roles."""

    name: str
    trust: dict[str, Any]
    permissions: dict[str, Any]
    file: str


def roles(deployment: Deployment, late_arns: Mapping[str, str]) -> list[RoleSpec]:
    """Lists every role of an environment; ConfigError names the file that is wrong.

    `late_arns` holds the ARN for each of LATE_ARNS.
    """
    environment = deployment.project.environment
    common = _common(deployment, late_arns)
    jobs = deployment.jobs()
    arns = f"arn:aws:glue:{environment.region}:{environment.account}"
    job_arns = json.dumps(sorted(f"{arns}:job/{job.name}" for job in jobs))
    specs = [_job_role(deployment, common, job, job_arns) for job in jobs]
    for zone in ZONES:
        name = f"{environment.prefix}-crawl-{zone}"
        values = {"zone": zone, "database": environment.database(zone), "role": name}
        specs.append(_role(deployment.root, name, "crawler", common | values))
    specs += _lambda_roles(deployment, common)
    entrances = deployment.entrances
    for pipe in entrances.pipes():
        values = {"stream_arn": pipe.stream_arn, "queue_arn": pipe.queue_arn}
        specs.append(_role(deployment.root, f"{pipe.name}-pipe", "pipe", common | values))
    for proxy in deployment.rds_proxies():
        specs.append(_role(deployment.root, proxy.name, "rds_proxy", common | {"secret": proxy.secret or "-"}))
    lambdas = f"arn:aws:lambda:{environment.region}:{environment.account}:function"
    values = {
        # Maintain starts by its own schedule, or by hand.
        "job_arns": json.dumps(sorted(f"{arns}:job/{job.name}" for job in jobs if job.script != "maintain")),
        "lambda_arns": json.dumps(sorted(f"{lambdas}:{environment.prefix}-{folder}" for folder in LAMBDAS)),
    }
    specs.append(_role(deployment.root, deployment.state_machine, "state_machine", common | values))
    traits = {"maintain"} if environment.maintenance else set()
    specs.append(_role(deployment.root, f"{environment.prefix}-scheduler", "scheduler", common, traits))
    unloads = [name for name, source in deployment.project.sources.items() if isinstance(source, RedshiftSource)]
    values = {
        "unloaded": json.dumps(_below(environment, unloads, "data")),
        "unload_lists": json.dumps([f"{name}/*/data/*" for name in unloads]),
    }
    traits = {"redshift"} if unloads else set()
    specs.append(_role(deployment.root, f"{environment.prefix}-copy", "copy", common | values, traits))
    return specs


def analyst_policy(deployment: Deployment, late_arns: Mapping[str, str]) -> dict[str, Any]:
    """Makes the permissions policy that is attached to the roles of analysts, which are made elsewhere."""
    declared = _read(deployment.root / "config" / "roles" / "analyst.yaml", _common(deployment, late_arns), Shared)
    allowed = [_iam(sid, statement) for sid, statement in sorted(declared.statements.items())]
    return {"Version": "2012-10-17", "Statement": allowed}


def _common(deployment: Deployment, late_arns: Mapping[str, str]) -> dict[str, str]:
    """What the placeholders of every file stand for."""
    environment = deployment.project.environment
    return {
        **{zone: environment.bucket(zone) for zone in ("raw", "lake", "artifacts", "logs", "landing")},
        "prefix": environment.prefix,
        "region": environment.region,
        "account": environment.account,
        "silver_database": environment.database("silver"),
        "gold_database": environment.database("gold"),
        **late_arns,
        **_administrator(environment, late_arns),
    }


def _administrator(environment: Environment, late_arns: Mapping[str, str]) -> dict[str, str]:
    """The secret of the warehouse's administrator and its key."""
    existing = environment.warehouse.existing
    if existing is None:
        return {"admin_secret": late_arns["admin_secret"], "admin_secret_key": late_arns["secrets_key"]}
    return {
        "admin_secret": existing.admin_secret,
        "admin_secret_key": existing.admin_secret_key or late_arns["secrets_key"],
    }


def _lambda_roles(deployment: Deployment, common: Mapping[str, str]) -> list[RoleSpec]:
    environment = deployment.project.environment
    entrances = deployment.entrances
    pushed = [
        f"arn:aws:s3:::{environment.bucket('landing')}/{stream.prefix}*"
        for source in deployment.project.sources.values()
        if isinstance(source, FilesSource) and source.entrance.kind == "http"
        for stream in source.streams.values()
    ]
    received = [name for name, source in deployment.project.sources.items() if isinstance(source, KinesisSource)]
    dropped = [
        name
        for name, source in deployment.project.sources.items()
        if isinstance(source, FilesSource) and source.entrance.kind == "drop"
    ]
    queued = [pipe.queue_arn for pipe in entrances.pipes()]
    # A queued stream is read by its pipe.
    piped = {pipe.stream_arn for pipe in entrances.pipes()}
    streams = [stream.arn for stream in entrances.record_streams() if stream.arn not in piped]
    secrets = f"arn:aws:secretsmanager:{environment.region}:{environment.account}:secret"
    crawlers = f"arn:aws:glue:{environment.region}:{environment.account}:crawler"
    receiver = environment.lineage.http if environment.lineage else None
    lineage_secret = receiver.secret if receiver else None
    shared = {
        "crawler_arns": json.dumps(sorted(f"{crawlers}/{crawler.name}" for crawler in deployment.crawlers())),
        "execution_arn": deployment.state_machine_arn.replace(":stateMachine:", ":execution:"),
        "secret": environment.alerts.slack_secret or "-",
        "lineage_secret": lineage_secret or "-",
        "sender_secrets": json.dumps([f"{secrets}:{name}-??????" for name in entrances.pushed_secrets]),
        "consumer_secrets": json.dumps([f"{secrets}:{name}-??????" for name in [entrances.query_secret] if name]),
        "pushed": json.dumps(pushed),
        "streams": json.dumps(streams),
        "queues": json.dumps(queued),
        "pushed_lists": json.dumps([arn.partition("/")[2] for arn in pushed]),
        "received": json.dumps([*_below(environment, received, "data"), *_below(environment, received, "manifests")]),
        "received_data": json.dumps(_below(environment, received, "data")),
        "received_manifests": json.dumps(_below(environment, received, "manifests")),
        "arrivals": json.dumps(_below(environment, dropped, "arrivals")),
    }
    traits = {*(["queued"] if queued else []), *(["direct"] if streams else [])}
    traits |= {*(["lineage_secret"] if lineage_secret else [])}
    traits |= {*(["lineage_file"] if environment.lineage and environment.lineage.file else [])}
    return [
        _role(deployment.root, function.name, function.folder, {**common, **shared, "function": function.name}, traits)
        for function in deployment.lambdas()
    ]


def _committed(source: AnySource | None) -> tuple[str, ...]:
    """What of a batch the job of its source writes itself: records are committed as they come, and Redshift writes its own files."""
    match source:
        case None | KinesisSource():
            return ()
        case RedshiftSource():
            return ("manifests",)
        case _:
            return ("data", "manifests")


def _below(environment: Environment, sources: Sequence[str], kind: str) -> list[str]:
    """ARNs of one kind of the ledger's objects, of every stream of some sources."""
    return [f"arn:aws:s3:::{environment.bucket('raw')}/{name}/*/{kind}/*" for name in sources]


def _job_role(deployment: Deployment, common: Mapping[str, str], job: JobSpec, job_arns: str) -> RoleSpec:
    environment = deployment.project.environment
    source = deployment.project.sources[job.source] if job.source else None
    committed = [
        arn for kind in _committed(source) for arn in _below(environment, [source.name] if source else [], kind)
    ]
    drops = sorted(stream.prefix for stream in source.streams.values()) if isinstance(source, FilesSource) else []
    values = {
        "job": job.name,
        "logs_of_job": deployment.log_group(job),
        "script": job.script,
        "source": source.name if source else "-",
        "secret": (source.secret if source else None) or "-",
        "subnet": environment.network.subnets[0] if environment.network else "-",
        "job_arns": job_arns,
        "drops": json.dumps([f"arn:aws:s3:::{environment.bucket('landing')}/{prefix}*" for prefix in drops]),
        "committed": json.dumps(committed),
        "kafka_cluster": "-",
        "kafka_topics": "[]",
        "identities": json.dumps(
            _of_identities(deployment, f"arn:aws:s3:::{environment.bucket('lake')}/silver/{{}}/*")
        ),
        "identity_logs": json.dumps(
            _of_identities(deployment, f"arn:aws:s3:::{environment.bucket('lake')}/silver/{{}}/_delta_log/*")
        ),
        "identity_notes": json.dumps(
            [
                arn
                for folder in ("_schemas", "_leases")
                for arn in _of_identities(deployment, f"arn:aws:s3:::{environment.bucket('raw')}/{folder}/silver/{{}}*")
            ]
        ),
        "drop_lists": json.dumps([f"{prefix}*" for prefix in drops]),
    }
    traits: set[str] = set()
    if isinstance(source, KafkaSource) and isinstance(source.security, Iam):
        cluster = source.security.cluster
        topics = sorted(
            environment.arn("kafka", f"topic/{cluster}/*/{stream.topic}") for stream in source.streams.values()
        )
        values |= {"kafka_cluster": cluster, "kafka_topics": json.dumps(topics)}
        traits.add("kafka_iam")
    if deployment.project.identities:
        traits.add("identities")
    if source:
        traits.add(source.kind)
        if committed:
            traits.add("commits")
        # The keys of those who push are for the Lambda that checks them.
        if source.secret and not (isinstance(source, FilesSource) and source.entrance.kind == "http"):
            traits.add("secret")
        if isinstance(source, HttpSource) and source.auth.kind in {"oauth", "long_lived"}:
            traits.add("rotates")
        if job.connections:
            traits.add("network")
    return _role(deployment.root, job.name, job.script, {**common, **values}, traits)


def _of_identities(deployment: Deployment, pattern: str) -> list[str]:
    return [pattern.format(name) for name in sorted(deployment.project.identities)]


def _role(root: Path, name: str, file: str, values: Mapping[str, str], traits: set[str] | None = None) -> RoleSpec:
    folder = root / "config" / "roles"
    role = _read(folder / f"{file}.yaml", values, Role)
    statements: dict[str, Statement] = {}
    bases: list[Shared] = [role]
    while bases[-1].also:
        bases.append(_read(folder / "shared" / f"{bases[-1].also}.yaml", values, Shared))
    for base in reversed(bases):
        statements |= base.statements
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": list(role.services)},
    }
    if role.own_account:
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": values["account"]}}
    allowed = [
        _iam(sid, statement)
        for sid, statement in sorted(statements.items())
        if statement.when is None or statement.when in (traits or set())
    ]
    return RoleSpec(
        name, {"Version": "2012-10-17", "Statement": [trust]}, {"Version": "2012-10-17", "Statement": allowed}, file
    )


def _iam(sid: str, statement: Statement) -> dict[str, Any]:
    allowed: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(statement.actions),
        "Resource": list(statement.resources),
    }
    if statement.conditions:
        allowed["Condition"] = statement.model_dump(mode="json")["conditions"]
    return allowed


def _read(path: Path, values: Mapping[str, str], model: type[_Declared]) -> _Declared:
    try:
        return model.model_validate(yaml.load(Template(path.read_text()).substitute(values), yaml.CSafeLoader))
    except KeyError as error:
        raise ConfigError(
            f"{path}: placeholder {error} has no value here; known: {', '.join(sorted(values))}"
        ) from None
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from None
