"""Roles are held to what was called while every source went through the pipeline: no call is refused, no grant is idle."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from headwater.deploy.deployment import ZONES, Deployment
from headwater.deploy.project import load_project
from headwater.deploy.roles import LATE_ARNS, roles
from local.gateway.calls import Call
from local.stack import ROOT
from tests.support.iam import Grant, grants, matches, refused

from .story import Story

DEPLOYMENT = Deployment(load_project(ROOT, "local"), ROOT)
ENVIRONMENT = DEPLOYMENT.project.environment
# The local stack has no keys, and the Data API's calls are on the workgroup by its name.
LATE = {name: f"arn:aws:kms:::{name}" for name in LATE_ARNS} | {
    "workgroup_arn": f"arn:aws:redshift-serverless:{ENVIRONMENT.region}:{ENVIRONMENT.account}"
    f":workgroup/{ENVIRONMENT.warehouse.workgroup}",
    "admin_secret": f"arn:aws:secretsmanager:{ENVIRONMENT.region}:{ENVIRONMENT.account}"
    f":secret:redshift!{ENVIRONMENT.warehouse.workgroup}-admin-??????",
}
# Maintain is no part of a run: tests/e2e/test_kills.py holds it to its role.
CALLERS = sorted(
    [job.name for job in DEPLOYMENT.jobs() if job.script != "maintain"]
    + [function.name for function in DEPLOYMENT.lambdas()]
    + [DEPLOYMENT.state_machine]
)
GRANTS = {role.name: list(grants(role)) for role in roles(DEPLOYMENT, LATE) if role.name in CALLERS}


@dataclass(frozen=True)
class Idle:
    """Grants that the story does not use, and why there are such; which they are is said with IAM's `*` and `?`."""

    reason: str
    actions: str
    whats: str = "*"
    roles: tuple[str, ...] = ("*",)

    def is_about(self, grant: Grant) -> bool:
        """True when the grant is one of these."""
        return (
            matches(self.actions, grant.action)
            and matches(self.whats, grant.what)
            and any(matches(f"{DEPLOYMENT.prefix}-{role}", grant.role) for role in self.roles)
        )


_S3 = f"arn:aws:s3:::{DEPLOYMENT.prefix}"
_SOURCES = DEPLOYMENT.project.sources
_BY_SPARK = tuple(name for name, source in _SOURCES.items() if source.kind in {"jdbc", "kafka"})
_NOT_BY_SPARK = tuple(f"{name}-extract" for name in _SOURCES if name not in _BY_SPARK)

ABOVE = {
    ("s3:ListBucket", f"{_S3}-lake", "bronze/"),
    *(("s3:GetObject", f"{_S3}-lake/{zone}", None) for zone in (*ZONES, "load")),
    *(("s3:GetObject", f"{_S3}-lake/bronze/{name}", None) for name in _SOURCES),
    *(("s3:GetObject", f"{_S3}-raw/{name}", None) for name in _BY_SPARK),
}
"""Folders above one that S3A makes: it looks whether they are files, and at the first refusal makes the folder without another look."""

IDLE = (
    # What the local stack has no need of.
    Idle("It encrypts nothing.", "kms:*"),
    Idle("It keeps logs by itself.", "logs:*"),
    Idle("It keeps metrics by itself.", "cloudwatch:*"),
    Idle("It keeps no traces.", "xray:*"),
    Idle("Its jobs ask the gateway's own page for their bookmarks.", "glue:GetJobBookmark"),
    Idle("Its jobs have no temporary folder and no event log.", "s3:*", f"{_S3}-logs*"),
    Idle(
        "Glue may list what it fetches before a script starts; it fetches by name.",
        "s3:ListBucket",
        f"{_S3}-artifacts *",
    ),
    Idle("It starts and ends Glue's runs as Step Functions does, but looks at one at a time.", "glue:GetJobRuns"),
    Idle("Lambda's pollers look at queues first; it need not.", "sqs:GetQueueAttributes"),
    Idle("Lambda's pollers look at streams first; it need not.", "kinesis:Describe*"),
    Idle("Lambda's pollers look for shards; it knows them.", "kinesis:ListShards"),
    Idle("Lambda's pollers look for their place in a shard; it knows it.", "kinesis:GetShardIterator"),
    # What nothing in the story calls for.
    Idle("Nobody ceases to be an analyst.", "lakeformation:BatchRevokePermissions"),
    Idle("What is hidden stays hidden.", "lakeformation:UpdateDataCellsFilter"),
    Idle("A listing of tables is judged by its database alone.", "glue:GetTables", "*:catalog", ("grant_tables",)),
    Idle("A listing of tables is judged by its database alone.", "glue:GetTables", "*:table/*", ("grant_tables",)),
    Idle("Nobody breaks a run off, and none takes too long.", "glue:BatchStopJobRun"),
    Idle("No Lambda fails for good.", "sqs:SendMessage"),
    Idle("No upload of many parts breaks off.", "s3:AbortMultipartUpload"),
    Idle("No batch is halted, so nobody decides about one.", "s3:GetObject", f"{_S3}-raw/*/*/decisions/*"),
    Idle("No file is old enough to be swept.", "s3:DeleteObject", f"{_S3}-raw/*/data/*", _NOT_BY_SPARK),
    Idle("Maintain holds no lease.", "glue:GetJobRun", f"*:job/{DEPLOYMENT.prefix}-maintain"),
    Idle("No run of theirs is killed.", "glue:GetJobRun", "*", ("kinesis-extract", "silver", "gold")),
    Idle(
        "No two senders push the same event at the same moment.", "s3:ListBucket", f"{_S3}-landing", ("receive_event",)
    ),
    Idle("A look for a file that is not there has no prefix.", "s3:ListBucket", "* *", ("start_on_drop",)),
    Idle(
        "Google's tokens stay; OAuth lets a server replace them.", "secretsmanager:Put*", "*", ("google_ads-extract",)
    ),
    Idle("Facebook's token here is one that does not expire.", "secretsmanager:Put*", "*", ("facebook_ads-extract",)),
    # What one declaration for many grants to those who need less.
    Idle("What is received is written by a Lambda.", "s3:PutObject", f"{_S3}-raw/kinesis/*", ("kinesis-extract",)),
)

BY_CHANCE = (
    Idle(
        "Two Lambdas commit the next batch at the same moment, or do not.",
        "s3:DeleteObject",
        f"{_S3}-raw/kinesis/*/data/*",
        ("receive_records",),
    ),
)
"""Grants that the story uses when it so happens; whether it did tells nothing."""


def calls_of(story: Story, role: str) -> list[Call]:
    # The interpreter of state machines has one key for all of them.
    return [call for call in story.calls if call.principal == role]


def idle(story: Story, role: str) -> list[Grant]:
    """The grants that no call needed; one for listings below a prefix is needed by such a listing."""
    made = calls_of(story, role)
    return [
        grant
        for grant in GRANTS[role]
        if not any(grant.allows(*call[1:]) and (grant.prefix is None or call.prefix is not None) for call in made)
    ]


@pytest.mark.parametrize("role", CALLERS)
def test_every_call_is_allowed(story: Story, role: str) -> None:
    assert calls_of(story, role)
    assert refused(GRANTS[role], calls_of(story, role)) - ABOVE == set()


def test_every_look_above_is_refused(story: Story) -> None:
    assert {call for role in CALLERS for call in refused(GRANTS[role], calls_of(story, role))} >= ABOVE


@pytest.mark.parametrize("role", CALLERS)
def test_whatever_is_granted_is_used(story: Story, role: str) -> None:
    unknown = [grant for grant in idle(story, role) if not any(known.is_about(grant) for known in (*IDLE, *BY_CHANCE))]
    assert unknown == []


@pytest.mark.parametrize("known", BY_CHANCE, ids=lambda known: known.reason)
def test_what_is_used_by_chance_is_granted(known: Idle) -> None:
    assert any(known.is_about(grant) for held in GRANTS.values() for grant in held)


@pytest.mark.parametrize("known", IDLE, ids=lambda known: known.reason)
def test_what_is_known_to_be_idle_is_granted_and_is_idle(story: Story, known: Idle) -> None:
    granted = {grant for held in GRANTS.values() for grant in held if known.is_about(grant)}
    assert granted
    assert granted - {grant for role in CALLERS for grant in idle(story, role)} == set()
