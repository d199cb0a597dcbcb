"""Answers queries of gold."""

from typing import Any

from headwater.callers import Fresh
from headwater.open_project import OpenProject
from headwater.serve.api import Call, QueryAnswerer

# A new key or a new query counts within a minute.
PROJECTS = Fresh[OpenProject](60)
SECRETS = Fresh[dict[str, str]](60)


def handler(event: dict[str, Any], _context: object) -> dict[str, object]:
    """Returns rows, 202 where they take longer, or a problem that says why there are none."""
    return QueryAnswerer.deployed(PROJECTS, SECRETS).answer(Call.of(event)).render()
