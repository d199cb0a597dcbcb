"""What an earlier version has stored is read, run over and gone on with as that version would have: nothing stored changes meaning.

`tests/upgrade/` holds what the pipeline had stored at an earlier version, and what that version made of the same world's next day.
The world is the same again by its seed; the code that is deployed to it is today's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from headwater.client import Client, RunState
from headwater.run.audit import books_of
from local.demo import footprint
from tests.upgrade import environment, stored
from tests.upgrade.environment import Picture, differing, settled

from .pipeline import Pipeline, own_stack

EXPECTED: dict[str, Picture] = json.loads(environment.EXPECTED.read_text())


@dataclass
class Upgraded:
    """What today's code makes of what was stored, at once, by a run over a world that stands still, and a day later."""

    found: Picture
    idle: RunState
    before_idle: dict[str, Any]
    after_idle: dict[str, Any]
    idle_picture: Picture
    next_day: Picture
    balanced: bool


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    home = tmp_path_factory.mktemp("upgraded")
    stored.put_back_files(home)
    with own_stack(home, environment.HOUSEHOLDS, frozenset(environment.STREAMS)) as stack:
        deployment = environment.deployment_of(stack)
        stored.put_back(stack, deployment, without_bookmark=f"{deployment.prefix}-facebook_ads-extract")
        stack.deploy(deployment)
        stored.put_records_again(stack, deployment)
        pipeline = Pipeline(stack, Client(deployment))
        found, before_idle = environment.picture(pipeline), footprint(pipeline.client)
        idle = pipeline.run_well()
        idle_picture, after_idle = environment.picture(pipeline), footprint(pipeline.client)
        stack.advance(*environment.STEP)
        run = pipeline.run_well()
        balanced = all(book.balances for book in books_of(pipeline.client.opened, {run.run_id}))
        yield Upgraded(found, idle, before_idle, after_idle, idle_picture, environment.picture(pipeline), balanced)


def test_what_was_stored_is_read(upgraded: Upgraded) -> None:
    assert differing(upgraded.found, EXPECTED["stored"]) == {}


def test_a_run_over_what_was_stored_finds_nothing_new(upgraded: Upgraded) -> None:
    assert upgraded.after_idle["rows"] == upgraded.before_idle["rows"]
    assert upgraded.after_idle["objects"] >= upgraded.before_idle["objects"]
    # How far bronze is, the earlier version did not record.
    new = upgraded.after_idle["objects"] - upgraded.before_idle["objects"]
    assert {key for key in new if not re.fullmatch(r"[a-z0-9_]+/[a-z_]+/bronze/\d+\.json", key)} == set()
    assert differing(upgraded.idle_picture, EXPECTED["stored"]) == {}


def test_what_comes_next_is_added_as_the_earlier_version_would_have(upgraded: Upgraded) -> None:
    differs = differing(settled(upgraded.next_day), settled(EXPECTED["next"]))
    # The earlier version could not tell which keys had come late: the newest are read once more, and those of them that were
    # refused are refused again. Silver has the others already.
    late = {"bronze/rds_postgres/order_items", "quarantine/order_items", "quarantined"}
    # It cut times in quarantine off at milliseconds, and a version that was told again did not remember when that was last.
    told = {"quarantine/stream_events", "silver/customers"}
    # Columns that it had not: what nothing could read, how far a partition had come, and what rules make of others; and who is whom.
    new = {"bronze/rds_postgres/customers", "bronze/rds_postgres/loyalty_accounts", "bronze/kafka/events"}
    new |= {"bronze/redshift/customer_behavior", "bronze/snowflake/orders"}
    new |= {"quarantine/customers", "silver/customer_identities"}
    assert [name for name in new if (before := differs[name][1]) and differs[name][0][0] != before[0]] == []
    assert sorted(differs.keys() ^ (late | told | new)) == []
    assert upgraded.balanced
