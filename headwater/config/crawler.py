"""Crawlers: the files of crawlers/, one for each zone of the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from headwater.config.environment import Zone
from headwater.config.strict import Strict
from headwater.errors import ConfigError


class SchemaChange(Strict):
    """What a crawler does about a table whose schema differs from the catalog's, or that is gone."""

    update: Literal["LOG", "UPDATE_IN_DATABASE"]
    delete: Literal["LOG", "DELETE_FROM_DATABASE", "DEPRECATE_IN_DATABASE"]


class Crawler(Strict):
    """One file of crawlers/."""

    zone: Zone
    schedule: str | None = Field(None, description="Glue cron of an environment without runs; runs start the crawlers.")
    schema_change: SchemaChange


def load_crawlers(root: Path) -> list[Crawler]:
    """Loads crawlers/ below `root`; ConfigError names the file."""
    crawlers = []
    for path in sorted((root / "crawlers").glob("*.yaml")):
        try:
            crawlers.append(Crawler.model_validate(yaml.load(path.read_text(), yaml.CSafeLoader)))
        except (yaml.YAMLError, ValidationError) as error:
            raise ConfigError(f"{path}: {error}") from None
    return crawlers
