"""Glue crawlers that crawl: Delta logs and folders of files in S3 become tables in the Glue catalog."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from moto.core.responses import ActionResult, EmptyResult
from moto.glue.exceptions import CrawlerNotRunningException, CrawlerRunningException
from moto.glue.models import FakeCrawler, GlueBackend
from moto.glue.responses import GlueResponse

from local.gateway import logs
from local.gateway.calls import Asked
from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import key_of
from local.gateway.settings import GatewaySettings

_LAST_STATUS = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED", "FAILED": "FAILED"}
_DELTA_TYPES = {
    "string": "string",
    "long": "bigint",
    "integer": "int",
    "short": "smallint",
    "byte": "tinyint",
    "double": "double",
    "float": "float",
    "boolean": "boolean",
    "binary": "binary",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
}


class CrawlError(Exception):
    """A target cannot be read."""


@dataclass(frozen=True)
class Found:
    """What a target holds: columns and partition keys with Glue types, and the table's parameters."""

    location: str
    columns: list[dict[str, str]]
    partition_keys: list[dict[str, str]]
    parameters: dict[str, str]
    formats: tuple[str, str, str]
    """Input format, output format and serialisation library."""


@dataclass
class Crawl:
    """One run of a crawler."""

    crawler: str
    log_group: str
    crawl_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    start_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    end_time: datetime | None = None
    status: str = "RUNNING"
    error: str | None = None
    stop_asked: threading.Event = field(default_factory=threading.Event)
    log: list[str] = field(default_factory=list)

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
            "DPUHour": 0.0,
        }
        return {key: value for key, value in document.items() if value is not None}


def log_group(crawler: FakeCrawler) -> str:
    """Names the log group of a crawler as Glue does: by the role and the security configuration, where it has one."""
    encrypted = crawler.crawler_security_configuration
    role = str(crawler.role).rpartition("/")[2]
    return f"/aws-glue/crawlers-role/{role}-{encrypted}" if encrypted else "/aws-glue/crawlers"


def glue_type(delta: Any) -> str:
    """Translates a type of Delta's JSON schema into Glue's spelling; CrawlError for a type that Glue has none for."""
    if isinstance(delta, str):
        if delta.startswith("decimal"):
            return delta.replace(" ", "")
        if delta not in _DELTA_TYPES:
            raise CrawlError(f"Delta type {delta!r} has no Glue type")
        return _DELTA_TYPES[delta]
    if delta["type"] == "array":
        return f"array<{glue_type(delta['elementType'])}>"
    if delta["type"] == "map":
        return f"map<{glue_type(delta['keyType'])},{glue_type(delta['valueType'])}>"
    fields = ",".join(f"{item['name']}:{glue_type(item['type'])}" for item in delta["fields"])
    return f"struct<{fields}>"


def glue_type_of_arrow(kind: pa.DataType) -> str:
    """Translates an Arrow type into Glue's spelling."""
    types = pa.types
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"array<{glue_type_of_arrow(kind.value_type)}>"
    if types.is_map(kind):
        return f"map<{glue_type_of_arrow(kind.key_type)},{glue_type_of_arrow(kind.item_type)}>"
    if types.is_struct(kind):
        return f"struct<{','.join(f'{item.name}:{glue_type_of_arrow(item.type)}' for item in kind)}>"
    tests = {
        "bigint": types.is_int64,
        "int": types.is_int32,
        "smallint": types.is_int16,
        "tinyint": types.is_int8,
        "double": types.is_float64,
        "float": types.is_float32,
        "boolean": types.is_boolean,
        "date": types.is_date,
        "timestamp": types.is_timestamp,
        "binary": types.is_binary,
    }
    return next((name for name, matches in tests.items() if matches(kind)), "string")


@lru_cache
def _s3(endpoint: str, region: str, role: str) -> Any:
    # To make a client costs more than a crawl asks of it; one serves all threads.
    key = key_of(role, "glue.amazonaws.com", "AWS-Crawler")
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key="glue")  # noqa: S106
    return session.client("s3", endpoint_url=endpoint, region_name=region)


class Lake:
    """Reads S3 for the crawls."""

    def __init__(self, settings: GatewaySettings, role: str) -> None:
        self._s3 = _s3(settings.endpoint, settings.region, role)

    def keys(self, uri: str) -> list[str]:
        """Lists the keys below a folder."""
        location = urlsplit(uri)
        prefix = location.path.strip("/") + "/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=location.netloc, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, uri: str, key: str) -> bytes:
        """Reads one object of the folder's bucket."""
        content: bytes = self._s3.get_object(Bucket=urlsplit(uri).netloc, Key=key)["Body"].read()
        return content

    def delta(self, uri: str) -> Found | None:
        """Reads a Delta table's current schema from its log; None when there is no log."""
        metadata = self._delta_metadata(f"{uri.rstrip('/')}/_delta_log")
        if metadata is None:
            return None
        schema = json.loads(metadata["schemaString"])
        partitions = list(metadata.get("partitionColumns") or [])
        typed = {item["name"]: glue_type(item["type"]) for item in schema["fields"]}
        return Found(
            location=uri,
            columns=[{"Name": name, "Type": kind} for name, kind in typed.items() if name not in partitions],
            partition_keys=[{"Name": name, "Type": typed[name]} for name in partitions],
            parameters={
                "classification": "delta",
                "table_type": "DELTA",
                "EXTERNAL": "TRUE",
                "spark.sql.sources.provider": "delta",
                "spark.sql.partitionProvider": "catalog",
                "spark.sql.sources.schema": json.dumps(schema, separators=(",", ":")),
            },
            formats=(
                "org.apache.hadoop.mapred.SequenceFileInputFormat",
                "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
                "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            ),
        )

    def _delta_metadata(self, log: str) -> dict[str, Any] | None:
        # The newest metaData action counts: in a commit, or else in the checkpoint that the commits start from.
        keys = self.keys(log)
        commits = sorted((key for key in keys if re.search(r"/\d{20}\.json$", key)), reverse=True)
        checkpoints = sorted((key for key in keys if re.search(r"/\d{20}\.checkpoint.*\.parquet$", key)), reverse=True)
        for key in commits:
            for line in self.body(log, key).splitlines():
                action = json.loads(line) if line.strip() else {}
                if "metaData" in action:
                    found: dict[str, Any] = action["metaData"]
                    return found
        for key in checkpoints:
            table = pa.parquet.read_table(io.BytesIO(self.body(log, key)), columns=["metaData"])
            for row in table.column("metaData").to_pylist():
                if row is not None and row.get("schemaString"):
                    return dict(row)
        return None

    def files(self, uri: str) -> Found | None:
        """Reads the schema of the newest file in a folder of Parquet, JSON lines or CSV; None when it is empty."""
        prefix = urlsplit(uri).path.strip("/") + "/"
        keys = [key for key in self.keys(uri) if not re.search(r"/[_.][^=]*$|/$", key)]
        if not keys:
            return None
        key = max(keys)
        kind, schema = _file_schema(key, self.body(uri, key))
        folders = key[len(prefix) :].split("/")[:-1]
        partitions = [folder.partition("=")[0] for folder in folders if "=" in folder]
        library = {
            "parquet": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "json": "org.openx.data.jsonserde.JsonSerDe",
            "csv": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        }[kind]
        is_parquet = kind == "parquet"
        parquet, text = "org.apache.hadoop.hive.ql.io.parquet.MapredParquet", "org.apache.hadoop."
        return Found(
            location=uri,
            columns=[{"Name": item.name.lower(), "Type": glue_type_of_arrow(item.type)} for item in schema],
            partition_keys=[{"Name": name.lower(), "Type": "string"} for name in partitions],
            parameters={"classification": kind, "EXTERNAL": "TRUE"},
            formats=(
                f"{parquet}InputFormat" if is_parquet else f"{text}mapred.TextInputFormat",
                f"{parquet}OutputFormat" if is_parquet else f"{text}hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                library,
            ),
        )


def _file_schema(key: str, body: bytes) -> tuple[str, pa.Schema]:
    if body[:4] == b"PAR1":
        return "parquet", pa.parquet.read_schema(io.BytesIO(body))
    name = key.removesuffix(".gz")
    stream: Any = pa.CompressedInputStream(io.BytesIO(body), "gzip") if name != key else io.BytesIO(body)
    if name.endswith((".json", ".jsonl")):
        return "json", pa.json.read_json(stream).schema
    if name.endswith(".csv"):
        return "csv", pa.csv.read_csv(stream).schema
    raise CrawlError(f"{key}: neither Parquet, JSON lines nor CSV")


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
        """Crawls every target; the outcome is in the crawl."""
        status, error = "COMPLETED", None
        try:
            self._needs("GetDatabase")
            self._backend.get_database(self._definition.database_name)
            for uri, is_delta in self._targets():
                if self._crawl.stop_asked.is_set():
                    status = "STOPPED"
                    break
                found = self._lake.delta(uri) if is_delta else self._lake.files(uri)
                if found is None:
                    self._say(f"WARN : {uri} holds nothing that can be crawled; no table was made of it")
                else:
                    self._catalogue(found)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the crawl has failed and says why
            status, error = "FAILED", f"{type(failure).__name__}: {failure}"
            self._say(f"ERROR : {error}")
        stream = f"[{self._crawl.crawl_id}]"
        text = "\n".join(f"{stream} {line}" for line in self._crawl.log)
        if self._authority.may_log(str(self._definition.role), "glue.amazonaws.com", log_group(self._definition)):
            logs.publish(self._settings, log_group(self._definition), self._definition.name, text)
        self._crawl.end_time = datetime.now(UTC)
        self._crawl.error = error
        self._crawl.status = status

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


def _describe(self: FakeCrawler) -> dict[str, Any]:
    running = next((crawl for crawl in self.crawls if crawl.end_time is None), None)
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
        "State": "READY" if running is None else "STOPPING" if running.stop_asked.is_set() else "RUNNING",
        "TablePrefix": self.table_prefix,
        "CrawlElapsedTime": 0
        if running is None
        else int((datetime.now(UTC) - running.start_time).total_seconds() * 1000),
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


def install(settings: GatewaySettings, authority: Authority) -> None:
    """Puts real crawls behind StartCrawler and StopCrawler."""
    lock = threading.Lock()

    def start_crawler(self: GlueResponse) -> ActionResult:
        backend: GlueBackend = self.glue_backend
        definition: Any = backend.get_crawler(self.parameters["Name"])
        with lock:
            if any(crawl.end_time is None for crawl in definition.crawls):
                raise CrawlerRunningException(f"Crawler with name {definition.name} has already started")
            crawl = Crawl(definition.name, log_group(definition))
            definition.crawls.append(crawl)
        crawler = Crawler(settings, authority, backend, definition, crawl)
        threading.Thread(target=crawler.run, name=f"crawl-{definition.name}", daemon=True).start()
        return EmptyResult()

    def stop_crawler(self: GlueResponse) -> ActionResult:
        definition: Any = self.glue_backend.get_crawler(self.parameters["Name"])
        running = [crawl for crawl in definition.crawls if crawl.end_time is None]
        if not running:
            raise CrawlerNotRunningException(f"Crawler with name {definition.name} isn't running")
        running[0].stop_asked.set()
        return EmptyResult()

    create = GlueResponse.create_crawler

    def create_crawler(self: GlueResponse) -> ActionResult:
        answer: ActionResult = create(self)
        definition: Any = self.glue_backend.get_crawler(self.parameters["Name"])
        definition.lake_formation_configuration = self.parameters.get("LakeFormationConfiguration")
        return answer

    GlueResponse.create_crawler = create_crawler
    GlueResponse.start_crawler = start_crawler
    GlueResponse.stop_crawler = stop_crawler
    FakeCrawler.as_dict = _describe
