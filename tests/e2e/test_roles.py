"""Roles are held to what was called while every source went through the pipeline: no call is refused, no grant is idle."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from headwater.deploy.deployment import ZONES, Deployment
from headwater.deploy.roles import roles
from local.gateway.calls import Call
from local.gateway.iam.conditions import matches
from local.gateway.redshift.identities import identity
from local.stack import ROOT
from tests.support import declared
from tests.support.iam import LATE_KEYS, Grant, grants, refused

from .story import Story

DEPLOYMENT = Deployment(declared.project("local"), ROOT)
ENVIRONMENT = DEPLOYMENT.project.environment
LATE = LATE_KEYS | {
    "namespace_arn": "arn:aws:redshift-serverless:::namespace",
    "workgroup_arn": f"arn:aws:redshift-serverless:{ENVIRONMENT.region}:{ENVIRONMENT.account}"
    f":workgroup/{identity('workgroup', ENVIRONMENT.warehouse.workgroup)}",
    "admin_secret": f"arn:aws:secretsmanager:{ENVIRONMENT.region}:{ENVIRONMENT.account}"
    f":secret:redshift!{ENVIRONMENT.warehouse.workgroup}-admin-??????",
}
# Maintain is no part of a run: tests/e2e/test_kills.py holds it to its role.
CALLERS = sorted(
    [job.name for job in DEPLOYMENT.jobs() if job.script != "maintain"]
    + [function.name for function in DEPLOYMENT.lambdas()]
    + [f"{DEPLOYMENT.prefix}-crawl-{zone}" for zone in ZONES]
    + [f"{pipe.name}-pipe" for pipe in DEPLOYMENT.entrances.pipes()]
    + [DEPLOYMENT.state_machine, f"{DEPLOYMENT.prefix}-copy"]
)
GRANTS = {role.name: list(grants(role)) for role in roles(DEPLOYMENT, LATE) if role.name in CALLERS}


@dataclass(frozen=True)
class Idle:
    """Grants that the story does not use, and why there are such; which they are is said with IAM's `*` and `?`."""

    reason: str
    actions: str
    whats: str = "*"
    roles: tuple[str, ...] = ("*",)
    sids: str = "*"

    def is_about(self, grant: Grant) -> bool:
        """True when the grant is one of these."""
        return (
            matches(self.actions, grant.action)
            and matches(self.whats, grant.what)
            and matches(self.sids, grant.sid)
            and any(matches(f"{DEPLOYMENT.prefix}-{role}", grant.role) for role in self.roles)
        )


_S3 = f"arn:aws:s3:::{DEPLOYMENT.prefix}"
_SOURCES = DEPLOYMENT.project.sources
_BY_SPARK = tuple(name for name, source in _SOURCES.items() if source.kind in {"jdbc", "kafka"})
_NOT_BY_SPARK = tuple(f"{name}-extract" for name in _SOURCES if name not in _BY_SPARK)

_NO_QUEUE = tuple(
    function.folder for function in DEPLOYMENT.lambdas() if function.folder not in {"receive_records", "start_on_drop"}
)

ABOVE = {
    *(("s3:GetObject", f"{_S3}-lake/{zone}", None) for zone in (*ZONES, "load") if zone != "bronze"),
    *(("s3:GetObject", f"{_S3}-lake/bronze/{name}", None) for name in _SOURCES),
    *(("s3:GetObject", f"{_S3}-raw/{name}", None) for name in _BY_SPARK),
}
"""Folders above one that S3A makes: it looks whether they are files, and at the first refusal makes the folder without another look."""

IDLE = (
    # What the local stack has no need of.
    Idle("It keeps metrics by itself.", "cloudwatch:*"),
    Idle("It keeps no traces.", "xray:*"),
    Idle("Its log groups are made with their key.", "logs:AssociateKmsKey"),
    Idle("It keeps the log of executions by itself.", "logs:*", "*", ("pipeline",)),
    Idle("Its crawlers read the lake by their role.", "lakeformation:GetDataAccess", "*", ("crawl-*",)),
    Idle("Its Athena looks a table up without its database.", "glue:GetDatabase", "*", ("answer_query",)),
    Idle("Its Athena writes a result in one part.", "s3:ListMultipartUploadParts"),
    Idle("Its crawlers look at one table at a time.", "glue:GetTables", "*", ("crawl-*",)),
    Idle("A database is looked at without its tables.", "glue:GetDatabase", "*:table/*"),
    Idle("Whether Glue needs it is not documented; it commits by another way here.", "glue:UpdateJobBookmark"),
    Idle("Its bookmarks are encrypted as a whole.", "kms:GenerateDataKey", "arn:aws:kms:::bookmarks_key"),
    Idle("Its broker asks nobody who he is.", "kafka-cluster:*"),
    Idle("Its jobs have no temporary folder and no event log.", "s3:*", f"{_S3}-logs*", ("*",), "*TemporaryFiles"),
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
    Idle("Nobody breaks a run off, and none takes too long.", "glue:BatchStopJobRun"),
    Idle("No Lambda fails for good.", "sqs:SendMessage", "*-dead-letters"),
    Idle("No Lambda fails for good.", "kms:GenerateDataKey", "*", ("*",), "UseDeadLetterKey"),
    Idle("No Lambda fails for good, and most read no queue.", "kms:Decrypt", "*", _NO_QUEUE, "UseDeadLetterKey"),
    Idle("No upload of many parts breaks off.", "s3:AbortMultipartUpload"),
    Idle("No batch is halted, so nobody decides about one.", "s3:GetObject", f"{_S3}-raw/*/*/decisions/*"),
    Idle(
        "No batch is halted, so none is counted behind it.",
        "s3:ListBucket",
        f"{_S3}-raw */manifests/*",
        ("read_verdicts",),
    ),
    Idle("No load is refused.", "s3:PutObject", f"{_S3}-lake/load/*/refused/*", ("load_changes",)),
    Idle("No book is closed twice.", "s3:GetObject", f"{_S3}-raw/*/*/books/*", ("silver",)),
    Idle("No stream fails in a job that goes on with the others.", "s3:PutObject", f"{_S3}-raw/_failures/*"),
    Idle("No file is old enough to be swept.", "s3:DeleteObject", f"{_S3}-raw/*/data/*", _NOT_BY_SPARK),
    Idle("Maintain holds no lease.", "glue:GetJobRun", f"*:job/{DEPLOYMENT.prefix}-maintain"),
    Idle("No run of theirs is killed.", "glue:GetJobRun", "*", ("kinesis-extract", "silver", "gold")),
    Idle(
        "No two senders push the same event at the same moment.", "s3:ListBucket", f"{_S3}-landing*", ("receive_event",)
    ),
    Idle("A look for a file that is not there has no prefix.", "s3:ListBucket", "* *", ("start_on_drop",)),
    Idle("Nor has a look for what no audit has entered.", "s3:ListBucket", "* *", ("audit_run",), "ListEntered"),
    Idle(
        "Google's tokens stay; OAuth lets a server replace them.", "secretsmanager:Put*", "*", ("google_ads-extract",)
    ),
    Idle("Facebook's token here is one that does not expire.", "secretsmanager:Put*", "*", ("facebook_ads-extract",)),
    Idle(
        "Nor is a token encrypted.",
        "kms:GenerateDataKey",
        "*secrets_key",
        ("google_ads-extract", "facebook_ads-extract"),
    ),
    # What one declaration for many grants to those who need less.
    Idle("Not every Lambda writes.", "kms:GenerateDataKey", "*data_key", ("plan_run", "grant_tables")),
)

BY_CHANCE = (
    Idle("All tables of a crawler are there at its first crawl, or are not.", "glue:UpdateCrawler"),
    Idle("A table's shape changes, or does not.", "glue:UpdateTable"),
    Idle(
        "Two Lambdas commit the next batch at the same moment, or do not.",
        "s3:DeleteObject",
        f"{_S3}-raw/kinesis/*/data/*",
        ("receive_records",),
    ),
)
"""Grants that the story uses when it so happens; whether it did tells nothing."""


def calls_of(story: Story, role: str) -> list[Call]:
    return [call for call in story.calls if call.principal == role]


def idle(story: Story, role: str) -> list[Grant]:
    """The grants that no call needed; one for listings below a prefix is needed by such a listing."""
    made = calls_of(story, role)
    return [
        grant
        for grant in GRANTS[role]
        if not any(grant.allows(call) and (grant.prefix is None or call.prefix is not None) for call in made)
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
