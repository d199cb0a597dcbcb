"""What AWS's services do in a role's name or in their own, as acts.yaml lists it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from local.gateway.iam.conditions import Context
from local.gateway.iam.policy import Request


class Act(BaseModel):
    """One act: what is done, by whom in whose name, and where AWS says so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    of: str | None = None
    service: str | None = None
    when: str | None = None
    action: str
    resource: str
    told: dict[str, str] = Field(default_factory=dict)
    source: str = Field(pattern=r"^https://docs\.aws\.amazon\.com/")

    def request(self, principal: str, values: Mapping[str, str]) -> Request:
        """Fills in the act's placeholders; KeyError names one that has no value."""
        told: Context = {key: (Template(value).substitute(values),) for key, value in self.told.items()}
        return Request(frozenset({principal}), self.action, Template(self.resource).substitute(values), told)


@cache
def acts() -> Mapping[str, Act]:
    """Reads the list of acts, by name."""
    text = Path(__file__).with_name("acts.yaml").read_text()
    return TypeAdapter(dict[str, Act]).validate_json(json.dumps(yaml.load(text, yaml.CSafeLoader)))
