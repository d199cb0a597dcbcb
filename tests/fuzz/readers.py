"""The readers, each with good inputs and with what has to hold of any input: nothing escapes but what the reader promises."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import SimpleNamespace
from typing import Any, get_args

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from openpyxl.xml.constants import ARC_CONTENT_TYPES, ARC_SHARED_STRINGS, SHARED_STRINGS, SHEET_MAIN_NS

from headwater.config import FilesStream
from headwater.deploy.project import load_project
from headwater.ledger.raw import PROBLEM, Problem, to_line
from headwater.ledger.shape import Learned
from headwater.ledger.untrusted import read_object
from headwater.open_project import OpenProject
from headwater.receive.drop import Starter
from headwater.receive.event import PushReceiver, PushRequest
from headwater.receive.records import Record, raw_rows
from headwater.sources.apis.facebook_ads import API as FACEBOOK
from headwater.sources.files.formats import rows_of
from headwater.sources.files.rows import BadFileError, FileRow
from headwater.sources.http.messages import HttpResponse, MalformedAnswerError
from tests.support.kinesis import aggregate
from tests.support.paths import ROOT

PROBLEMS = {*get_args(Problem)}
RAW = ("id", "name")
ROW = {"id": 1, "name": "Zoë 😀", "amount": 12.5, "tags": ["a", {"b": None}], "when": "2024-01-01T00:00:00Z"}
_TEXT = json.dumps(ROW).encode()


@dataclass(frozen=True)
class Reader:
    """A reader: good inputs, and `read`, which fails by an assertion or an error that escapes."""

    good: tuple[bytes, ...]
    read: Callable[[bytes], object]


def _written(fields: Mapping[str, Any], **added: Any) -> None:
    """What was read is written, is read again, and is the same."""
    Learned().row(fields)
    line = to_line({**fields, **added})
    assert "\n" not in line
    assert json.loads(line, parse_float=Decimal) is not None


def read_row(body: bytes) -> None:
    text = body.decode("utf-8", "surrogateescape")
    fields, problem = read_object(text)
    assert problem is None or (problem in PROBLEMS and not fields)
    _written(fields)


def read_record(body: bytes) -> None:
    record = Record("1", "arn", "shard:1", "shard", 1, "key", "2024-01-01", base64.b64encode(body).decode())
    rows = raw_rows(record, 10_000)
    assert rows
    for row in rows:
        assert row.problem is None or row.problem in PROBLEMS
        _written(row.fields, **row.added, **({PROBLEM: row.problem} if row.problem else {}))


def read_message(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    given = {
        "messageId": "1",
        "body": text,
        "eventSourceARN": "queue",
        "attributes": {"SentTimestamp": "1514764800500"},
    }
    record = Record.of_message(given)
    assert (record.item, record.stream_arn) == ("1", "queue")
    for row in raw_rows(record, 10_000):
        _written(row.fields, **row.added)


@dataclass(frozen=True)
class _Started(Starter):
    found: list[str] = field(default_factory=list)

    def _start(self, source: str, arrivals: Mapping[str, Any]) -> None:
        self.found.extend(arrivals)


@cache
def _opened() -> OpenProject:
    opened = OpenProject(load_project(ROOT, "local"))
    vars(opened)["ledger"] = SimpleNamespace(bucket=SimpleNamespace(s3=_Objects()))
    return opened


def read_arrival(body: bytes) -> None:
    message = {"messageId": "1", "body": body.decode("utf-8", "replace")}
    failed = _Started(_opened(), None, "arn").start({"Records": [message]})
    assert failed in ({"batchItemFailures": []}, {"batchItemFailures": [{"itemIdentifier": "1"}]})


class _Objects:
    """S3, as far as one pushed event needs it."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str) -> None:  # noqa: N803 - boto3's own names
        if Key in self.stored:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 412}}, "PutObject")  # type: ignore[typeddict-item]
        self.stored[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, io.BytesIO]:  # noqa: N803 - boto3's own names
        return {"Body": io.BytesIO(self.stored[Key])}


def read_pushed(body: bytes) -> None:
    """What is accepted, Extract reads."""
    objects = _Objects()
    vars(_opened())["ledger"] = SimpleNamespace(bucket=SimpleNamespace(s3=objects))
    receiver = PushReceiver(_opened(), lambda _: {"me": "key"}, lambda: datetime(2024, 1, 1, tzinfo=UTC))
    headers = {"x-api-key": "key", "idempotency-key": "k", "content-type": "application/json"}
    status = receiver.receive(PushRequest("http_push", "pushed_events", headers, body)).status
    assert status in {202, 400, 413, 422}
    assert bool(objects.stored) == (status == 202)
    declared = _opened().project.sources["http_push"].streams["pushed_events"]
    assert isinstance(declared, FilesStream)
    for stored in objects.stored.values():
        assert [row.problem for row in _rows(stored, declared)] == [None]


def stream(kind: str, **options: Any) -> FilesStream:
    declared = {"table": "t", "prefix": "p/", "format": {"kind": kind, **options}, "raw": RAW, "largest_megabytes": 1}
    return FilesStream.model_validate(declared)


def _rows(body: bytes, declared: FilesStream) -> list[FileRow]:
    with NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        return list(rows_of(Path(file.name), declared))


def read_file(declared: FilesStream, packed: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], None]:
    def read(body: bytes) -> None:
        try:
            rows = _rows(packed(body), declared)
        except BadFileError as bad:
            rows = [FileRow(0, {}, bad.problem, str(bad))]
        for row in rows:
            assert row.problem is None or (row.problem in PROBLEMS and not row.fields)
            _written(row.fields, _value=row.text)

    return read


def read_answer(body: bytes) -> None:
    with suppress(MalformedAnswerError):
        HttpResponse(200, {}, body).json()


def read_usage(body: bytes) -> None:
    names = ("x-business-use-case-usage", "x-ad-account-usage", "x-app-usage", "x-fb-ads-insights-throttle")
    assert FACEBOOK.usage is not None
    pause = FACEBOOK.usage(HttpResponse(200, dict.fromkeys(names, body.decode("utf-8", "replace")), b""))
    assert pause is None or pause >= 0


def _parquet() -> bytes:
    out = io.BytesIO()
    columns = {
        "id": pa.array([1, 2, None], pa.int32()),
        "name": ["Zoë", "", None],
        "day": pa.array([0, 19000, None], pa.date32()),
        "at": pa.array([0, 1_700_000_000_000_000, None], pa.timestamp("us", "Asia/Tokyo")),
        "tags": [["a", "b"], [], None],
        "amount": pa.array([Decimal("1.50"), None, None], pa.decimal128(12, 2)),
        "more": [{"a": b"\xff"}, None, {"a": b""}],
    }
    pq.write_table(pa.table(columns), out, compression="none")
    return out.getvalue()


@cache
def _workbook() -> dict[str, bytes]:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in ((*RAW, "day", "sum"), (1, "Zoë", date(2024, 1, 1), "=1+1"), (2.5, "a", None, True)):
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    with zipfile.ZipFile(out) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    # openpyxl writes texts where they stand; Excel writes each once, into a part of its own.
    inline, shared = b'<c r="A1" t="inlineStr"><is><t>id</t></is></c>', b'<c r="A1" t="s"><v>0</v></c>'
    texts = f'<sst xmlns="{SHEET_MAIN_NS}"><si><t>id</t></si></sst>'.encode()
    there = f'<Override PartName="/{ARC_SHARED_STRINGS}" ContentType="{SHARED_STRINGS}" /></Types>'.encode()
    sheet_xml = parts["xl/worksheets/sheet1.xml"].replace(inline, shared)
    types = parts[ARC_CONTENT_TYPES].replace(b"</Types>", there)
    return {**parts, "xl/worksheets/sheet1.xml": sheet_xml, ARC_SHARED_STRINGS: texts, ARC_CONTENT_TYPES: types}


def _zipped(parts: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return out.getvalue()


def _part(name: str) -> Reader:
    """A workbook of which one part is edited, since a change of packed bytes is hardly ever more than a broken zip."""
    assert name in _workbook()
    packed = read_file(stream("excel"), lambda body: _zipped({**_workbook(), name: body}))
    return Reader((_workbook()[name],), packed)


_CSV = 'id,name,note\r\n1,"Zoë, ""x""",\r\n2,b,"two\nlines"\r\n'.encode()
_EVENT = {
    "event_id": "e1",
    "event_type": "survey_answered",
    "occurred_at": "2018-01-01T10:00:00Z",
    "customer_id": 7,
    "store_id": 300,
    "answers": {"q": [1.5, "x", {"deep": []}]},
}
_ENVELOPE = {
    "eventID": "shardId-000000000000:1",
    "eventSourceARN": "arn",
    "sequenceNumber": "1",
    "partitionKey": "p",
    "approximateArrivalTimestamp": 1514764800.5,
    "data": base64.b64encode(_TEXT).decode(),
}
_ARRIVAL = {"detail": {"object": {"key": "s3_drops/partner_orders/a.csv", "etag": "e", "size": 1, "version-id": "v"}}}
_USAGE = {"1": [{"call_count": 10, "total_cputime": 1.5, "estimated_time_to_regain_access": 3}], "acc_id_util_pct": 9.5}
READERS: Mapping[str, Reader] = {
    "row": Reader((_TEXT,), read_row),
    "record": Reader((_TEXT, aggregate(_TEXT, b'{"id":2}')), read_record),
    "message": Reader((json.dumps(_ENVELOPE).encode(),), read_message),
    "arrival": Reader((json.dumps(_ARRIVAL).encode(),), read_arrival),
    "pushed event": Reader((json.dumps(_EVENT).encode(),), read_pushed),
    "answer": Reader((json.dumps({"data": [ROW, ROW], "paging": {"next": "x"}}).encode(),), read_answer),
    "usage header": Reader((json.dumps(_USAGE).encode(),), read_usage),
    "csv": Reader((_CSV, "\ufeff".encode() + _CSV), read_file(stream("csv"))),
    "csv, UTF-16": Reader((_CSV.decode().encode("utf-16"),), read_file(stream("csv", encoding="utf-16"))),
    "csv, packed": Reader((gzip.compress(_CSV), gzip.compress(_CSV) * 2), read_file(stream("csv"))),
    "JSON lines": Reader((_TEXT + b"\n\n" + _TEXT,), read_file(stream("jsonl"))),
    "Parquet": Reader((_parquet(),), read_file(stream("parquet"))),
    "workbook": Reader((_zipped(_workbook()), _zipped(_workbook(), zipfile.ZIP_DEFLATED)), read_file(stream("excel"))),
    "workbook, sheet": _part("xl/worksheets/sheet1.xml"),
    "workbook, texts": _part("xl/sharedStrings.xml"),
    "workbook, styles": _part("xl/styles.xml"),
    "workbook, itself": _part("xl/workbook.xml"),
    "workbook, types": _part("[Content_Types].xml"),
}
