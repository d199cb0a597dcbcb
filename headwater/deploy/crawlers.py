"""The crawlers of one environment, derived from crawlers/ and the declared tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headwater.config import Project
from headwater.config.crawler import Crawler, load_crawlers


@dataclass(frozen=True)
class CrawlerSpec:
    """One crawler over the native Delta tables of a zone."""

    name: str
    zone: str
    database: str
    table_prefix: str
    tables: tuple[str, ...]
    schedule: str | None
    update: str
    delete: str


def crawlers(project: Project, root: Path) -> list[CrawlerSpec]:
    """Lists the crawlers that crawlers/*.yaml declares: one for each zone, and in bronze one for each source."""
    return [spec for declared in load_crawlers(root) for spec in _of_zone(project, declared)]


def _of_zone(project: Project, declared: Crawler) -> list[CrawlerSpec]:
    zone = declared.zone
    lake = project.environment.bucket("lake")
    return [
        CrawlerSpec(
            name=name,
            zone=zone,
            database=project.environment.database(zone),
            # A crawler names a table after its folder: bronze streams of two sources may share a name.
            table_prefix=f"{tables[0].split('/')[0]}_" if zone == "bronze" else "",
            tables=tuple(sorted(f"s3://{lake}/{zone}/{table}" for table in tables)),
            schedule=declared.schedule,
            update=declared.schema_change.update,
            delete=declared.schema_change.delete,
        )
        for name, tables in project.crawled(zone).items()
    ]
