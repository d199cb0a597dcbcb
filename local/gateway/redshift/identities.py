"""The ids by which ARNs name a namespace or a workgroup."""

from __future__ import annotations

import uuid


def identity(kind: str, name: str) -> str:
    """Makes the id of a namespace or a workgroup; AWS draws one, here it follows from the name, which is all that a call tells."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{name}"))
