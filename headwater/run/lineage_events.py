"""What a run did, as OpenLineage events: a job for each stage of a stream or table, with schemas, counts, checks and column lineage.

A dataset's name is a table's place in the lake or in the warehouse; a source is the namespace `headwater://<prefix>/<source>`, and its
datasets are its streams. Only the package of the Lambda that audits has this module, and the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attr
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    set_producer,
)
from openlineage.client.facet_v2 import (
    DatasetFacet,
    RunFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    documentation_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
)
from openlineage.client.serde import Serde
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
from openlineage.client.uuid import generate_static_uuid
from requests import Session

from headwater.config import Project
from headwater.config.environment import LineageReceiver
from headwater.ledger.entries import StageRun
from headwater.run.stages import Told

PRODUCER = "urn:headwater"
PIPELINE = "pipeline"
set_producer(PRODUCER)

Facets = dict[str, DatasetFacet]


@attr.define
class RowsRunFacet(RunFacet):
    """The rows that a job run has read, written and refused, with the reasons."""

    read: int
    inserted: int
    changed: int
    deleted: int
    rejected: int
    reasons: dict[str, int]

    @staticmethod
    def _get_schema() -> str:
        return f"{PRODUCER}:rows"


def events_of(project: Project, run: Told, stage_runs: Iterable[StageRun]) -> list[RunEvent]:
    """Makes the events of a run: its own first and last, and between them two for each stage run that did something."""
    environment = project.environment
    job = Job(environment.prefix, PIPELINE, {"jobType": _type("JOB")})
    own = Run(_run(run.started_at, run.run_id))
    facets: dict[str, RunFacet] = {} if run.error is None else {"errorMessage": _error(run.error)}
    ended = Run(own.runId, facets)
    within = [event for one in stage_runs if one.did_something for event in _StageEvents(project, one, own).events()]
    return [
        RunEvent(eventTime=_time(run.started_at), eventType=RunState.START, run=own, job=job),
        *within,
        RunEvent(
            eventTime=_time(run.ended_at),
            eventType=RunState.COMPLETE if run.error is None else RunState.FAIL,
            run=ended,
            job=job,
        ),
    ]


def as_lines(events: Iterable[RunEvent]) -> str:
    """Writes events as JSON, one a line."""
    return "\n".join(Serde.to_json(event) for event in events)


def receiver(to: LineageReceiver, api_key: str | None) -> Callable[[RunEvent], object]:
    """Opens a receiver, by the client's own transport; each event is tried once."""
    session = Session()
    # Neither a proxy nor ~/.netrc, which would take the place of the key.
    session.trust_env = False
    return HttpTransport(
        HttpConfig(
            url=to.url.rstrip("/") + "/",
            endpoint=to.endpoint,
            timeout=to.timeout_seconds,
            auth=ApiKeyTokenProvider({"api_key": api_key}) if api_key else TokenProvider({}),
            retry={"total": 0},
            session=session,
        )
    ).emit


class _StageEvents:
    """The events of one stage run."""

    def __init__(self, project: Project, stage_run: StageRun, parent: Run) -> None:
        self._project = project
        self._stage_run = stage_run
        self._parent = parent

    def events(self) -> Iterator[RunEvent]:
        """Its beginning and its end."""
        one = self._stage_run
        prefix = self._project.environment.prefix
        of = one.table or f"{one.source}.{one.stream}"
        job = Job(prefix, f"{one.stage.lower()}.{of}", {"jobType": _type("JOB")})
        parent = parent_run.ParentRunFacet(parent_run.Run(self._parent.runId), parent_run.Job(prefix, PIPELINE))
        run_id = _run(one.started_at, f"{one.run_id}/{one.job_run_id}/{one.stage}/{of}")
        rows = RowsRunFacet(
            one.rows_read,
            one.rows_inserted,
            one.rows_changed,
            one.rows_deleted,
            one.rows_rejected,
            dict(one.rejected),
        )
        facets: dict[str, RunFacet] = {"parent": parent, "headwater_rows": rows}
        if not one.succeeded:
            facets["errorMessage"] = _error("\n".join(one.messages))
        inputs, outputs = self._datasets()
        yield RunEvent(
            eventTime=_time(one.started_at), eventType=RunState.START, run=Run(run_id, {"parent": parent}), job=job
        )
        yield RunEvent(
            eventTime=_time(one.ended_at),
            eventType=RunState.COMPLETE if one.succeeded else RunState.FAIL,
            run=Run(run_id, facets),
            job=job,
            inputs=inputs,
            outputs=outputs,
        )

    def _datasets(self) -> tuple[list[InputDataset], list[OutputDataset]]:
        match self._stage_run:
            case StageRun(stage="Extract", source=str(source), stream=str(stream)):
                fields = self._fields(source, stream)
                lineage = {field: [(self._source(source, stream), field)] for field in fields}
                bronze = self._bronze(source, stream)
                return [self._input(self._source(source, stream))], [self._output(bronze, _columns(lineage))]
            case StageRun(stage="Check", source=str(source), stream=str(stream)):
                return [self._checked(self._bronze(source, stream))], []
            case StageRun(stage="Silver", source=str(source), stream=str(stream)):
                return self._silver(source, stream)
            case StageRun(stage="Gold", table=str(table)) if table in self._project.gold:
                return self._gold(table)
            case StageRun(stage="Load", table=str(table)) if table in self._project.gold:
                same = {column: [(self._lake("gold", table), column)] for column in self._project.gold[table].columns}
                facets = self._gold_facets(table) | _columns(same)
                return [self._input(self._lake("gold", table))], [self._output(self._warehouse(table), facets)]
        return [], []

    def _silver(self, source: str, stream: str) -> tuple[list[InputDataset], list[OutputDataset]]:
        declared = self._project.sources.get(source)
        if declared is None or stream not in declared.streams:
            return [], []
        table = self._project.tables[declared.streams[stream].table]
        bronze = self._bronze(source, stream)
        # Of all streams that feed the table: whoever reads events keeps the last of what they say of a table.
        lineage = {
            column: [self._bronze_column(origin) for origin in origins]
            for column, origins in self._project.lineage.silver.get(table.table, {}).items()
        }
        facets: Facets = {
            "schema": _schema((name, table.types[name], column.note) for name, column in table.columns.items()),
            "documentation": documentation_dataset.DocumentationDatasetFacet(table.note),
            "ownership": _owner(table.owner),
        }
        outputs = [self._output(self._lake("silver", table.table), facets | _columns(lineage))]
        if rejected := self._stage_run.rows_rejected:
            quarantine = self._lake("quarantine", table.table)
            outputs.append(OutputDataset(*quarantine, outputFacets={"outputStatistics": _written(rejected)}))
        return [self._input(bronze)], outputs

    def _gold(self, table: str) -> tuple[list[InputDataset], list[OutputDataset]]:
        found = self._project.lineage
        lineage = {
            column: [self._silver_column(origin) for origin in origins]
            for column, origins in found.gold.get(table, {}).items()
        }
        deciding = [self._silver_column(origin) for origin in found.rows.get(f"gold.{table}", ())]
        inputs = [InputDataset(*self._lake("silver", name)) for name in self._project.gold[table].inputs]
        facets = self._gold_facets(table) | _columns(lineage, deciding)
        return inputs, [self._output(self._lake("gold", table), facets)]

    def _gold_facets(self, table: str) -> Facets:
        declared = self._project.gold[table]
        return {
            "schema": _schema((name, column.type, column.note) for name, column in declared.columns.items()),
            "documentation": documentation_dataset.DocumentationDatasetFacet(declared.purpose),
            "ownership": _owner(declared.owner),
        }

    def _silver_column(self, name: str) -> tuple[tuple[str, str], str]:
        _, table, column = name.split(".")
        return self._lake("silver", table), column

    def _bronze_column(self, name: str) -> tuple[tuple[str, str], str]:
        source, stream, field = name.split(".", 2)
        return self._bronze(source, stream), field

    def _fields(self, source: str, stream: str) -> list[str]:
        """The fields of a stream that silver is made of: what else it has is in bronze, and goes nowhere."""
        named = f"{source}.{stream}."
        origins = (
            origin
            for columns in self._project.lineage.silver.values()
            for origins in columns.values()
            for origin in origins
        )
        return sorted({origin.removeprefix(named) for origin in origins if origin.startswith(named)})

    def _checked(self, dataset: tuple[str, str]) -> InputDataset:
        assertions = [
            data_quality_assertions_dataset.Assertion(
                check.check,
                check.passed,
                severity="error" if check.level in {"halt", "block"} else "warn",
                actual=None if check.failed_rows is None else str(check.failed_rows),
                description=check.message or None,
            )
            for check in self._stage_run.checks
        ]
        facets: dict[str, Any] = {"inputStatistics": _read(self._stage_run.rows_read)}
        if assertions:
            facets["dataQualityAssertions"] = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions
            )
        return InputDataset(*dataset, inputFacets=facets)

    def _input(self, dataset: tuple[str, str]) -> InputDataset:
        return InputDataset(*dataset, inputFacets={"inputStatistics": _read(self._stage_run.rows_read)})

    def _output(self, dataset: tuple[str, str], facets: Facets) -> OutputDataset:
        written = self._stage_run.rows_inserted + self._stage_run.rows_changed
        return OutputDataset(*dataset, facets=facets, outputFacets={"outputStatistics": _written(written)})

    def _source(self, source: str, stream: str) -> tuple[str, str]:
        return f"headwater://{self._project.environment.prefix}/{source}", stream

    def _bronze(self, source: str, stream: str) -> tuple[str, str]:
        return self._lake("bronze", f"{source}/{stream}")

    def _lake(self, zone: str, table: str) -> tuple[str, str]:
        return f"s3://{self._project.environment.bucket('lake')}", f"{zone}/{table}"

    def _warehouse(self, table: str) -> tuple[str, str]:
        environment = self._project.environment
        warehouse = environment.warehouse
        host = f"{warehouse.workgroup}.{environment.account}.{environment.region}.redshift-serverless.amazonaws.com"
        return f"redshift://{host}:5439", f"{warehouse.database}.analytics.{table}"


def _columns(
    lineage: Mapping[str, Iterable[tuple[tuple[str, str], str]]],
    deciding: Iterable[tuple[tuple[str, str], str]] = (),
) -> Facets:
    """Of which columns each column is made, and which decide the rows."""
    made: Callable[..., column_lineage_dataset.InputField] = column_lineage_dataset.InputField
    indirect = [column_lineage_dataset.Transformation("INDIRECT", "CONDITIONAL")]
    fields = {
        column: column_lineage_dataset.Fields([made(*dataset, field) for dataset, field in origins])
        for column, origins in lineage.items()
    }
    rows = [made(*dataset, field, indirect) for dataset, field in deciding]
    return {"columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields, rows)}


def _schema(columns: Iterable[tuple[str, str, str | None]]) -> schema_dataset.SchemaDatasetFacet:
    return schema_dataset.SchemaDatasetFacet(
        [schema_dataset.SchemaDatasetFacetFields(name, type_, note) for name, type_, note in columns]
    )


def _owner(name: str) -> ownership_dataset.OwnershipDatasetFacet:
    return ownership_dataset.OwnershipDatasetFacet([ownership_dataset.Owner(f"team:{name}", "OWNER")])


def _read(rows: int) -> input_statistics_input_dataset.InputStatisticsInputDatasetFacet:
    return input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=rows)


def _written(rows: int) -> output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet:
    return output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)


def _type(kind: str) -> job_type_job.JobTypeJobFacet:
    return job_type_job.JobTypeJobFacet("BATCH", "HEADWATER", kind)


def _error(message: str) -> error_message_run.ErrorMessageRunFacet:
    return error_message_run.ErrorMessageRunFacet(message, "PYTHON")


def _run(started: datetime, name: str) -> str:
    """The same id whenever the same run is told of."""
    return str(generate_static_uuid(started, name.encode()))


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
