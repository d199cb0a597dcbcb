"""No role may do more than its file says why: no wildcard action, no wildcard resource without a known reason."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.config import AnySource, FilesSource, KafkaSource, KafkaStream, KinesisSource, RedshiftSource
from headwater.config.kafka_source import Iam
from headwater.deploy.roles import RoleSpec, analyst_policy, roles
from headwater.errors import ConfigError
from local.gateway.iam.conditions import matches
from local.gateway.iam.policy import Request, decide, statements_of
from tests.support.paths import ROOT
from tests.terraform.conftest import LATE, Place
from tests.terraform.test_rules import resources

# Actions for which AWS knows no resource; any other on * is too much.
WITHOUT_RESOURCE = {
    "cloudwatch:PutMetricData",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "lakeformation:BatchGrantPermissions",
    "lakeformation:BatchRevokePermissions",
    "lakeformation:CreateDataCellsFilter",
    "lakeformation:GetDataAccess",
    "lakeformation:ListDataCellsFilter",
    "lakeformation:ListPermissions",
    "lakeformation:UpdateDataCellsFilter",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "redshift-data:DescribeStatement",
    "redshift-data:GetStatementResult",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


@pytest.fixture
def specs(place: Place) -> dict[str, RoleSpec]:
    return {role.name: role for role in roles(place.deployment, LATE)}


def statements(role: RoleSpec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = role.permissions["Statement"]
    return found


def allows(role: RoleSpec, action: str, resource: str) -> bool:
    return any(
        action in allowed["Action"] and any(matches(pattern, resource) for pattern in allowed["Resource"])
        for allowed in statements(role)
    )


def test_no_role_has_a_wildcard_action(specs: dict[str, RoleSpec]) -> None:
    actions = {action for role in specs.values() for allowed in statements(role) for action in allowed["Action"]}
    assert actions
    assert [action for action in actions if "*" in action] == []


def test_only_actions_without_resources_are_allowed_on_all(specs: dict[str, RoleSpec]) -> None:
    wide = {
        action
        for role in specs.values()
        for allowed in statements(role)
        if "*" in allowed["Resource"]
        for action in allowed["Action"]
    }
    assert wide <= WITHOUT_RESOURCE


def test_every_statement_names_resources_of_this_environment(place: Place, specs: dict[str, RoleSpec]) -> None:
    own = (place.deployment.prefix, place.deployment.prefix.replace("-", "_"), *LATE.values())
    # The jobs in a VPC make network interfaces, whose ids nobody knows before; the warehouse makes snapshots.
    # A Kafka cluster is another's; it is narrowed by its name and its topics.
    nameless = (
        "arn:aws:ec2:",
        "arn:aws:redshift-serverless:",
        "arn:aws:glue:eu-west-1:123456789012:catalog",
        "arn:aws:kafka:",
    )
    foreign = {
        (role.name, resource)
        for role in specs.values()
        for allowed in statements(role)
        for resource in allowed["Resource"]
        if resource != "*" and not any(name in resource for name in own) and not resource.startswith(nameless)
    }
    assert foreign == set()


def test_no_bucket_is_open_as_a_whole(specs: dict[str, RoleSpec]) -> None:
    for role in specs.values():
        for allowed in statements(role):
            for resource in allowed["Resource"]:
                assert not (resource.startswith("arn:aws:s3:::") and resource.endswith(("-raw/*", "-lake/*"))), (
                    role.name
                )


def is_pushed(source: AnySource) -> bool:
    """True when a source's secret is for the Lambda that its senders call."""
    return isinstance(source, FilesSource) and source.entrance.kind == "http"


def test_an_extract_job_reads_its_own_secret_and_no_other(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    arn = f"arn:aws:secretsmanager:{environment.region}:{environment.account}:secret:{environment.prefix}"
    sources = place.deployment.project.sources
    for name in sources:
        role = specs[f"{environment.prefix}-{name}-extract"]
        readable = {
            source.secret
            for source in sources.values()
            if source.secret and allows(role, "secretsmanager:GetSecretValue", f"{arn}/{source.secret}-a1B2c3")
        }
        own = set() if is_pushed(sources[name]) else {sources[name].secret} - {None}
        assert readable == own, name


def test_an_extract_job_keeps_its_own_bookmark_and_no_other(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    jobs = [job.name for job in place.deployment.jobs() if job.source]
    for name in jobs:
        for action in ("glue:GetJobBookmark", "glue:UpdateJobBookmark"):
            kept = [other for other in jobs if allows(specs[name], action, environment.arn("glue", f"job/{other}"))]
            assert kept == [name], action


def test_an_extract_job_writes_its_own_prefixes_and_no_other(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    raw, lake = (f"arn:aws:s3:::{environment.bucket(zone)}" for zone in ("raw", "lake"))
    names = sorted(place.deployment.project.sources)
    for name in names:
        role = specs[f"{environment.prefix}-{name}-extract"]
        others = [other for other in names if other != name]
        assert allows(role, "s3:PutObject", f"{raw}/{name}/s/bronze/1.json")
        assert allows(role, "s3:PutObject", f"{lake}/bronze/{name}/s/_delta_log/0.json")
        for other in others:
            assert not allows(role, "s3:PutObject", f"{raw}/{other}/s/manifests/1.json")
            assert not allows(role, "s3:GetObject", f"{raw}/{other}/s/data/1")
            assert not allows(role, "s3:PutObject", f"{lake}/bronze/{other}/s/part")
        assert not allows(role, "s3:PutObject", f"{lake}/silver/orders/part")
        assert not allows(role, "s3:DeleteObject", f"{raw}/{name}/s/manifests/1.json")


def decided(role: RoleSpec, action: str, resource: str, prefix: str | None = None) -> bool:
    """What IAM would decide by a role's policy."""
    told = {} if prefix is None else {"s3:prefix": (prefix,)}
    told |= {"kms:ViaService": ("s3.eu-west-1.amazonaws.com",)}
    return decide(Request(frozenset(), action, resource, told), statements_of(statements(role))).allowed


def test_who_faces_strangers_writes_batches_and_neither_verdicts_nor_decisions(
    place: Place, specs: dict[str, RoleSpec]
) -> None:
    environment = place.deployment.project.environment
    raw = f"arn:aws:s3:::{environment.bucket('raw')}"
    sources = place.deployment.project.sources
    writers = {name: specs[f"{environment.prefix}-{name}-extract"] for name in sources}
    received = [name for name, source in sources.items() if isinstance(source, KinesisSource)]
    every = [*writers.items(), *((name, specs[f"{environment.prefix}-receive_records"]) for name in received)]
    assert every
    for name, role in every:
        source, itself = sources[name], role.name.endswith("-extract")
        # Records are committed as they come, and Redshift writes its own files.
        writes = {
            "data": not itself or not isinstance(source, KinesisSource | RedshiftSource),
            "manifests": not itself or not isinstance(source, KinesisSource),
        }
        for kind, does in writes.items():
            assert decided(role, "s3:PutObject", f"{raw}/{name}/s/{kind}/1") == does, (role.name, kind)
        for kind in ("verdicts", "decisions", "books", "metrics", "arrivals"):
            assert not decided(role, "s3:PutObject", f"{raw}/{name}/s/{kind}/1.json"), (role.name, kind)
        for other in ("_held/streams.json", "_leases/run/1", "_schemas/crawled.json"):
            assert not decided(role, "s3:PutObject", f"{raw}/{other}"), (role.name, other)


def test_copy_writes_what_a_redshift_source_unloads_and_nothing_else(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    raw, role = f"arn:aws:s3:::{environment.bucket('raw')}", specs[f"{environment.prefix}-copy"]
    for name, source in place.deployment.project.sources.items():
        unloads = isinstance(source, RedshiftSource)
        assert decided(role, "s3:PutObject", f"{raw}/{name}/s/data/000000001/a/0000_part_00.parquet") == unloads, name
        assert decided(role, "s3:ListBucket", raw, f"{name}/s/data/") == unloads, name
        assert not decided(role, "s3:PutObject", f"{raw}/{name}/s/manifests/1.json"), name
        assert not decided(role, "s3:GetObject", f"{raw}/{name}/s/data/000000001/a/part"), name


def test_whom_strangers_call_sees_no_file_of_another_partner(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    landing, role = f"arn:aws:s3:::{environment.bucket('landing')}", specs[f"{environment.prefix}-receive_event"]
    for source in place.deployment.project.sources.values():
        for stream in source.streams.values() if isinstance(source, FilesSource) else ():
            assert decided(role, "s3:ListBucket", landing, stream.prefix) == is_pushed(source), stream.prefix
            assert decided(role, "s3:PutObject", f"{landing}/{stream.prefix}1.json") == is_pushed(source), stream.prefix


def test_a_kafka_source_that_signs_in_by_its_role_reads_its_own_topics(
    place: Place, specs: dict[str, RoleSpec]
) -> None:
    environment = place.deployment.project.environment
    for name, source in place.deployment.project.sources.items():
        role = specs[f"{environment.prefix}-{name}-extract"]
        by_role = isinstance(source, KafkaSource) and isinstance(source.security, Iam)
        assert allows(role, "kafka-cluster:Connect", environment.arn("kafka", "cluster/shop/9a8b/0")) == by_role
        for action in ("kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"):
            assert not allows(role, action, environment.arn("kafka", "topic/shop/9a8b/anything"))
            for stream in source.streams.values() if by_role else ():
                assert isinstance(stream, KafkaStream)
                assert allows(role, action, environment.arn("kafka", f"topic/shop/9a8b/{stream.topic}"))
        group = environment.arn("kafka", "group/shop/9a8b/spark-kafka-relation-1-executor")
        assert allows(role, "kafka-cluster:AlterGroup", group) == by_role
        assert not any(
            action.startswith("kafka-cluster:Write") for allowed in statements(role) for action in allowed["Action"]
        )


def test_a_jobs_log_groups_are_named_as_glue_names_them_and_its_own_alone(
    place: Place, specs: dict[str, RoleSpec]
) -> None:
    environment = place.deployment.project.environment
    jobs = place.deployment.jobs()
    for job in jobs:
        # <prefix>/<security configuration>-role/<role>: Glue's form for logs that a security configuration encrypts.
        assert place.deployment.log_group(job) == f"/aws-glue/jobs/{environment.prefix}-role/{specs[job.name].name}"
        assert "--custom-logGroup-prefix" not in job.arguments
        for other in jobs:
            stream = environment.arn("logs", f"log-group:{place.deployment.log_group(other)}/output:log-stream:jr_1")
            assert allows(specs[job.name], "logs:PutLogEvents", stream) == (job.name == other.name)


def test_terraform_makes_the_groups_that_jobs_write_to() -> None:
    [group] = [
        body
        for (kind, _), body in resources(ROOT / "terraform" / "modules" / "glue_jobs").items()
        if kind == "aws_cloudwatch_log_group"
    ]
    assert group["name"].strip('"') == "${var.jobs[each.value[0]].log_group}/${each.value[1]}"


def test_nobody_deletes_manifests_verdicts_decisions_or_books(place: Place, specs: dict[str, RoleSpec]) -> None:
    raw = f"arn:aws:s3:::{place.deployment.project.environment.bucket('raw')}"
    for role in specs.values():
        for kind in ("manifests", "verdicts", "decisions", "books"):
            assert not allows(role, "s3:DeleteObject", f"{raw}/fx_rates/rates/{kind}/1.json"), role.name


def test_the_state_machine_starts_every_job_of_a_run_and_no_other(place: Place, specs: dict[str, RoleSpec]) -> None:
    environment = place.deployment.project.environment
    role = specs[place.deployment.state_machine]
    arn = f"arn:aws:glue:{environment.region}:{environment.account}:job"
    for job in place.deployment.jobs():
        for action in ("glue:StartJobRun", "glue:GetJobRun", "glue:BatchStopJobRun"):
            assert allows(role, action, f"{arn}/{job.name}") == (job.script != "maintain")
    assert not allows(role, "glue:StartJobRun", f"{arn}/another")


def test_only_who_ran_a_statement_may_look_at_it(place: Place, specs: dict[str, RoleSpec]) -> None:
    # A session's name is part of who it is: only a function or a job, whose session has one name, finds its statements again.
    policies = {name: role.permissions for name, role in specs.items()}
    policies["analyst"] = analyst_policy(place.deployment, LATE)
    looking = {
        name: allowed.get("Condition")
        for name, policy in policies.items()
        for allowed in policy["Statement"]
        if {"redshift-data:DescribeStatement", "redshift-data:GetStatementResult"} & {*allowed["Action"]}
    }
    own = {"StringEquals": {"redshift-data:statement-owner-iam-userid": ["${aws:userid}"]}}
    assert {"analyst", f"{place.deployment.prefix}-load_changes"} <= looking.keys()
    assert {name: condition for name, condition in looking.items() if condition != own} == {}
    assert place.deployment.state_machine not in looking


def test_every_name_of_a_role_is_one_that_iam_takes(specs: dict[str, RoleSpec]) -> None:
    assert [name for name in specs if len(name) > 64] == []


def test_a_wildcard_without_a_reason_is_refused(place: Place, every_kind: Any) -> None:
    path = every_kind / "config" / "roles" / "gold.yaml"
    declared = path.read_text()
    path.write_text(declared + '  Everything:\n    actions: [s3:GetObject]\n    resources: ["*"]\n')
    try:
        with pytest.raises(ConfigError, match="gives its reason"):
            roles(Place(every_kind, "prod").deployment, LATE)
        path.write_text(declared + '  Everything:\n    actions: ["s3:*"]\n    resources: [x]\n')
        with pytest.raises(ConfigError, match="actions"):
            roles(Place(every_kind, "prod").deployment, LATE)
    finally:
        path.write_text(declared)
