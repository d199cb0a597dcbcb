"""The arguments of Snowflake's connector, and what becomes of its Arrow batches."""

from __future__ import annotations

import gc
import itertools
import json
import tempfile
import weakref
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.cursor import ResultMetadata
from snowflake.connector.errors import DatabaseError, OperationalError, ProgrammingError, ServiceUnavailableError

from headwater.config import SnowflakeSource
from headwater.errors import ConfigError, FatalSourceError, RetriableSourceError, SourceError
from headwater.sources import snowflake_rows
from headwater.sources.snowflake import arguments, connected
from headwater.sources.snowflake_rows import named, parquet_files, schema_of

TYPE_CODES = {name: code for code, name in FIELD_ID_TO_NAME.items()}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DER = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pem(encryption: KeySerializationEncryption) -> str:
    return KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def source(**changes: Any) -> SnowflakeSource:
    stream = {
        "relation": "b2b.orders",
        "table": "b2b_orders",
        "read": {"kind": "watermark", "column": "updated_at"},
        "raw": ["order_id"],
    }
    declared = {
        "kind": "snowflake",
        "name": "snowflake",
        "secret": "snowflake",
        "database": "SALES",
        "warehouse": "LOAD_WH",
        "streams": {"orders": stream},
        **changes,
    }
    return SnowflakeSource.model_validate(declared)


def column(name: str, kind: str, precision: int | None = None, scale: int | None = None) -> ResultMetadata:
    return ResultMetadata(name, TYPE_CODES[kind], None, None, precision, scale, is_nullable=True)


@pytest.mark.parametrize("passphrase", [None, "opens it"])
def test_the_connector_is_given_the_key_as_der(passphrase: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(snowflake.connector, "connect", lambda **arguments: given.update(arguments) or _Closed())
    locked = pem(BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption())
    secret = {"account": "org-acme", "user": "LOADER", "private_key": locked}
    with connected(source(), secret | ({"private_key_passphrase": passphrase} if passphrase else {})):
        pass
    assert given["private_key"] == DER
    assert load_der_private_key(given["private_key"], None).public_key() == KEY.public_key()  # type: ignore[union-attr]
    assert (given["authenticator"], "password" in given) == ("SNOWFLAKE_JWT", False)
    assert given["session_parameters"]["TIMEZONE"] == "UTC"


class _Closed:
    def __enter__(self) -> _Closed:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_password_is_the_other_way_in() -> None:
    given = arguments(source(role="READER"), {"account": "org-acme", "user": "LOADER", "password": "hunter2"})
    assert given == {
        "account": "org-acme",
        "user": "LOADER",
        "password": "hunter2",
        "database": "SALES",
        "warehouse": "LOAD_WH",
        "role": "READER",
    }


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({"user": "u", "password": "hunter2"}, "needs account"),
        ({"account": "a", "user": "u"}, "needs either private_key or password"),
        ({"account": "a", "user": "u", "password": "hunter2", "private_key": "hunter2"}, "needs either"),
        ({"account": "a", "user": "u", "private_key": "hunter2"}, "private_key cannot be read"),
        ({"account": "a", "user": "u", "private_key": pem(BestAvailableEncryption(b"hunter2"))}, "cannot be read"),
        ({"account": "a", "user": "u", "password": "hunter2", "host": "db.example", "protocol": "http"}, "https"),
    ],
)
def test_a_secret_that_lacks_something_is_refused_without_telling_it(secret: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        arguments(source(), secret)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["b2b.orders; DROP TABLE x", "a.b.c", "b2b.orders o", 'b2b."orders"'])
def test_a_relation_is_a_plain_name(name: str) -> None:
    stream = source().streams["orders"].model_dump() | {"relation": name}
    with pytest.raises(ValueError, match="relation"):
        source(streams={"orders": stream})


@pytest.mark.parametrize(
    ("raised", "acts"),
    [
        (DatabaseError("Incorrect username or password was specified.", errno=250001), FatalSourceError),
        (ProgrammingError("Object does not exist or not authorized."), FatalSourceError),
        (OperationalError("Could not connect to Snowflake backend."), RetriableSourceError),
        (ServiceUnavailableError(), RetriableSourceError),
    ],
)
def test_errors_say_who_must_act(raised: Exception, acts: type[SourceError], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(**_: object) -> None:
        raise raised

    monkeypatch.setattr(snowflake.connector, "connect", connect)
    with (
        pytest.raises(acts),
        connected(source(), {"account": "a", "user": "u", "password": "p"}),
    ):
        raise AssertionError("connected")


def test_types_do_not_depend_on_the_values_of_a_batch(tmp_path: Path) -> None:
    schema = schema_of(
        [
            column("ID", "FIXED", 38, 0),
            column("SMALL", "FIXED", 18, 0),
            column("PRICE", "FIXED", 38, 9),
            column("NTZ", "TIMESTAMP_NTZ", 0, 9),
            column("TZ", "TIMESTAMP_TZ", 0, 9),
            column("DAY", "DATE"),
            column("AT", "TIME", 0, 9),
            column("DOC", "VARIANT"),
        ]
    )
    price = Decimal("12345678901234567890123456789.123456789")
    narrow = pa.table(
        {
            "ID": pa.array([7], pa.int8()),
            "SMALL": pa.array([None], pa.int8()),
            "PRICE": pa.array([price], pa.decimal128(38, 9)),
            # Nanoseconds while all values allow it.
            "NTZ": pa.array([1_514_764_800_123_456_789], pa.timestamp("ns")),
            "TZ": pa.array([1_514_764_800_000_000_001], pa.timestamp("ns", "Asia/Kolkata")),
            "DAY": pa.array([date(1900, 1, 1)]),
            "AT": pa.array([time(12, 30, 0, 5)]),
            "DOC": pa.array(['{"a":[1,"é"]}']),
        }
    )
    wide = pa.table(
        {
            "ID": pa.array([Decimal(10**37)], pa.decimal128(38, 0)),
            "SMALL": pa.array([10**17], pa.int64()),
            "PRICE": pa.array([None], pa.decimal128(38, 9)),
            # Microseconds where a value is too far away.
            "NTZ": pa.array([datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)], pa.timestamp("us")),
            "TZ": pa.array([None], pa.timestamp("ns", "Asia/Kolkata")),
            "DAY": pa.array([None], pa.date32()),
            "AT": pa.array([None], pa.time64("us")),
            "DOC": pa.array([None], pa.string()),
        }
    )
    [(path, rows)] = parquet_files(iter([narrow, wide]), schema, tmp_path)
    assert rows == 2
    assert pq.read_table(path).to_pydict() == {
        "id": [Decimal(7), Decimal(10**37)],
        "small": [None, 10**17],
        "price": [price, None],
        "ntz": [datetime(2018, 1, 1, 0, 0, 0, 123456, UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)],
        "tz": [datetime(2018, 1, 1, tzinfo=UTC), None],
        "day": [date(1900, 1, 1), None],
        "at": ["12:30:00.000005", None],
        "doc": ['{"a":[1,"é"]}', None],
        "_unread": [None, None],
    }


def test_of_names_that_differ_by_case_the_one_that_nobody_quoted_is_read() -> None:
    for there in itertools.permutations([column(name, "TEXT") for name in ("Total", "TOTAL", "total", "Id", "iD")]):
        assert named(there, every=False) == named(there, every=True) == {"total": "TOTAL"}


def test_of_all_columns_those_that_no_raw_row_can_have_stay_where_they_are() -> None:
    new = ResultMetadata("NEW", 99, None, None, None, None, is_nullable=True)
    there = [column("Net Weight", "TEXT"), column("NET_WEIGHT", "TEXT"), column("V", "VECTOR"), new]
    assert named(there, every=True) == {"net weight": "Net Weight"}
    assert named(there, every=False).keys() == {"net weight", "net_weight", "v", "new"}
    with pytest.raises(FatalSourceError, match="NEW: type 99 cannot be read"):
        schema_of([new])


@given(st.integers(-(10**6), 5 * 10**6), st.integers(-(8 * 10**16), 3 * 10**17))
def test_a_day_that_nobody_has_is_unread_and_any_other_is_the_same(days: int, microseconds: int) -> None:
    given = pa.table(
        {
            "D": pa.array([None, days], pa.int32()).cast(pa.date32()),
            "T": pa.array([None, microseconds], pa.int64()).cast(pa.timestamp("us")),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        schema = schema_of([column("D", "DATE"), column("T", "TIMESTAMP_NTZ", 0, 9)])
        [(path, _)] = parquet_files(iter([given]), schema, Path(folder))
        found = pq.read_table(path)
    unread = json.loads(found["_unread"][1].as_py() or "{}")
    for name, kind, number, unit in (("d", pa.int32(), days, 86_400 * 10**6), ("t", pa.int64(), microseconds, 1)):
        # From the first day of the year 1 to the last of 9999.
        is_read = -62_135_596_800 * 10**6 <= number * unit < 253_402_300_800 * 10**6
        assert (found[name].cast(kind)[1].as_py(), name in unread) == (number if is_read else None, not is_read)


def test_one_batch_is_held_at_a_time_and_files_end_at_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snowflake_rows, "FILE_BYTES", 4_000)
    schema = schema_of([column("N", "FIXED", 18, 0)])
    alive: list[weakref.ref[Any]] = []

    def batches() -> Iterator[pa.Table]:
        for start in range(0, 10_000, 1_000):
            gc.collect()
            assert sum(batch() is not None for batch in alive) <= 1
            table = pa.table({"N": list(range(start, start + 1_000))})
            alive.append(weakref.ref(table))
            yield table
            del table

    files = list(parquet_files(batches(), schema, tmp_path))
    assert len(files) > 1
    assert sum(rows for _, rows in files) == 10_000
    assert sorted(n for path, _ in files for n in pq.read_table(path)["n"].to_pylist()) == list(range(10_000))


def test_a_result_without_rows_makes_no_file(tmp_path: Path) -> None:
    assert list(parquet_files(iter(()), schema_of([column("N", "FIXED", 18, 0)]), tmp_path)) == []
