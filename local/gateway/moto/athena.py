"""Athena: calls that moto 5.2.5 lacks or answers wrongly."""

from __future__ import annotations

from typing import Any

from moto.athena.models import AthenaBackend


def install() -> None:
    """Answers with the tags of a workgroup."""
    _tag_workgroups()


def _tag_workgroups() -> None:
    # moto calls a workgroup without tags non-existent.
    original = AthenaBackend.list_tags_for_resource

    def list_tags_for_resource(self: AthenaBackend, resource_arn: str) -> dict[str, Any] | None:
        exists = any(resource_arn.endswith(f":workgroup/{name}") for name in self.work_groups)
        return original(self, resource_arn) or ({"Tags": []} if exists else None)

    AthenaBackend.list_tags_for_resource = list_tags_for_resource
