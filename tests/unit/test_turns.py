"""Turns: of several runs one at a time goes on, and none waits for a run that has ended."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import Project
from headwater.errors import LedgerError
from headwater.ledger.stream import Ledger
from headwater.open_project import OpenProject
from headwater.run import turn
from headwater.run.turn import take_turn

EXECUTIONS = "arn:aws:states:eu-west-1:000000000000:execution:headwater-local-pipeline"
FIELDS = {"taken", "waits_for", "since"}


class Executions:
    """Step Functions, as far as a turn asks it: which executions are running."""

    class exceptions:  # noqa: N801 - boto3's own name
        class ExecutionDoesNotExist(Exception):  # noqa: N818
            pass

    def __init__(self, *running: str) -> None:
        self.running = set(running)
        self.known = set(running)

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803
        machine, _, name = executionArn.rpartition(":")
        assert machine == EXECUTIONS
        if name not in self.known:
            raise self.exceptions.ExecutionDoesNotExist
        return {"status": "RUNNING" if name in self.running else "ABORTED"}


def ask(opened: OpenProject, executions: Executions, run_id: str, before: Any = None) -> dict[str, Any]:
    answer = take_turn(opened, executions, f"{EXECUTIONS}:{run_id}", before or {})
    assert set(answer) == FIELDS
    return answer


def test_a_run_waits_for_the_one_that_has_its_turn_and_says_which(opened: OpenProject) -> None:
    executions = Executions("daily", "hourly")
    assert ask(opened, executions, "daily")["taken"]
    waits = ask(opened, executions, "hourly")
    assert (waits["taken"], waits["waits_for"]) == (False, "daily")
    executions.running.remove("daily")
    assert ask(opened, executions, "hourly", waits)["taken"]


def test_a_turn_that_is_asked_for_twice_stays(opened: OpenProject) -> None:
    executions = Executions("daily", "hourly")
    assert ask(opened, executions, "daily")["taken"]
    assert ask(opened, executions, "daily")["taken"]
    assert not ask(opened, executions, "hourly")["taken"]


def test_a_run_whose_execution_is_gone_has_no_turn(opened: OpenProject) -> None:
    executions = Executions("daily", "hourly")
    ask(opened, executions, "daily")
    executions.known.remove("daily")
    assert ask(opened, executions, "hourly")["taken"]


def test_a_run_does_not_wait_for_ever(opened: OpenProject, monkeypatch: pytest.MonkeyPatch) -> None:
    executions = Executions("daily", "hourly")
    ask(opened, executions, "daily")
    waits = ask(opened, executions, "hourly")
    monkeypatch.setattr(turn, "TURN_SECONDS", 0)
    with pytest.raises(LedgerError, match=r"run daily has had its turn since .* hint: wait for that run or stop it"):
        ask(opened, executions, "hourly", waits)


NAMES = ("a", "b", "c", "d")


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=8, max_size=40))
def test_of_whatever_runs_ask_and_end_no_two_have_the_turn_at_once(
    steps: list[tuple[str, bool]], opened_anew: Any
) -> None:
    opened, executions = opened_anew(), Executions(*NAMES)
    holder: str | None = None
    for name, ends in steps:
        if name not in executions.running:
            continue
        if ends:
            executions.running.remove(name)
            holder = None if holder == name else holder
            continue
        taken = ask(opened, executions, name)["taken"]
        assert taken == (holder in {None, name})
        holder = name if taken else holder


@pytest.fixture(scope="session")
def opened_anew(project: Project) -> Any:
    class Objects:
        """The ledger's bucket, in memory: objects that are made once."""

        def __init__(self) -> None:
            self.bodies: dict[str, bytes] = {}

        def create(self, key: str, body: bytes) -> bool:
            return self.bodies.setdefault(key, body) is body

        def read(self, key: str) -> bytes | None:
            return self.bodies.get(key)

        def keys(self, prefix: str, page: int = 1000) -> Any:
            return ((key, None, 0) for key in sorted(self.bodies) if key.startswith(prefix))

    def make() -> OpenProject:
        opened = OpenProject(project)
        objects: Any = Objects()
        opened.__dict__["ledger"] = Ledger(objects)
        return opened

    return make
