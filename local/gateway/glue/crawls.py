"""Crawls, and what Glue tells of them and of their crawlers."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from moto.glue.models import FakeCrawler

from local.gateway.clock import CLOCK

_DPUS, _LEAST_BILLED_SECONDS = 2, 600.0
_LAST_STATUS = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED", "FAILED": "FAILED"}


@dataclass
class Crawl:
    """One run of a crawler."""

    crawler: str
    log_group: str
    crawl_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    start_time: datetime = field(default_factory=CLOCK.moment)
    end_time: datetime | None = None
    status: str = "RUNNING"
    error: str | None = None
    tables_created: int = 0
    tables_updated: int = 0
    stop_asked: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it has taken, so far or in all."""
        return ((self.end_time or CLOCK.moment()) - self.start_time).total_seconds()

    def advance(self) -> None:
        """Does nothing: moto's listing moves its fake crawls on, a real one moves itself."""

    def as_dict(self) -> dict[str, Any]:
        """Renders the CrawlerHistory of the Glue API."""
        document = {
            "CrawlId": self.crawl_id,
            "State": self.status,
            "StartTime": self.start_time,
            "EndTime": self.end_time,
            "ErrorMessage": self.error,
            "LogGroup": self.log_group,
            "LogStream": self.crawler,
            "MessagePrefix": self.crawl_id,
            "DPUHour": _DPUS * max(self.seconds, _LEAST_BILLED_SECONDS) / 3600 if self.end_time else 0.0,
        }
        return {key: value for key, value in document.items() if value is not None}


def log_group(crawler: FakeCrawler) -> str:
    """Names the log group of a crawler as Glue does: by the role and the security configuration, where it has one."""
    encrypted = crawler.crawler_security_configuration
    role = str(crawler.role).rpartition("/")[2]
    return f"/aws-glue/crawlers-role/{role}-{encrypted}" if encrypted else "/aws-glue/crawlers"


def running_crawl(crawler: Any) -> Crawl | None:
    """Finds the crawl of a crawler that has not ended."""
    return next((crawl for crawl in crawler.crawls if crawl.end_time is None), None)


def state(running: Crawl | None) -> str:
    """Names the state of a crawler with this crawl, as Glue does."""
    if running is None:
        return "READY"
    return "RUNNING" if running.status == "RUNNING" and not running.stop_asked.is_set() else "STOPPING"


def metrics(crawler: Any) -> dict[str, Any]:
    """Renders the CrawlerMetrics of the Glue API, in seconds as they passed; what is billed is in the crawls."""
    ended = [crawl.seconds for crawl in crawler.crawls if crawl.end_time is not None]
    running = running_crawl(crawler)
    usual = median(ended) if ended else 0.0
    return {
        "CrawlerName": crawler.name,
        "TimeLeftSeconds": max(0.0, usual - running.seconds) if running else 0.0,
        "StillEstimating": running is not None and not ended,
        "LastRuntimeSeconds": ended[-1] if ended else 0.0,
        "MedianRuntimeSeconds": usual,
        "TablesCreated": sum(crawl.tables_created for crawl in crawler.crawls),
        "TablesUpdated": sum(crawl.tables_updated for crawl in crawler.crawls),
        "TablesDeleted": 0,
    }


def describe(self: FakeCrawler) -> dict[str, Any]:
    """Renders the Crawler of the Glue API."""
    running = running_crawl(self)
    last = next((crawl for crawl in reversed(self.crawls) if crawl.end_time is not None), None)
    document: dict[str, Any] = {
        "Name": self.name,
        "Role": self.role,
        "Targets": self.targets,
        "DatabaseName": self.database_name,
        "Description": self.description,
        "Classifiers": self.classifiers or [],
        "RecrawlPolicy": self.recrawl_policy or {"RecrawlBehavior": "CRAWL_EVERYTHING"},
        "SchemaChangePolicy": self.schema_change_policy,
        "LakeFormationConfiguration": self.lake_formation_configuration or {"UseLakeFormationCredentials": False},
        "LineageConfiguration": self.lineage_configuration or {"CrawlerLineageSettings": "DISABLE"},
        "State": state(running),
        "TablePrefix": self.table_prefix,
        "CrawlElapsedTime": int(running.seconds * 1000) if running else 0,
        "CreationTime": self.creation_time,
        "LastUpdated": self.last_updated,
        "Version": self.version,
        "Configuration": self.configuration,
        "CrawlerSecurityConfiguration": self.crawler_security_configuration,
    }
    if self.schedule:
        document["Schedule"] = {"ScheduleExpression": self.schedule, "State": "SCHEDULED"}
    if last is not None:
        document["LastCrawl"] = {
            "Status": _LAST_STATUS[str(last.status)],
            "StartTime": last.start_time,
            "LogGroup": log_group(self),
            "LogStream": self.name,
            "MessagePrefix": last.crawl_id,
        }
        if last.error:
            document["LastCrawl"]["ErrorMessage"] = last.error
    return document
