"""Roles: who may do what in AWS, as data; headwater/deploy/roles.py makes IAM's documents of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.strict import Strict

Action = Annotated[str, Field(pattern=r"^[a-z0-9-]+:[A-Za-z]+$")]
Sid = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]+$")]
Service = Annotated[str, Field(pattern=r"^[a-z-]+\.amazonaws\.com$")]


class Statement(Strict):
    """Actions that are allowed on resources; an action has no wildcard, and a resource that is one gives its reason."""

    actions: tuple[Action, ...] = Field(min_length=1)
    resources: tuple[str, ...]
    conditions: dict[str, dict[str, tuple[str, ...]]] = Field({}, description="Values by key by operator.")
    when: str | None = Field(None, description="Trait that the role's owner must have; always if absent.")
    reason: str | None = Field(None, description="Why the resource is *.")

    @model_validator(mode="after")
    def _wildcard_has_reason(self) -> Statement:
        if ("*" in self.resources) != (self.reason is not None):
            raise ValueError("a statement on * gives its reason, and no other does")
        return self


class Shared(Strict):
    """Statements that several roles have in common."""

    also: Literal["glue_job", "lambda", "project_reader"] | None = Field(None, description="A file of roles/shared.")
    statements: dict[Sid, Statement]


class Role(Shared):
    """One file of config/roles, its placeholders filled in."""

    services: tuple[Service, ...] = Field(min_length=1, description="The services that assume the role.")
    own_account: bool = Field(False, description="Assumed for this account's own resources only.")
