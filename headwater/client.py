"""What people do with a deployed environment: run, watch, query, rewind, release, replay."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal

import boto3

from headwater.config import Project, ReplaceWrite
from headwater.deploy.deployment import Deployment
from headwater.errors import ConfigError, HeadwaterError, QueryError
from headwater.ledger.entries import Decision, Manifest
from headwater.ledger.held import Holds
from headwater.ledger.stream import StreamLedger
from headwater.log import shortened
from headwater.open_project import OpenProject
from headwater.run.alert import IN_PART
from headwater.run.audit import books_of
from headwater.warehouse import data_api
from headwater.warehouse.data_api import Rows

Engine = Literal["athena", "redshift"]
_POLL_SECONDS = 0.5
_ATHENA_SECONDS = 300.0
_ATHENA_POLL_SECONDS = 0.1
_NEWEST_RUNS = 5
_SHOWN = 1000
_ACTIVE = {"STARTING", "RUNNING", "STOPPING", "WAITING"}
# States that are no job runs, by the name of their stage.
_STATES = {"Plan": "Plan", "TakeTurn": "Turn", "Crawl": "Crawl", "Load": "Load", "Audit": "Audit"}
_STAGES = {"extract": "Extract", "check": "Check", "silver": "Silver", "gold": "Gold"}


@dataclass(frozen=True)
class RunState:
    """A run: its status, its times in UTC, and why it failed if it did."""

    run_id: str
    status: str
    started: datetime
    ended: datetime | None
    error: str | None
    cause: str | None


@dataclass(frozen=True)
class ListedRun:
    """A run as the history lists it, with the rows that it extracted, and what it left undone or failed it."""

    run_id: str
    status: str
    started: datetime
    ended: datetime | None
    rows: int
    undone: str | None


@dataclass(frozen=True)
class MaintainState:
    """A job run of Maintain: its status, its times in UTC, and why it failed if it did."""

    job_run_id: str
    status: str
    started: datetime
    ended: datetime | None
    cause: str | None


@dataclass(frozen=True)
class StreamState:
    """How far a stream is: its newest batch and position, the newest batch in silver, the batches that halt it, and what holds it."""

    source: str
    stream: str
    batch: int
    position: str | None
    in_silver: int
    halted: str
    held: str


@dataclass(frozen=True)
class Quarantined:
    """How many rows of a batch are in quarantine for one reason."""

    table: str
    source: str
    stream: str
    batch: int
    reason: str
    rows: int


@dataclass(frozen=True)
class StageRun:
    """One stage of a run, for one source or for all (`-`), with its times in UTC."""

    stage: str
    source: str
    state: str
    attempt: int
    started: datetime
    ended: datetime | None
    error: str | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()


@dataclass(frozen=True)
class Client:
    """One deployed environment, reached through the AWS API of the current session."""

    deployment: Deployment

    @property
    def project(self) -> Project:
        """The declared project."""
        return self.deployment.project

    @cached_property
    def opened(self) -> OpenProject:
        """The project as its Lambdas see it."""
        return OpenProject(self.project)

    @cached_property
    def _step_functions(self) -> Any:
        return boto3.client("stepfunctions")

    def start(self, run_input: dict[str, Any], run_id: str | None = None) -> str:
        """Starts a run and returns its id, which is the execution's name; a name that was used is refused."""
        run_id = run_id or _new_id()
        try:
            self._step_functions.start_execution(
                stateMachineArn=self.deployment.state_machine_arn, name=run_id, input=json.dumps(run_input)
            )
        except self._step_functions.exceptions.ExecutionAlreadyExists:
            raise HeadwaterError(f"run {run_id} exists; a run id is used once. hint: leave the id out") from None
        return run_id

    def _execution_arn(self, run_id: str) -> str:
        return f"{self.deployment.state_machine_arn.replace(':stateMachine:', ':execution:')}:{run_id}"

    def describe(self, run_id: str) -> RunState:
        """Describes a run: status, times, error and cause."""
        answer = self._step_functions.describe_execution(executionArn=self._execution_arn(run_id))
        return RunState(
            run_id=run_id,
            status=answer["status"],
            started=answer["startDate"],
            ended=answer.get("stopDate"),
            error=answer.get("error"),
            cause=answer.get("cause"),
        )

    def wait(self, run_id: str, on_tick: Callable[[], None] = lambda: None) -> RunState:
        """Waits until a run has ended and describes it; calls `on_tick` about twice a second."""
        while (found := self.describe(run_id)).status == "RUNNING":
            on_tick()
            time.sleep(_POLL_SECONDS)
        return found

    def start_maintain(self) -> str:
        """Starts Maintain and returns the id of its job run."""
        started = self.deployment.maintain_run(f"maintain-{_new_id()}", f"{datetime.now(UTC):%Y-%m-%d}")
        job_run_id: str = boto3.client("glue").start_job_run(**started)["JobRunId"]
        return job_run_id

    def wait_for_maintain(self, job_run_id: str) -> MaintainState:
        """Waits until Maintain has ended and describes its job run: status, times and cause."""
        glue: Any = boto3.client("glue")
        job = f"{self.deployment.prefix}-maintain"
        while (run := glue.get_job_run(JobName=job, RunId=job_run_id)["JobRun"])["JobRunState"] in _ACTIVE:
            time.sleep(_POLL_SECONDS)
        return MaintainState(
            job_run_id=job_run_id,
            status=run["JobRunState"],
            started=run["StartedOn"],
            ended=run.get("CompletedOn"),
            cause=run.get("ErrorMessage"),
        )

    def stages(self, run_id: str) -> list[StageRun]:
        """Lists the stages of a run that have started, in order."""
        found = []
        glue: Any = boto3.client("glue")
        for job in self.deployment.jobs():
            if job.script not in _STAGES:
                continue
            for page in glue.get_paginator("get_job_runs").paginate(JobName=job.name):
                mine = [run for run in page["JobRuns"] if run.get("Arguments", {}).get("--run_id") == run_id]
                found += [
                    StageRun(
                        stage=_STAGES[job.script],
                        source=run["Arguments"].get("--source", "-").replace(",", ", "),
                        state=run["JobRunState"],
                        attempt=run.get("Attempt", 0),
                        started=run["StartedOn"],
                        ended=run.get("CompletedOn"),
                        error=run.get("ErrorMessage"),
                    )
                    for run in mine
                ]
                # Runs come newest first: a page without one of this run has only older ones behind it.
                if not mine:
                    break
        found += self._publish_stages(run_id)
        return sorted(found, key=lambda run: run.started)

    def _publish_stages(self, run_id: str) -> Iterator[StageRun]:
        pages = self._step_functions.get_paginator("get_execution_history").paginate(
            executionArn=self._execution_arn(run_id)
        )
        # A state that looks again and again is entered as often: the stage goes from its first entrance to its last exit.
        times: dict[str, list[datetime]] = {}
        for page in pages:
            for event in page["events"]:
                details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
                if (name := details.get("name")) in _STATES:
                    times.setdefault(name, []).append(event["timestamp"])
        for name, moments in times.items():
            if len(moments) > 1:
                yield StageRun(_STATES[name], "-", "SUCCEEDED", 0, moments[0], moments[-1], None)

    def runs(self, most: int = 20) -> list[ListedRun]:
        """Lists the newest runs."""
        answer = self._step_functions.list_executions(
            stateMachineArn=self.deployment.state_machine_arn, maxResults=most
        )
        rows: dict[str, int] = {}
        for book in books_of(self.opened, {item["name"] for item in answer["executions"]}):
            rows[book.run_id] = rows.get(book.run_id, 0) + book.extracted
        return [
            ListedRun(
                run_id=item["name"],
                status=item["status"],
                started=item["startDate"],
                ended=item.get("stopDate"),
                rows=rows.get(item["name"], 0),
                undone=self._undone(item["name"]) if item["status"] == "FAILED" else None,
            )
            for item in sorted(answer["executions"], key=lambda item: item["startDate"], reverse=True)
        ]

    def _undone(self, run_id: str) -> str | None:
        run = self.describe(run_id)
        try:
            told = json.loads(run.cause or "")
        except ValueError:
            return run.error
        return str(told.get("Cause")) if run.error == IN_PART else run.error

    def stale(self) -> dict[str, str]:
        """Returns the gold tables that are stale, each with the reason."""
        return {table: why.cause for table, why in Holds(self.opened.ledger.bucket).tables().items()}

    def streams(self, source: str | None = None) -> list[StreamState]:
        """Returns how far every stream is and what stands in its way."""
        found = []
        held = Holds(self.opened.ledger.bucket).streams()
        for ledger in self.opened.streams(source):
            latest = ledger.latest()
            found.append(
                StreamState(
                    source=ledger.source,
                    stream=ledger.stream,
                    batch=latest.batch if latest else 0,
                    position=_short(latest) if latest else None,
                    in_silver=ledger.closed_up_to(),
                    halted=", ".join(str(manifest.batch) for manifest in self._halted(ledger)),
                    held=", ".join(
                        f"{stage} {why.error}"
                        for stage, why in held.get(f"{ledger.source}.{ledger.stream}", {}).items()
                    ),
                )
            )
        return found

    def _halted(self, ledger: StreamLedger) -> list[Manifest]:
        pending = ledger.since(ledger.closed_up_to())
        return [
            manifest
            for manifest in pending
            if (verdict := ledger.verdict(manifest.batch)) is not None
            and verdict.verdict == "halt"
            and ledger.decision(manifest.batch) is None
        ]

    def stream_ledger(self, stream: str) -> StreamLedger:
        """Opens the ledger of a stream written as `source.stream`."""
        source_name, _, name = stream.partition(".")
        source = self.project.source(source_name)
        if name not in source.streams:
            raise ConfigError(f"{stream!r} is no stream; known of {source_name}: {', '.join(source.streams)}")
        return self.opened.ledger.stream(source_name, name)

    def halted(self, stream: str) -> list[int]:
        """Lists the batches of a stream, written as `source.stream`, that wait for a decision."""
        return [manifest.batch for manifest in self._halted(self.stream_ledger(stream))]

    def decide(self, stream: str, batch: int, decision: Literal["release", "discard"], reason: str, by: str) -> None:
        """Releases or discards a halted batch, with a reason that is kept."""
        self.stream_ledger(stream).decide(
            Decision(batch=batch, decision=decision, reason=reason, by=by, at=datetime.now(UTC))
        )

    def replay(self, stream: str, batch: int) -> Manifest:
        """Offers the quarantined rows of a batch again, as a new batch, so that the policy of today judges them.

        They keep their place in the order of arrival: what has come later than they did stays as it is.
        """
        ledger = self.stream_ledger(stream)
        table = self.project.tables[self.project.source(ledger.source).streams[ledger.stream].table]
        if isinstance(table.write, ReplaceWrite):
            raise ConfigError(f"{stream}: write {table.write.kind} takes no old rows again. hint: backfill the window")
        latest = ledger.latest()
        if latest is None or batch > latest.batch:
            known = "none" if latest is None else f"1 to {latest.batch}"
            raise ConfigError(f"{stream}: batch {batch} does not exist; known: {known}")
        old, book = ledger.manifest(batch), ledger.book(batch)
        if old.replays is not None:
            raise ConfigError(f"{stream}: batch {batch} is a replay. hint: replay batch {old.replays} again")
        if book is None or not book.quarantined:
            raise ConfigError(
                f"{stream}: no rows of batch {batch} are in quarantine. hint: `headwater quarantine list` says of which there are"
            )
        replayed = old.model_copy(
            update={
                **_after(latest),
                "run_id": f"replay-of-{batch}",
                "mode": "backfill",
                "rows": book.quarantined,
                "replays": batch,
                "position_after": latest.position_after,
                "fields": latest.fields,
            }
        )
        ledger.commit(replayed)
        return replayed

    def forget_fields(self, stream: str, names: Sequence[str] = ()) -> Manifest:
        """Forgets fields of a stream's rows that nobody has declared, those that are named or all, by a batch without rows.

        A field that comes again is new again; bronze keeps the columns that it has. ConfigError for one that is not known, or is
        declared.
        """
        ledger = self.stream_ledger(stream)
        latest = ledger.latest()
        declared = self.project.source(ledger.source).streams[ledger.stream].raw_fields or ()
        known = [name for name in (latest.fields if latest else ()) if name not in declared]
        unknown = [name for name in names if name not in known]
        if latest is None or unknown or not known:
            said = f"no undeclared field {', '.join(unknown)}" if unknown else "no field but those that are declared"
            there = shortened(", ".join(known), _SHOWN) or "none"
            raise ConfigError(
                f"{stream}: {said} is known; there are: {there}. hint: what is declared leaves with its declaration"
            )
        forgotten = {*(names or known)}
        emptied = latest.model_copy(
            update={
                **_after(latest),
                "run_id": f"forget-fields-{_new_id()}",
                "mode": "incremental",
                "rows": 0,
                "replays": None,
                "slices": None if latest.slices is None else (),
                "window": None,
                "fields": {name: kind for name, kind in latest.fields.items() if name not in forgotten},
            }
        )
        ledger.commit(emptied)
        return emptied

    def rewind(self, source: str, job_run_id: str | None) -> dict[str, Any]:
        """Takes a source's bookmark back to before one of its job runs, or to its beginning."""
        self.project.source(source)
        job = f"{self.deployment.prefix}-{source}-extract"
        arguments = {"JobName": job} | ({"RunId": job_run_id} if job_run_id else {})
        glue: Any = boto3.client("glue")
        if job_run_id:
            _find_run(glue, job, job_run_id)
        entry: dict[str, Any] = glue.reset_job_bookmark(**arguments)["JobBookmarkEntry"]
        return entry

    def quarantined(self, table: str | None = None) -> list[Quarantined]:
        """Counts quarantined rows by table, batch and reason, from the books of the ledger."""
        counted = []
        for ledger in self.opened.streams():
            declared = self.project.source(ledger.source).streams[ledger.stream]
            if table not in (None, declared.table):
                continue
            for batch in range(1, ledger.closed_up_to() + 1):
                book = ledger.book(batch)
                for reason, rows in sorted(book.reasons.items()) if book else ():
                    counted.append(Quarantined(declared.table, ledger.source, ledger.stream, batch, reason, rows))
        return counted

    def query(self, engine: Engine, sql: str) -> Rows:
        """Runs one query in Athena or Redshift; QueryError when the engine refuses it."""
        return self._athena(sql) if engine == "athena" else self._redshift(sql)

    def _redshift(self, sql: str) -> Rows:
        return data_api.query(boto3.client("redshift-data"), self.project.environment.warehouse, sql)

    def _athena(self, sql: str) -> Rows:
        client: Any = boto3.client("athena")
        database = self.project.environment.database("gold")
        query = client.start_query_execution(
            QueryString=sql, QueryExecutionContext={"Database": database}, WorkGroup=self.deployment.prefix
        )["QueryExecutionId"]
        deadline = time.monotonic() + _ATHENA_SECONDS
        while True:
            answer = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            if answer["Status"]["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"}:
                break
            if time.monotonic() > deadline:
                raise QueryError(f"the query did not finish within {_ATHENA_SECONDS:.0f} s")
            time.sleep(_ATHENA_POLL_SECONDS)
        if answer["Status"]["State"] != "SUCCEEDED":
            raise QueryError(f"Athena refused: {answer['Status'].get('StateChangeReason', answer['Status']['State'])}")
        lines: list[tuple[str | None, ...]] = []
        for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
            lines += [tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in page["ResultSet"]["Rows"]]
        return Rows(tuple(str(name) for name in lines[0]), tuple(lines[1:])) if lines else Rows((), ())


def _find_run(glue: Any, job: str, job_run_id: str) -> None:
    try:
        glue.get_job_run(JobName=job, RunId=job_run_id)
    except glue.exceptions.EntityNotFoundException:
        newest = [run["Id"] for run in glue.get_job_runs(JobName=job, MaxResults=_NEWEST_RUNS)["JobRuns"]]
        raise ConfigError(f"{job} has no run {job_run_id!r}; the newest: {', '.join(newest) or 'none'}") from None


def _after(latest: Manifest) -> dict[str, Any]:
    """What the manifest of a batch says that a person makes after the latest one: it has taken nothing from the source."""
    return {
        "batch": latest.batch + 1,
        "attempt": secrets.token_hex(6),
        "created_at": datetime.now(UTC),
        "position_before": latest.position_after,
        "files": (),
        "drift": (),
        "beside": (),
        "left_out": 0,
        "taken": (),
        "set_aside": (),
        "reads": (),
    }


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _short(manifest: Manifest) -> str:
    position = manifest.position_after.model_dump(mode="json") if manifest.position_after else {}
    return ", ".join(f"{key} {value}" for key, value in position.items() if isinstance(value, str | int))


def run_input(
    sources: Sequence[str], start_from: str | None, backfill: tuple[date, date] | None, as_of: date | None
) -> dict[str, Any]:
    """Makes a run's input from what a person asked for."""
    asked: dict[str, Any] = {}
    if sources:
        asked["sources"] = list(sources)
    if start_from:
        asked["start_from"] = start_from
    if backfill:
        asked |= {"mode": "backfill", "window": {"from": str(backfill[0]), "to": str(backfill[1])}}
    if as_of:
        asked["as_of"] = str(as_of)
    return asked
