"""Snowflake as fakesnow serves it, with the wholesale business of the world in database SALES, schema B2B."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local.counterparts.counterpart import Counterpart, Place
from local.processes import Program, listens

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

DATABASE, SCHEMA = "SALES", "B2B"
_PORT, _USUAL_PORT = "HEADWATER_SNOWFLAKE_PORT", 64616
_KEY_BITS = 2048
_SECONDS = 30


@dataclass(frozen=True)
class _Table:
    """A table as Snowflake has it, its columns in the order of the world's; its timestamps are all of one kind."""

    columns: Mapping[str, str]

    @property
    def ddl(self) -> str:
        return ", ".join(f"{name} {kind}" for name, kind in self.columns.items())

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([(name, _arrow(kind)) for name, kind in self.columns.items()])

    @property
    def select(self) -> str:
        return ", ".join(f"{name}::text" if kind == "VARIANT" else name for name, kind in self.columns.items())


def _arrow(kind: str) -> pa.DataType:
    if kind.startswith("TIMESTAMP"):
        return pa.timestamp("us", "UTC")
    if kind.startswith("NUMBER"):
        precision, scale = kind.removeprefix("NUMBER(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    return pa.string()


# Each table has another kind of timestamp, as tables by several hands do.
TABLES = {
    "customers": _Table(
        {
            "customer_id": "NUMBER(38,0)",
            "company_name": "VARCHAR",
            "segment": "VARCHAR",
            "country": "VARCHAR",
            "city": "VARCHAR",
            "contact_email": "VARCHAR",
            "credit_limit": "NUMBER(38,2)",
            "attributes": "VARIANT",
            "created_at": "TIMESTAMP_LTZ",
            "updated_at": "TIMESTAMP_LTZ",
            "deleted_at": "TIMESTAMP_LTZ",
        }
    ),
    "products": _Table(
        {
            "product_id": "NUMBER(38,0)",
            "sku": "VARCHAR",
            "name": "VARCHAR",
            "category": "VARCHAR",
            "list_price": "NUMBER(38,6)",
            "specification": "VARIANT",
            "updated_at": "TIMESTAMP_NTZ",
            "deleted_at": "TIMESTAMP_NTZ",
        }
    ),
    "orders": _Table(
        {
            "order_id": "NUMBER(38,0)",
            "customer_id": "NUMBER(38,0)",
            "product_id": "NUMBER(38,0)",
            "quantity": "NUMBER(38,0)",
            "unit_price": "NUMBER(38,6)",
            "amount": "NUMBER(38,2)",
            "currency": "VARCHAR",
            "status": "VARCHAR",
            "terms": "VARIANT",
            "ordered_at": "TIMESTAMP_TZ",
            "updated_at": "TIMESTAMP_TZ",
            "deleted_at": "TIMESTAMP_TZ",
        }
    ),
}


class Snowflake(Counterpart):
    """The counterpart of source `snowflake`."""

    source = "snowflake"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._home = place.home / "snowflake"
        self._databases = self._home / "databases"
        self._program = Program("snowflake", self._home)

    @property
    def port(self) -> int:
        """Where the server listens, or listened last; before it has, where it will if it can."""
        port = self._databases / "port"
        return int(port.read_text()) if port.exists() else int(os.environ.get(_PORT, _USUAL_PORT))

    def start(self) -> None:
        """Starts fakesnow's server: on the port that HEADWATER_SNOWFLAKE_PORT says, else on the last, the usual or any one."""
        if self._program.runs() and listens(self.port):
            return
        told = os.environ.get(_PORT)
        ports = [told] if told else [str(self.port), "0"]
        (self._databases / "port").unlink(missing_ok=True)
        stages = self._home / "stages"
        stages.mkdir(parents=True, exist_ok=True)
        # fakesnow keeps its stages in a temporary folder that it leaves behind.
        module = ["env", f"TMPDIR={stages}", sys.executable, "-m", "local.counterparts.snowflake_server"]
        self._program.start([*module, str(self._databases), *ports], (self._databases / "port").exists)

    def stop(self) -> None:
        """Stops the server; its databases stay."""
        self._program.stop()

    def endpoints(self) -> Mapping[str, str]:
        """Lists the server."""
        return {"snowflake": f"http://127.0.0.1:{self.port}"}

    def secret(self) -> Mapping[str, str]:
        """A key pair, which fakesnow does not verify, and the server's address."""
        return {
            "account": "fakesnow",
            "user": "HEADWATER",
            "private_key": self._private_key(),
            "host": "127.0.0.1",
            "port": str(self.port),
            "protocol": "http",
        }

    @contextmanager
    def connected(self) -> Iterator[SnowflakeConnection]:
        """Opens a session in the wholesale schema for the length of the block."""
        # It takes longer to import than most commands of the CLI take to run.
        import snowflake.connector  # noqa: PLC0415

        with snowflake.connector.connect(
            account="fakesnow",
            user="WORLD",
            password="world",  # noqa: S106 - fakesnow takes any
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            database=DATABASE,
            schema=SCHEMA,
            session_parameters={"TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False},
            login_timeout=_SECONDS,
            network_timeout=_SECONDS,
            platform_detection_timeout_seconds=0.0,
        ) as connection:
            yield connection

    def deliver(self, since: date | None, until: date) -> None:  # noqa: ARG002 - the world's tables are as its clock says
        """Replaces the rows of each table in one transaction, through a stage, as bulk loads into Snowflake go."""
        with (
            self.connected() as connection,
            psycopg.connect(self._place.world_dsn) as world,
            tempfile.TemporaryDirectory() as folder,
        ):
            cursor = connection.cursor()
            for name, table in TABLES.items():
                world.execute("set time zone 'UTC'")
                rows = world.execute(f"select {table.select} from b2b.{name}").fetchall()
                columns = list(zip(*rows, strict=True)) or [()] * len(table.columns)
                arrays = [pa.array(values, field.type) for values, field in zip(columns, table.arrow, strict=True)]
                path = Path(folder) / f"{name}.parquet"
                pq.write_table(pa.Table.from_arrays(arrays, schema=table.arrow), path)
                cursor.execute(f"CREATE OR REPLACE TABLE {name}_arrived ({table.ddl})")
                cursor.execute(f"PUT file://{path} @%{name}_arrived AUTO_COMPRESS=FALSE OVERWRITE=TRUE")
                cursor.execute(
                    f"COPY INTO {name}_arrived FROM @%{name}_arrived FILE_FORMAT=(TYPE=PARQUET) "
                    "MATCH_BY_COLUMN_NAME=CASE_INSENSITIVE FORCE=TRUE PURGE=TRUE"
                )
                cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} ({table.ddl})")
                cursor.execute("BEGIN")
                cursor.execute(f"DELETE FROM {name}")
                cursor.execute(f"INSERT INTO {name} SELECT * FROM {name}_arrived")
                cursor.execute("COMMIT")
                cursor.execute(f"DROP TABLE {name}_arrived")

    def _private_key(self) -> str:
        path = self._home / "private_key.pem"
        if not path.exists():
            self._home.mkdir(parents=True, exist_ok=True)
            key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            path.chmod(0o600)
        return path.read_text()
