"""What one run does in the state machine: how often it enters each state, counted along the definition that is deployed."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from headwater.config.strict import Name, Strict
from headwater.deploy.project import load_declared
from headwater.errors import ConfigError

_FILE = "config/cost/run.yaml"


class Way(Strict):
    """The way of a usual run through the state machine, from config/cost/run.yaml."""

    choices: dict[str, tuple[str, ...]] = Field(
        description="The states that a Choice leads to on its first, second … visit; the last also on those after."
    )
    each_source: tuple[str, ...] = Field(description="The Maps that go through the sources of the run.")
    waits: dict[str, Name] = Field(
        description="The assumption that says how many seconds that takes which a Wait waits for, in a loop of looks."
    )


@dataclass(frozen=True)
class Run:
    """How often a run enters each state, and what its tasks call."""

    visits: Counter[str]
    tasks: Mapping[str, Mapping[str, Any]]

    @property
    def transitions(self) -> int:
        """State transitions, as Step Functions bills them: each state that is entered."""
        return self.visits.total()

    def calls(self, resource: str) -> int:
        """How often the run's tasks call what ends so, such as `lambda:invoke`."""
        return sum(
            n for name, n in self.visits.items() if self.tasks.get(name, {}).get("Resource", "").endswith(resource)
        )

    def job_runs(self, script: str) -> int:
        """How often the run starts a job of a script."""
        jobs = {name: _job(task) for name, task in self.tasks.items() if "startJobRun" in task["Resource"]}
        return sum(self.visits[name] for name, job in jobs.items() if re.search(rf"-{script}\b", job))


def _job(task: Mapping[str, Any]) -> str:
    parameters = task["Parameters"]
    return str(parameters.get("JobName") or parameters["JobName.$"])


def load_way(root: Path) -> Way:
    """Loads config/cost/run.yaml; ConfigError has a line for each mistake."""
    return load_declared(TypeAdapter(Way), root, "cost", "run")


def run_of(definition: str, way: Way, sources: int, seconds: Mapping[str, Decimal]) -> Run:
    """Follows a usual run through a state machine's definition; ConfigError names a state of which the way says nothing."""
    walk = _Walk(way, sources, seconds)
    walk.through(json.loads(definition), 1)
    return Run(walk.visits, walk.tasks)


class _Walk:
    def __init__(self, way: Way, sources: int, seconds: Mapping[str, Decimal]) -> None:
        self._way, self._sources, self._seconds = way, sources, seconds
        self.visits: Counter[str] = Counter()
        self.tasks: dict[str, Mapping[str, Any]] = {}

    def through(self, machine: Mapping[str, Any], times: int) -> None:
        """Follows one machine, or the one within a Map or a Parallel, from its beginning to its end, `times` times."""
        states, name, seen = machine["States"], machine["StartAt"], Counter[str]()
        while name:
            state = states[name]
            seen[name] += 1
            self._enter(name, state, times)
            name = self._choose(states, name, seen[name], times) if state["Type"] == "Choice" else state.get("Next")

    def _enter(self, name: str, state: Mapping[str, Any], times: int) -> None:
        self.visits[name] += times
        if state["Type"] == "Task":
            self.tasks[name] = state
        elif state["Type"] == "Map":
            if name not in self._way.each_source:
                raise ConfigError(
                    f"{_FILE}: Map {name} of the state machine is missing. hint: add it to each_source if it goes through sources"
                )
            self.through(state["ItemProcessor"], times * self._sources)
        elif state["Type"] == "Parallel":
            for branch in state["Branches"]:
                self.through(branch, times)

    def _choose(self, states: Mapping[str, Any], name: str, visit: int, times: int) -> str:
        state = states[name]
        leads = {rule["Next"] for rule in state["Choices"]} | ({state["Default"]} if "Default" in state else set())
        for wait in sorted(lead for lead in leads if states[lead]["Type"] == "Wait"):
            self._look_again(states, name, wait, times)
        chosen = self._way.choices.get(name)
        if chosen is None:
            raise ConfigError(
                f"{_FILE}: Choice {name} of the state machine is missing. hint: say in choices to which of "
                f"{', '.join(sorted(leads))} a usual run goes"
            )
        lead = chosen[min(visit, len(chosen)) - 1]
        if lead not in leads:
            raise ConfigError(f"{_FILE}: choices.{name}: {lead} is none of {', '.join(sorted(leads))}")
        return lead

    def _look_again(self, states: Mapping[str, Any], choice: str, wait: str, times: int) -> None:
        """Counts the looks at something that takes its time: each leads from the Wait back to the Choice."""
        if wait not in self._way.waits:
            raise ConfigError(
                f"{_FILE}: Wait {wait} of the state machine is missing. hint: say in waits what it waits for"
            )
        looks = math.ceil(self._seconds[self._way.waits[wait]] / Decimal(states[wait]["Seconds"]))
        name = wait
        while True:
            self.visits[name] += looks * times
            if states[name]["Type"] == "Task":
                self.tasks[name] = states[name]
            if name == choice:
                return
            name = states[name]["Next"]
