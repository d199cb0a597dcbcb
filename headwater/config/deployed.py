"""The project as a deployment stored it, and the schemas of what it is made from."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from headwater.config.documents import problems_of
from headwater.config.environment import Environment
from headwater.config.identities import Identities
from headwater.config.policy import Policy
from headwater.config.project import Project, Source
from headwater.config.query import Query
from headwater.config.table import Table
from headwater.errors import ConfigError


def load_deployed(text: str) -> Project:
    """Loads the project file that `deploy` wrote."""
    try:
        return Project.model_validate_json(text)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, place))}: {problem}" for place, problem in problems_of(error))
        hint = "another version of the code has written it; deploy again"
        raise ConfigError(f"deployed project file: {said}. hint: {hint}") from None


def json_schemas() -> dict[str, dict[str, Any]]:
    """Makes the JSON Schema of each kind of config file, by schema name."""
    return {
        "source": TypeAdapter(Source).json_schema(),
        "table": Table.model_json_schema(),
        "quality": Policy.model_json_schema(),
        "identities": Identities.model_json_schema(),
        "query": Query.model_json_schema(),
        "environment": Environment.model_json_schema(),
    }
