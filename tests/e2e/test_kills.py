"""kill -9 of the Spark worker at every place that matters, then a plain rerun: the tables are those of a run without faults."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from headwater.deploy.roles import LATE_ARNS, roles
from local import world
from local.demo import footprint
from local.stack import Stack
from tests.support.iam import grants, recorded, refused

from .pipeline import Faults, Pipeline
from .twins import twin

RAW = "/headwater-small-raw/rds_postgres/orders"
LAKE = "/headwater-small-lake"
EXTRACT = "headwater-small-rds_postgres-extract"
SILVER = "headwater-small-silver"
GOLD = "headwater-small-gold"
MAINTAIN = "headwater-small-maintain"

ORDERS_LOG = "orders/_delta_log/[0-9]+.json"
PLACES = {
    "during extract": (EXTRACT, f"{RAW}/data/", "before"),
    "after raw data files, before the manifest": (EXTRACT, f"{RAW}/manifests/", "before"),
    "after the bronze commit, before job.commit": (EXTRACT, f"{LAKE}/bronze/rds_postgres/{ORDERS_LOG}", "after"),
    "in the silver MERGE": (SILVER, f"{LAKE}/silver/{ORDERS_LOG}", "before"),
    "between the silver and the quarantine commit": (SILVER, f"{LAKE}/silver/{ORDERS_LOG}", "after"),
    "after the gold commit, before anything of it is published": (
        GOLD,
        f"{LAKE}/gold/customer_analytics/_delta_log/[0-9]+.json",
        "after",
    ),
    "after the change file, before its publication": (GOLD, f"{LAKE}/load/customer_analytics/published/", "before"),
}
UNHEARD = "after the Redshift COMMIT, before the state machine hears of it"


@pytest.fixture(scope="module")
def stack(small_stack: Stack) -> Stack:
    return small_stack


@pytest.fixture(scope="module")
def small(stack: Stack) -> Pipeline:
    """A small pipeline, to which tests do bad things."""
    return twin(stack, "small")


@pytest.fixture(scope="module")
def control(stack: Stack) -> Pipeline:
    """Its twin, to which nothing bad happens."""
    return twin(stack, "control")


@dataclass
class Survived:
    """What is left of one increment whose runs die one after another, each a plain rerun of the one before, until one does not."""

    ended: dict[str, tuple[str, int]]
    """By place: how the run ended that a fault struck there, and how often it struck."""
    content: dict[str, tuple[int, int]]
    without_faults: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def survived(stack: Stack, small: Pipeline, control: Pipeline) -> Survived:
    """Each rerun starts from what the last death has left, and gets further before it dies: nothing is repaired on the way."""
    world.advance(stack.rds_dsn, 1, 11)
    faults, ended = Faults(stack), {}
    for place, (job, path, when) in PLACES.items():
        faults.kill(job, path, when)
        # The state machine retries a failed stage: that must not be what repairs it.
        faults.fail_the_retry("headwater-small", job)
        ended[place] = small.run().status, faults.fired("kill")
        faults.clear()
    faults.arm(point="redshift.after_commit", action="error", times=3)
    ended[UNHEARD] = small.run().status, faults.fired("error")
    faults.clear()
    small.run_well()
    control.run_well()
    return Survived(ended, small.content(), control.content())


@pytest.mark.parametrize("place", PLACES)
def test_kill_9_ends_a_run(survived: Survived, place: str) -> None:
    assert survived.ended[place] == ("FAILED", 1)


def test_a_load_whose_commit_was_not_heard_of_ends_a_run(survived: Survived) -> None:
    status, struck = survived.ended[UNHEARD]
    assert status == "FAILED"
    assert struck >= 1


def test_reruns_after_kill_9_give_the_tables_of_a_run_without_faults(survived: Survived) -> None:
    assert survived.content == survived.without_faults


def test_no_load_is_made_twice(survived: Survived, small: Pipeline) -> None:
    loads = small.client.query("redshift", "SELECT load_id, COUNT(*) FROM etl.load_ledger GROUP BY load_id").rows
    assert len(loads) == 2
    assert {count for _, count in loads} == {"1"}


def test_a_maintain_that_was_killed_is_run_again_leaves_every_row_and_nothing_to_do_and_keeps_to_its_role(
    small: Pipeline, faults: Faults
) -> None:
    before = small.content()
    faults.kill(MAINTAIN, f"{LAKE}/bronze/rds_postgres/{ORDERS_LOG}")
    assert small.maintain().status == "FAILED"
    assert faults.fired("kill") == 1
    assert small.content() == before
    assert small.maintain().status == "SUCCEEDED"
    assert small.content() == before
    orders = small.table("bronze/rds_postgres/orders")
    assert orders is not None
    assert len(orders.file_uris()) == 1
    left = footprint(small.client)
    small.run_well()
    assert footprint(small.client) == left
    made = [call for call in recorded(small.stack.aws_endpoint) if call.principal == MAINTAIN]
    late = {name: f"arn:aws:kms:::{name}" for name in LATE_ARNS}
    [role] = [role for role in roles(small.client.deployment, late) if role.name == MAINTAIN]
    assert made
    assert refused(list(grants(role)), made) == set()
