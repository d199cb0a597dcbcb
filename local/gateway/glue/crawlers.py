"""Glue crawlers that crawl: Delta logs and folders of files in S3 become tables in the Glue catalog, minutes after the start."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from moto.core.responses import ActionResult, EmptyResult
from moto.glue.exceptions import CrawlerNotRunningException, CrawlerRunningException, GlueClientError
from moto.glue.models import FakeCrawler, GlueBackend
from moto.glue.responses import GlueResponse

from local.gateway import logs
from local.gateway.calls import Asked
from local.gateway.clock import CLOCK
from local.gateway.glue.crawled import CrawlError, Found, Lake
from local.gateway.glue.crawls import Crawl, describe, log_group, metrics, running_crawl, state
from local.gateway.iam.authority import Authority
from local.gateway.settings import GatewaySettings

# Glue starts a cluster for each crawl, writes what was found, and takes the cluster down again.
_STARTING_SECONDS, _STOPPING_SECONDS = 60.0, 45.0


class Crawler:
    """Runs one crawl of one crawler: every target becomes a table."""

    def __init__(
        self,
        settings: GatewaySettings,
        authority: Authority,
        backend: GlueBackend,
        definition: FakeCrawler,
        crawl: Crawl,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._backend = backend
        self._definition = definition
        self._crawl = crawl
        self._lake = Lake(settings, str(definition.role))
        self._named: set[str] = set()

    def run(self) -> None:
        """Crawls every target and writes the log, in Glue's time; the outcome is in the crawl."""
        try:
            CLOCK.sleep(_STARTING_SECONDS, lambda: not self._crawl.stop_asked.is_set())
            self._crawl.status, self._crawl.error = self._outcome()
            CLOCK.sleep(_STOPPING_SECONDS)
            self._publish()
            self._crawl.end_time = CLOCK.moment()
        finally:
            CLOCK.leave()

    def _outcome(self) -> tuple[str, str | None]:
        try:
            self._needs("GetDatabase")
            self._backend.get_database(self._definition.database_name)
            for uri, is_delta in self._targets():
                if self._crawl.stop_asked.is_set():
                    return "STOPPED", None
                found = self._lake.delta(uri) if is_delta else self._lake.files(uri)
                if found is None:
                    self._say(f"WARN : {uri} holds nothing that can be crawled; no table was made of it")
                else:
                    self._catalogue(found)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the crawl has failed and says why
            error = f"{type(failure).__name__}: {failure}"
            self._say(f"ERROR : {error}")
            return "FAILED", error
        return "COMPLETED", None

    def _publish(self) -> None:
        text = "\n".join(f"[{self._crawl.crawl_id}] {line}" for line in self._crawl.log)
        if self._authority.may_log(str(self._definition.role), "glue.amazonaws.com", log_group(self._definition)):
            logs.publish(self._settings, log_group(self._definition), self._definition.name, text)

    def _needs(self, action: str, table: str | None = None) -> None:
        """CrawlError unless the crawler's role may do this to its database, or to a table of it."""
        database = self._definition.database_name
        parts = ["catalog", f"database/{database}", *([f"table/{database}/{table}"] if table else [])]
        place = f"arn:aws:glue:{self._settings.region}:{self._settings.account_id}"
        asked = [Asked(f"glue:{action}", f"{place}:{part}") for part in parts]
        if not self._authority.allows_role(str(self._definition.role), "glue.amazonaws.com", *asked):
            raise CrawlError(f"{self._definition.role} is not authorized to perform glue:{action} on {parts[-1]}")

    def _say(self, line: str) -> None:
        self._crawl.log.append(line)

    def _targets(self) -> list[tuple[str, bool]]:
        targets = self._definition.targets
        deltas = [(uri, True) for target in targets.get("DeltaTargets", []) for uri in target["DeltaTables"]]
        return deltas + [(target["Path"], False) for target in targets.get("S3Targets", [])]

    def _table_name(self, uri: str) -> str:
        last = urlsplit(uri).path.rstrip("/").split("/")[-1] or urlsplit(uri).netloc
        name = (self._definition.table_prefix or "") + re.sub(r"[^a-z0-9_]", "_", last.lower())
        if name in self._named:
            name += "_" + hashlib.md5(uri.encode(), usedforsecurity=False).hexdigest()
        self._named.add(name)
        return name

    def _catalogue(self, found: Found) -> None:
        database, name = self._definition.database_name, self._table_name(found.location)
        table = _table_input(name, found, self._definition.name)
        self._needs("GetTable", name)
        existing = self._backend.get_database(database).tables.get(name)
        if existing is None:
            self._needs("CreateTable", name)
            self._backend.create_table(database, name, table, None)
            self._crawl.tables_created += 1
            self._say(f"INFO : Created table {name} in database {database}")
            return
        if _shape(existing.versions[str(existing._current_version)]) == _shape(table):
            return
        behaviour = (self._definition.schema_change_policy or {}).get("UpdateBehavior", "UPDATE_IN_DATABASE")
        if behaviour == "LOG":
            self._say(f"INFO : Table {name} in database {database} has changed; by policy it is not updated")
            return
        self._needs("UpdateTable", name)
        self._backend.update_table(database, name, table)
        self._crawl.tables_updated += 1
        self._say(f"INFO : Updated table {name} in database {database}")


def _table_input(name: str, found: Found, crawler: str) -> dict[str, Any]:
    input_format, output_format, library = found.formats
    location = found.location.rstrip("/") + "/"
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": found.partition_keys,
        "Parameters": {**found.parameters, "UPDATED_BY_CRAWLER": crawler},
        "StorageDescriptor": {
            "Columns": found.columns,
            "Location": location,
            "InputFormat": input_format,
            "OutputFormat": output_format,
            "Compressed": False,
            "SerdeInfo": {
                "SerializationLibrary": library,
                "Parameters": {"serialization.format": "1", "path": location},
            },
        },
    }


def _shape(table: dict[str, Any]) -> tuple[Any, ...]:
    # What makes a table another one: columns, partitioning, format and place, not who crawled it.
    descriptor = table["StorageDescriptor"]
    parameters = {key: value for key, value in table["Parameters"].items() if key != "UPDATED_BY_CRAWLER"}
    return descriptor["Columns"], table.get("PartitionKeys", []), descriptor["Location"], parameters


def _refuse_while_running(crawler: Any) -> None:
    if running_crawl(crawler) is not None:
        raise CrawlerRunningException(f"Crawler with name {crawler.name} has already started")


def install(settings: GatewaySettings, authority: Authority) -> None:
    """Puts real crawls behind StartCrawler and StopCrawler, and refuses what a crawl that runs forbids."""
    lock = threading.Lock()

    def start_crawler(self: GlueResponse) -> ActionResult:
        backend: GlueBackend = self.glue_backend
        definition: Any = backend.get_crawler(self.parameters["Name"])
        with lock:
            _refuse_while_running(definition)
            crawl = Crawl(definition.name, log_group(definition))
            definition.crawls.append(crawl)
        crawler = Crawler(settings, authority, backend, definition, crawl)
        CLOCK.enter()
        threading.Thread(target=crawler.run, name=f"crawl-{definition.name}", daemon=True).start()
        return EmptyResult()

    def stop_crawler(self: GlueResponse) -> ActionResult:
        definition: Any = self.glue_backend.get_crawler(self.parameters["Name"])
        with lock:
            running = running_crawl(definition)
            if running is None:
                raise CrawlerNotRunningException(f"Crawler with name {definition.name} isn't running")
            if state(running) == "STOPPING":
                raise GlueClientError("CrawlerStoppingException", f"Crawler with name {definition.name} is stopping")
            running.stop_asked.set()
        CLOCK.wake()
        return EmptyResult()

    def get_crawler_metrics(self: GlueResponse) -> ActionResult:
        names = self.parameters.get("CrawlerNameList") or [item.name for item in self.glue_backend.get_crawlers()]
        return ActionResult({"CrawlerMetricsList": [metrics(self.glue_backend.get_crawler(name)) for name in names]})

    def unless_running(original: Callable[[GlueResponse], ActionResult]) -> Callable[[GlueResponse], ActionResult]:
        def refusing(self: GlueResponse) -> ActionResult:
            _refuse_while_running(self.glue_backend.get_crawler(self.parameters["Name"]))
            return original(self)

        return refusing

    create = GlueResponse.create_crawler

    def create_crawler(self: GlueResponse) -> ActionResult:
        answer: ActionResult = create(self)
        definition: Any = self.glue_backend.get_crawler(self.parameters["Name"])
        definition.lake_formation_configuration = self.parameters.get("LakeFormationConfiguration")
        return answer

    GlueResponse.create_crawler = create_crawler
    GlueResponse.start_crawler = start_crawler
    GlueResponse.stop_crawler = stop_crawler
    GlueResponse.get_crawler_metrics = get_crawler_metrics
    GlueResponse.update_crawler = unless_running(GlueResponse.update_crawler)
    GlueResponse.delete_crawler = unless_running(GlueResponse.delete_crawler)
    FakeCrawler.as_dict = describe
