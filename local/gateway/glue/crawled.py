"""What a crawler finds at a target: the schema of a Delta table's log, or of the newest file of a folder, in Glue's types."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from local.gateway.iam.principals import key_of
from local.gateway.settings import GatewaySettings

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
