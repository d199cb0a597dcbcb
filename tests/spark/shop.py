"""One stream through Extract's append, Check and Silver, on local files with a real ledger; no Glue, no AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from headwater.config import KinesisStream, Policy, Table
from headwater.config.stream import Order
from headwater.lake.columns import BATCH, FILE, ROW
from headwater.lake.tables import Lake
from headwater.ledger.batch import BatchWriter
from headwater.ledger.entries import Book, Decision, Manifest, Verdict
from headwater.ledger.raw import PROBLEM
from headwater.ledger.stream import Ledger, StreamLedger
from headwater.stages.check import check_stream
from headwater.stages.extract import append_bronze
from headwater.stages.silver import silver_stream

from .extraction import NOON, FolderBucket

SOURCE, STREAM = "shop", "people"
RAW = ("id", "city", "seen")


class AsItIsNow(KinesisStream):
    """A stream whose rows say what is true now, as those of an API do."""

    @property
    def order(self) -> Order:
        return "reading"


def people(write: dict[str, Any] | None = None, *, version: bool = True, **changes: Any) -> Table:
    declared = {
        "table": "people",
        "owner": "Shop",
        "note": "One row for each person.",
        "key": ["id"],
        "version": "seen" if version else None,
        "write": write or {"kind": "merge"},
        "columns": {"id": {"type": "bigint"}, "city": {"type": "string"}, "seen": {"type": "timestamp"}},
    }
    return Table.model_validate(declared | changes)


ADS = ("account", "day", "ad", "cost", "platform")


def ad_costs() -> Table:
    """Costs of ads, of which a batch restates days of an account; two platforms may feed it."""
    types = dict(zip(ADS, ("string", "date", "int", "int", "string"), strict=True))
    return people(
        {"kind": "replace", "account": "account", "day": "day"},
        version=False,
        key=["platform", "account", "day", "ad"],
        columns={name: {"type": type_} for name, type_ in types.items()},
    )


def at(day: int | None) -> str | None:
    """Noon of a day in January."""
    return None if day is None else f"2024-01-{day:02d} 12:00:00"


@dataclass
class Shop:
    """A stream's way from raw to silver; each step is taken when it is asked for."""

    spark: SparkSession
    root: Path
    table: Table
    order: Order = "version"
    policy: Policy | None = None
    raw: tuple[str, ...] = RAW
    columns: dict[str, str] = field(default_factory=dict)
    leases: list[str] = field(default_factory=list)
    rebuild: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.bucket = FolderBucket(self.root / "raw")
        self.ledger = Ledger(self.bucket)  # type: ignore[arg-type]
        self.lake = Lake(self.spark, f"file://{self.root}/lake")
        kind = AsItIsNow if self.order == "reading" else KinesisStream
        self.declared = kind.model_validate({"table": self.table.table, "raw": self.raw, "columns": self.columns})

    @property
    def stream(self) -> StreamLedger:
        return self.ledger.stream(SOURCE, STREAM)

    def job(self, run_id: str = "run") -> Any:
        policies = {self.table.table: self.policy} if self.policy else {}
        source = SimpleNamespace(name=SOURCE, streams={STREAM: self.declared})
        return SimpleNamespace(
            source_name=SOURCE,
            source=source,
            project=SimpleNamespace(
                sources={SOURCE: source},
                tables={self.table.table: self.table},
                quality=policies,
                drift_of=lambda _source, _stream: "evolve",
            ),
            rebuild=self.rebuild,
            lake=self.lake,
            ledger=self.ledger,
            spark=self.spark,
            run_id=run_id,
            lease=self._lease,
            sized=_block,
            kept=_kept,
            note_schema=lambda _zone, _table: None,
            arrived=lambda _stream: self.stream.manifests(1, self.stream.extracted_up_to()),
        )

    @contextmanager
    def _lease(self, name: str) -> Iterator[Any]:
        self.leases.append(name)
        yield SimpleNamespace(check=lambda: None)

    def batch(self, *files: Sequence[Sequence[Any]], run_id: str = "run", slices: Any = None) -> Manifest:
        """Commits a batch of files of rows: values in the order of `raw`, or the problem of one that cannot be read."""
        writer = BatchWriter.begin(self.stream, run_id, self.raw)
        for number, rows in enumerate(files):
            path = self.root / f"{writer.attempt}-{number}.jsonl.gz"
            with writer.open_rows(path) as out:
                for row in rows:
                    if isinstance(row, str):
                        out.write({}, **{PROBLEM: row})
                    else:
                        out.write(dict(zip(self.raw, row, strict=True)))
            writer.learned.merge(out.learned)
            writer.add(path, len(rows))
        return writer.commit(None, slices)

    def append(self) -> None:
        """Appends to bronze what it lacks."""
        append_bronze(self.job(), STREAM, [], SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]

    def check(self) -> None:
        """Judges what has no verdict."""
        check_stream(self.job(), STREAM)

    def silver(self, run_id: str = "run") -> None:
        """Writes to silver what may pass."""
        silver_stream(self.job(run_id), STREAM)

    def run(self) -> None:
        """Takes all steps."""
        self.append()
        self.check()
        self.silver()

    def release(self, batch: int) -> None:
        """Lets a halted batch pass."""
        self.stream.decide(Decision(batch=batch, decision="release", reason="r", by="b", at=NOON))

    def discard(self, batch: int) -> None:
        """Gives a halted batch up."""
        self.stream.decide(Decision(batch=batch, decision="discard", reason="r", by="b", at=NOON))

    def halt(self, batch: int) -> None:
        """Judges a batch as bad, whatever it has."""
        told = {"source": SOURCE, "stream": STREAM, "batch": batch, "run_id": "r", "rows": 1, "checks": ()}
        self.stream.judge(Verdict.model_validate({**told, "verdict": "halt"}))

    def rows(self) -> list[Row]:
        """The rows of silver."""
        return self.lake.table("silver", self.table.table).read().collect()

    def cities(self) -> dict[int, str]:
        """The city of each person."""
        rows = self.rows()
        assert len({row.id for row in rows}) == len(rows)
        return {row.id: row.city for row in rows}

    def quarantined(self) -> list[Row]:
        """The rows of quarantine."""
        table = self.lake.table("quarantine", self.table.table)
        return table.read().collect() if table.exists() else []

    def book(self, batch: int) -> Book:
        """The book of a batch, which balances."""
        book = self.stream.book(batch)
        assert book is not None
        assert book.balances
        return book

    def counts(self, batch: int) -> dict[str, int]:
        """What a batch's book counts that is not nothing."""
        counted = self.book(batch).model_dump(exclude={"source", "stream", "batch", "run_id", "reasons"})
        return {name: number for name, number in counted.items() if number}


@contextmanager
def _block(_rows: int) -> Iterator[None]:
    yield


def _kept(frame: DataFrame, _rows: int) -> DataFrame:
    return frame.localCheckpoint(eager=False)


def placed(rows: DataFrame) -> DataFrame:
    """Raw rows with the place that they would have in bronze."""
    return rows.select("*", F.lit(1).alias(BATCH), F.lit("s3://raw/f").alias(FILE), F.lit(0).cast("bigint").alias(ROW))


def policy(*rows: dict[str, Any], batch: Sequence[dict[str, Any]] = ()) -> Policy:
    return Policy.model_validate({"table": "people", "rows": rows, "batch": batch})


def raw_of(row: Row) -> dict[str, Any]:
    """The row as it came, of a quarantined one."""
    told: dict[str, Any] = json.loads(row.raw)
    return told
