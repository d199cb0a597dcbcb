"""Crawls: the crawlers whose tables have another schema than when they were last crawled, each once, and none without need."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_args

from headwater.config import Project
from headwater.config.environment import Zone
from headwater.errors import CrawlError
from headwater.ledger.schemas import Schemas, digest_of
from headwater.log import get_logger
from headwater.open_project import OpenProject
from headwater.run.limits import CRAWL_SECONDS, began, is_over

_MOST_CHARACTERS = 500

log = get_logger(__name__)


def crawl_changed(opened: OpenProject, glue: Any, crawl: Mapping[str, Any]) -> dict[str, Any]:
    """Starts the crawlers of tables whose schema has changed, or looks at those that were started; `done` once all have ended.

    `crawl` is the last answer, empty at first. CrawlError names the crawlers that failed, once the others have ended; the next
    run starts them again.
    """
    schemas = Schemas(opened.ledger.bucket)
    tables = _tables(opened.project)
    since = began(crawl)
    crawlers: dict[str, dict[str, str]] = crawl.get("crawlers") or _changed(tables, schemas)
    failed: list[str] = list(crawl.get("failed", []))
    for name, started in crawlers.items():
        if "before" not in started:
            _start(opened, glue, name, tables[name], started)
    failed += _look(glue, schemas, crawlers)
    if is_over(since, CRAWL_SECONDS):
        failed += [f"{name}: has not ended since {since:%H:%M} UTC" for name in crawlers]
        crawlers = {}
    if failed and not crawlers:
        raise CrawlError(
            f"{'; '.join(failed)}. hint: the crawler's log in CloudWatch says why; the next run crawls again"
        )
    return {"done": not crawlers, "since": since.isoformat(), "crawlers": crawlers, "failed": failed}


def _changed(tables: Mapping[str, list[str]], schemas: Schemas) -> dict[str, dict[str, str]]:
    """Lists the crawlers of which a table has another schema than when it was crawled, with the digest of what they will crawl."""
    noted, crawled = schemas.noted(), schemas.crawled()
    found = {}
    for name, crawled_tables in tables.items():
        digest = digest_of(crawled_tables, noted)
        if digest is not None and digest != crawled.get(name):
            found[name] = {"digest": digest}
    return found


def _tables(project: Project) -> dict[str, list[str]]:
    zones: tuple[Zone, ...] = get_args(Zone)
    return {
        name: [f"{zone}/{table}" for table in tables]
        for zone in zones
        for name, tables in project.crawled(zone).items()
    }


def _start(opened: OpenProject, glue: Any, name: str, tables: list[str], started: dict[str, str]) -> None:
    """Starts a crawler over those of its tables that exist, and notes when the crawl before began; not while it is running."""
    crawler = glue.get_crawler(Name=name)["Crawler"]
    [target] = crawler["Targets"]["DeltaTargets"]
    lake = opened.lake
    there = [
        f"{lake.uri}/{table}"
        for table in sorted(tables)
        if lake.s3.list_objects_v2(Bucket=lake.name, Prefix=f"{table}/_delta_log/", MaxKeys=1)["KeyCount"]
    ]
    with suppress(glue.exceptions.CrawlerRunningException):
        if sorted(target["DeltaTables"]) != there:
            glue.update_crawler(Name=name, Targets={"DeltaTargets": [{**target, "DeltaTables": there}]})
        glue.start_crawler(Name=name)
        started["before"] = _began(crawler)


def _began(crawler: Mapping[str, Any]) -> str:
    return str(crawler.get("LastCrawl", {}).get("StartTime"))


def _look(glue: Any, schemas: Schemas, crawlers: dict[str, dict[str, str]]) -> list[str]:
    """Takes the crawlers out that have ended, notes what they have crawled, and lists those that failed."""
    failed = []
    crawled = {}
    for name, started in list(crawlers.items()):
        if "before" not in started:
            continue
        crawler = glue.get_crawler(Name=name)["Crawler"]
        # For a while after its start, Glue goes on telling of the crawl before: what counts is one that began at another time.
        if crawler["State"] != "READY" or _began(crawler) == started["before"]:
            continue
        del crawlers[name]
        last = crawler["LastCrawl"]
        if last["Status"] == "SUCCEEDED":
            crawled[name] = started["digest"]
        else:
            failed.append(f"{name} {last['Status']}: {last.get('ErrorMessage', '-')}"[:_MOST_CHARACTERS])
    if crawled:
        schemas.note_crawled(crawled)
        log.info("crawled", crawlers=sorted(crawled))
    return failed
