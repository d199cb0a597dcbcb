"""The tables of the Glue catalog as DuckDB sees them: only those that a query names, read from S3 when it runs."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.json as pa_json
from deltalake import DeltaTable
from moto.glue.exceptions import DatabaseNotFoundException, TableNotFoundException
from moto.glue.models import GlueBackend, glue_backends
from pyarrow.fs import FileSelector

from local.gateway.athena.sql import AthenaError, TableName, understand
from local.gateway.lake_formation import Sight
from local.gateway.s3_objects import S3Objects
from local.gateway.settings import GatewaySettings

_VIEW_TEXT = re.compile(r"/\* Presto View: (?P<encoded>[A-Za-z0-9+/=]+) \*/")
_DEEPEST_VIEW = 16
_ARROW_TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "binary": pa.binary(),
}


@dataclass
class Catalog:
    """The Glue catalog of the gateway's account and region."""

    settings: GatewaySettings
    objects: S3Objects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = S3Objects(self.settings)

    @property
    def _glue(self) -> GlueBackend:
        return glue_backends[self.settings.account_id][self.settings.region]

    def databases(self) -> list[str]:
        """Every database, in order."""
        return sorted(database.name for database in self._glue.get_databases())

    def tables(self, database: str) -> list[str]:
        """Every table and view of a database, in order."""
        try:
            return sorted(table.name for table in self._glue.get_tables(database, None))
        except DatabaseNotFoundException:
            raise AthenaError(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist") from None

    def table(self, name: TableName) -> dict[str, Any]:
        """A table's entry, as the Glue API describes it."""
        try:
            entry: dict[str, Any] = self._glue.get_table(name.database, name.name).as_dict()
        except DatabaseNotFoundException:
            raise AthenaError(f"SCHEMA_NOT_FOUND: line 1:15: Schema '{name.database}' does not exist") from None
        except TableNotFoundException:
            raise AthenaError(
                f"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{name.database}.{name.name}' does not exist"
            ) from None
        return entry

    def columns(self, name: TableName) -> list[tuple[str, str, bool]]:
        """A table's columns: name, Glue type, and whether the table is partitioned by it."""
        table = self.table(name)
        keys = [(key["Name"], key.get("Type", "string"), True) for key in table.get("PartitionKeys") or []]
        plain = [
            (column["Name"], column.get("Type", "string"), False)
            for column in table["StorageDescriptor"].get("Columns") or []
        ]
        return [column for column in plain if column[0] not in {key[0] for key in keys}] + keys

    def register(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: TableName,
        sees: Callable[[str, str], Sight | None],
        depth: int = 0,
    ) -> int:
        """Makes what somebody sees of a table known to DuckDB under its own name and returns the bytes of its files."""
        table = self.table(name)
        sight = sees(name.database, name.name)
        if sight is None:
            raise AthenaError(f"Insufficient Lake Formation permission(s): Required Select on {name.name}")
        target = f'"{name.database}"."{name.name}"'
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{name.database}"').fetchall()
        if table.get("TableType") == "VIRTUAL_VIEW":
            return self._register_view(connection, table, target, sees, depth)
        rows, size = self._read(name, table)
        source = f"{name.database}.{name.name} files"
        connection.register(source, rows)
        seen = f" EXCLUDE ({', '.join(sight.hidden)})" if sight.hidden else ""
        rows_seen = f" WHERE {sight.condition}" if sight.condition else ""
        connection.execute(f'CREATE OR REPLACE VIEW {target} AS SELECT *{seen} FROM "{source}"{rows_seen}').fetchall()
        return size

    def put_view(self, name: TableName, definition: str, columns: list[tuple[str, str]], *, replace: bool) -> None:
        """Stores a view as Athena does: its text in the catalog, encoded as Trino wants it."""
        view = {
            "originalSql": definition,
            "catalog": "awsdatacatalog",
            "schema": name.database,
            "columns": [{"name": column, "type": kind} for column, kind in columns],
        }
        glue_columns = [{"Name": column, "Type": kind.replace("varchar", "string")} for column, kind in columns]
        entry = {
            "Name": name.name,
            "TableType": "VIRTUAL_VIEW",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "ViewOriginalText": f"/* Presto View: {base64.b64encode(json.dumps(view).encode()).decode()} */",
            "ViewExpandedText": "/* Presto View */",
            "PartitionKeys": [],
            "StorageDescriptor": {"Columns": glue_columns, "Location": "", "SerdeInfo": {}},
        }
        exists = name.name in self.tables(name.database)
        if exists and not (replace and self.table(name).get("TableType") == "VIRTUAL_VIEW"):
            raise AthenaError(f"ALREADY_EXISTS: Table or view already exists: '{name.database}.{name.name}'")
        if exists:
            self._glue.update_table(name.database, name.name, entry)
        else:
            self._glue.create_table(name.database, name.name, entry)

    def drop_view(self, name: TableName) -> None:
        """Takes a view out of the catalog."""
        if self.table(name).get("TableType") != "VIRTUAL_VIEW":
            raise AthenaError(f"GENERIC_USER_ERROR: '{name.database}.{name.name}' is a table, not a view")
        self._glue.delete_table(name.database, name.name)

    def _register_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: dict[str, Any],
        target: str,
        sees: Callable[[str, str], Sight | None],
        depth: int,
    ) -> int:
        encoded = _VIEW_TEXT.search(table.get("ViewOriginalText") or "")
        if encoded is None or depth > _DEEPEST_VIEW:
            raise AthenaError(f"INVALID_VIEW: line 1:15: View {target} cannot be expanded")
        view = json.loads(base64.b64decode(encoded["encoded"]))
        request = understand(view["originalSql"], view.get("schema"))
        size = sum(self.register(connection, name, sees, depth + 1) for name in request.tables)
        connection.execute(f"CREATE OR REPLACE VIEW {target} AS {request.sql}").fetchall()
        return size

    def _read(self, name: TableName, table: dict[str, Any]) -> tuple[Any, int]:
        parameters = table.get("Parameters") or {}
        storage = table["StorageDescriptor"]
        location = str(storage["Location"]).replace("s3a://", "s3://").rstrip("/")
        kind = (parameters.get("table_type") or parameters.get("classification") or _kind_of(storage)).lower()
        if kind == "delta" or parameters.get("spark.sql.sources.provider") == "delta":
            delta = DeltaTable(location, storage_options=self.objects.delta_options())
            return _without_statistics(delta), sum(delta.get_add_actions().column("size_bytes").to_pylist())
        schema = pa.schema([pa.field(column, _arrow_type(type_)) for column, type_, _ in self.columns(name)])
        keys = pa.schema([schema.field(column) for column, _, is_key in self.columns(name) if is_key])
        filesystem = self.objects.filesystem()
        folder = location.removeprefix("s3://")
        found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True, recursive=True))
        # Hive's readers pass over what begins with an underscore or a dot.
        files = [file for file in found if file.is_file and file.size and not re.search(r"/[_.]", file.path)]
        if not files:
            return schema.empty_table(), 0
        size = sum(file.size for file in files)
        paths = [file.path for file in files]
        partitioning = ds.partitioning(keys, flavor="hive")
        if kind in {"parquet", "orc"}:
            dataset = ds.dataset(
                paths,
                schema=schema,
                format=kind,
                filesystem=filesystem,
                partitioning=partitioning,
                partition_base_dir=folder,
            )
            return dataset, size
        read = _reader(
            kind, storage, parameters, pa.schema([column for column in schema if column.name not in keys.names])
        )
        tables = []
        for path in paths:
            partition = ds.get_partition_keys(partitioning.parse(path.removeprefix(folder).rpartition("/")[0]))
            tables.append(_with_keys(read(self._body(path)), partition, schema))
        return pa.concat_tables(tables), size

    def _body(self, path: str) -> pa.BufferReader:
        # Read whole, by boto3: pyarrow keeps the interpreter locked while its readers of text look into a file, and the
        # S3 that would have to answer is in this very process.
        bucket, _, key = path.partition("/")
        with self.objects.client() as client, closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
            content = body.read()
        return pa.BufferReader(gzip.decompress(content) if key.endswith(".gz") else content)


def _without_statistics(delta: DeltaTable) -> ds.Dataset:
    """The files of a Delta table, of which delta-rs says that no value of a column without a maximum is any: it takes NULL for one."""
    dataset = delta.to_pyarrow_dataset()
    if delta.metadata().partition_columns:
        return dataset
    fragments = [dataset.format.make_fragment(file.path, file.filesystem) for file in dataset.get_fragments()]
    return ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)


def _kind_of(storage: dict[str, Any]) -> str:
    library = (storage.get("SerdeInfo") or {}).get("SerializationLibrary", "").lower()
    return next((kind for kind in ("parquet", "json", "orc") if kind in library), "csv")


def _reader(
    kind: str, storage: dict[str, Any], parameters: dict[str, str], schema: pa.Schema
) -> Callable[[pa.BufferReader], pa.Table]:
    """A function that reads one file of a text format into the columns that the catalog says it has."""
    if kind == "json":
        options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        return lambda body: pa_json.read_json(body, parse_options=options)
    if kind != "csv":
        raise AthenaError(f"HIVE_UNSUPPORTED_FORMAT: the local Athena cannot read classification {kind!r}")
    serde = (storage.get("SerdeInfo") or {}).get("Parameters") or {}
    delimiter = serde.get("separatorChar") or serde.get("field.delim") or parameters.get("delimiter") or ","
    skipped = parameters.get("skip.header.line.count") or serde.get("skip.header.line.count") or "0"
    return lambda body: pa_csv.read_csv(
        body,
        pa_csv.ReadOptions(column_names=schema.names, skip_rows=int(skipped)),
        pa_csv.ParseOptions(delimiter=delimiter),
        pa_csv.ConvertOptions(column_types=schema, strings_can_be_null=False),
    )


def _with_keys(rows: pa.Table, partition: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Adds the partition columns, whose values are in the folder's name, in the catalog's order of columns."""
    columns = [
        pa.array([partition[column.name]] * rows.num_rows, column.type)
        if column.name in partition
        else rows.column(column.name)
        for column in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _arrow_type(glue: str) -> pa.DataType:
    """The Arrow type of a Glue column; nested ones, too: `array<struct<a:int>>`."""
    glue = glue.strip().lower()
    if decimal := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", glue):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if re.fullmatch(r"(var)?char(\(\d+\))?", glue):
        return pa.string()
    if nested := re.fullmatch(r"(array|map|struct)<(.*)>", glue):
        parts = _split(nested[2])
        if nested[1] == "array":
            return pa.list_(_arrow_type(nested[2]))
        if nested[1] == "map":
            return pa.map_(_arrow_type(parts[0]), _arrow_type(parts[1]))
        fields = [part.split(":", 1) for part in parts]
        return pa.struct([pa.field(name, _arrow_type(kind)) for name, kind in fields])
    if glue not in _ARROW_TYPES:
        raise AthenaError(f"HIVE_INVALID_METADATA: type {glue!r} of the catalog is unknown")
    return _ARROW_TYPES[glue]


def _split(fields: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(fields):
        depth += (sign in "<(") - (sign in ">)")
        if sign == "," and depth == 0:
            parts.append(fields[start:at])
            start = at + 1
    return [*parts, fields[start:]]
