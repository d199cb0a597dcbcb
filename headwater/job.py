"""The one seam to Glue: a job run with its arguments, Spark, the declared project, the ledger and the lake.

`run_job` moves the bookmarks with `job.commit()` as its last act, which an error never reaches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import boto3
from awsglue.context import GlueContext
from awsglue.job import Job as GlueJob
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

from headwater.brief import told_briefly
from headwater.config import AnySource, Project, parse_date
from headwater.lake.delta import Table
from headwater.lake.session import configure, having
from headwater.lake.tables import Lake, Zone
from headwater.ledger.entries import Days, Manifest
from headwater.ledger.lease import Lease, hold_lease
from headwater.ledger.schemas import Schemas
from headwater.ledger.stream import Ledger
from headwater.log import STARTED, bind, get_logger
from headwater.open_project import OpenProject

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ARGUMENTS = ("JOB_NAME", "project", "source", "run_id", "as_of", "mode", "window", "rebuild")
# Compiling a query takes a second of two cores or more: over fewer rows than these, running it as it is takes less.
_COMPILED_ROWS = 100_000
_NOT_COMPILED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
# Rows of a batch that are kept between the passes over them; a larger batch is read again.
_KEPT_ROWS = 200_000
_ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"}

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """One run of one Glue job."""

    name: str
    job_run_id: str
    run_id: str
    as_of: date
    mode: Literal["incremental", "backfill"]
    days: Days | None
    rebuild: frozenset[str]
    source_name: str
    opened: OpenProject
    glue: GlueContext
    spark: SparkSession

    @property
    def project(self) -> Project:
        """The declared project."""
        return self.opened.project

    @property
    def source(self) -> AnySource:
        """The declared source this run is for."""
        return self.project.source(self.source_name)

    def of_source(self, name: str) -> Job:
        """This run for one of the sources that it takes."""
        return replace(self, source_name=name)

    @property
    def ledger(self) -> Ledger:
        """The project's ledger."""
        return self.opened.ledger

    @cached_property
    def lake(self) -> Lake:
        """The environment's lake."""
        return Lake(self.spark, f"s3://{self.project.environment.bucket('lake')}")

    def note_schema(self, zone: Zone, table: Table) -> None:
        """Notes the schema that a table has now, for the catalog to follow; whoever writes does so before it says that it has."""
        Schemas(self.ledger.bucket).note(
            f"{zone}/{table.path.removeprefix(f'{self.lake.root}/{zone}/')}", table.schema()
        )

    @contextmanager
    def lease(self, name: str) -> Iterator[Lease]:
        """Holds the right to write `name` for the length of the block."""
        with hold_lease(self.ledger.bucket, name, self.name, self.job_run_id, _ended) as lease:
            yield lease

    @contextmanager
    def sized(self, rows: int) -> Iterator[None]:
        """Turns Spark's code generation off inside the block when about `rows` rows are too few to repay it."""
        with having(self.spark, _NOT_COMPILED if rows < _COMPILED_ROWS else {}):
            yield

    def kept(self, frame: DataFrame, rows: int) -> DataFrame:
        """Computes about `rows` rows once, however often they are read, unless they are too many."""
        # Cached ones would be planned with each query over them, and anew where a table that they come from changes. Where an
        # executor is lost with its part of them the job fails, and runs again.
        return frame.localCheckpoint(eager=False) if rows <= _KEPT_ROWS else frame

    def new_values(self, uri: str, field: str, context: str) -> list[Any]:
        """Reads one field of each JSON document below a URI that is new to the bookmark of a context."""
        frame = self.glue.create_dynamic_frame.from_options(
            connection_type="s3",
            connection_options={"paths": [uri]},
            format="json",
            format_options={"multiline": True},
            transformation_ctx=context,
        ).toDF()
        return [row[0] for row in frame.select(field).collect()] if field in frame.columns else []

    def new_rows(self, engine: str, options: Mapping[str, Any], context: str) -> DataFrame:
        """Reads the rows of a database that are new to the bookmark of a context."""
        rows: DataFrame = self.glue.create_dynamic_frame.from_options(
            connection_type=engine, connection_options=dict(options), transformation_ctx=context
        ).toDF()
        return rows

    def arrived(self, stream: str) -> list[Manifest]:
        """Reads the manifests that are new to this job's bookmark, oldest first."""
        ledger = self.ledger.stream(self.source_name, stream)
        batches = {int(batch) for batch in self.new_values(ledger.manifests_uri, "batch", f"{stream}_manifests")}
        return [ledger.manifest(batch) for batch in sorted(batches)]


def run_job(stage: Callable[[Job], None]) -> None:
    """Runs one stage as a Glue job: arguments, session, stage, and the bookmarks' commit last."""
    options = getResolvedOptions(sys.argv, list(ARGUMENTS))
    # Glue adds its own run id to the parsed options; the lease needs it to tell whether a holder still lives.
    job_run_id = str(options.get("JOB_RUN_ID") or options["run_id"])
    glue = GlueContext(SparkContext.getOrCreate())
    glue_job = GlueJob(glue)
    glue_job.init(options["JOB_NAME"], options)
    spark = glue.spark_session
    configure(spark)
    job = Job(
        name=options["JOB_NAME"],
        job_run_id=job_run_id,
        run_id=options["run_id"],
        as_of=_as_of(options["as_of"]),
        mode="backfill" if options["mode"] == "backfill" else "incremental",
        days=_days(options["window"]),
        rebuild=frozenset(options["rebuild"].split(",")) - {"-"},
        source_name=options["source"],
        opened=OpenProject.at(options["project"]),
        glue=glue,
        spark=spark,
    )
    with bind(run_id=job.run_id, source=job.source_name, stage=stage.__name__):
        log.info(STARTED, job_name=job.name, job_run_id=job.job_run_id)
        with told_briefly():
            stage(job)
        log.info("finished")
    glue_job.commit()


def _as_of(text: str) -> date:
    # The state machine passes its start time when no date was asked for.
    return parse_date(text[:10])


def _days(text: str) -> Days | None:
    if text == "-":
        return None
    since, _, until = text.partition("..")
    return parse_date(since), parse_date(until)


def _ended(job_name: str, job_run_id: str) -> bool:
    client: Any = boto3.client("glue")
    try:
        run = client.get_job_run(JobName=job_name, RunId=job_run_id)["JobRun"]
    except client.exceptions.EntityNotFoundException:
        return True
    return run["JobRunState"] in _ENDED


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)
