"""The ids by which ARNs name a namespace, a workgroup or a snapshot."""

from __future__ import annotations

import uuid


def identity(kind: str, name: str) -> str:
    """Makes the id of a namespace, a workgroup or a snapshot; AWS draws one, here it follows from the name that a call tells."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{name}"))
