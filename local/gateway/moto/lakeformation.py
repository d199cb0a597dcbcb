"""Lake Formation: what moto 5.2.5 takes and AWS refuses."""

from __future__ import annotations

import json
from typing import Any

from moto.lakeformation.exceptions import InvalidInput
from moto.lakeformation.models import LakeFormationBackend


def install() -> None:
    """Refuses to revoke what was not granted."""
    _refuse_to_revoke_nothing()


class _NothingRevokedError(InvalidInput):  # type: ignore[misc]
    """Lake Formation spells the name of an error's message with a capital; moto does not, and the Go SDK reads no other."""

    def __init__(self) -> None:
        message = "No permissions revoked. Grantee has no permissions on the resource."
        super().__init__(message)
        self.description = json.dumps({"__type": self.error_type, "Message": message})


def _refuse_to_revoke_nothing() -> None:
    # The provider revokes again until an error says that nothing is left to revoke.
    revoke = LakeFormationBackend.revoke_permissions

    def revoke_permissions(
        self: LakeFormationBackend,
        catalog_id: str,
        principal: dict[str, str],
        resource: dict[str, Any],
        *args: Any,
        **named: Any,
    ) -> None:
        granted = self.grants[catalog_id].permissions if catalog_id in self.grants else ()
        if not any(kept.principal == principal and kept.resource == resource for kept in granted):
            raise _NothingRevokedError
        revoke(self, catalog_id, principal, resource, *args, **named)

    LakeFormationBackend.revoke_permissions = revoke_permissions
