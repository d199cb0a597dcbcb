"""The entrances of records, events, files and questions, derived from what is declared: streams, queues, pipes, mappings, the rule
for dropped files, and an API each for pushed events and for queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater.config import (
    DropEntrance,
    FilesSource,
    HttpEntrance,
    KinesisSource,
    KinesisStream,
    Project,
    QueueDelivery,
)
from headwater.config.environment import QueryApi

# Six times what the functions may take, as SQS advises: a message must stay invisible while it is worked on.
_VISIBILITY_SECONDS = 720
_QUEUE_DAYS = 4
_DROPS_RECEIVED_AT_MOST = 5
_DROPS_AT_ONCE = 1000
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class RecordStreamSpec:
    """One Kinesis stream."""

    name: str
    arn: str
    retention_hours: int


@dataclass(frozen=True)
class QueueSpec:
    """One SQS queue whose messages go to the dead letters after `max_receive_count` tries."""

    name: str
    arn: str
    visibility_seconds: int
    retention_seconds: int
    max_receive_count: int


@dataclass(frozen=True)
class MappingSpec:
    """One event source mapping: what a Lambda function reads, and its batch size."""

    function: str
    source_arn: str
    batch_size: int
    window_seconds: int

    @property
    def reads_shards(self) -> bool:
        """True for a Kinesis stream, False for a queue."""
        return ":kinesis:" in self.source_arn


@dataclass(frozen=True)
class PipeSpec:
    """One EventBridge pipe from a Kinesis stream to a queue."""

    name: str
    stream_arn: str
    queue_arn: str


@dataclass(frozen=True)
class DropRuleSpec:
    """The EventBridge rule that sends events of new files to a queue."""

    name: str
    pattern: dict[str, Any]
    queue_arn: str


@dataclass(frozen=True)
class ApiSpec:
    """One HTTP API, of one route, and what its calls are within its ARN."""

    name: str
    description: str
    route: str
    calls: str
    function: str
    calls_per_second: int
    burst: int
    timeout_seconds: int


@dataclass(frozen=True)
class Entrances:
    """Every entrance of one environment."""

    project: Project

    @property
    def dead_letters(self) -> str:
        """Name of the dead-letter queue."""
        return f"{self._prefix}-dead-letters"

    @property
    def dead_letters_arn(self) -> str:
        """ARN of the dead-letter queue."""
        return self._arn("sqs", self.dead_letters)

    def folders(self) -> list[str]:
        """Lists the Lambda functions behind the entrances."""
        folders = []
        if self._received():
            folders.append("receive_records")
        if self._pushed():
            folders.append("receive_event")
        if self._dropped():
            folders.append("start_on_drop")
        if self._query_api:
            folders.append("answer_query")
        return folders

    def received(self) -> list[tuple[str, str]]:
        """Lists (source, stream) of the streams whose records a Lambda receives."""
        return [(source, stream) for source, stream, _ in self._received()]

    def record_stream(self, source: str, stream: str) -> RecordStreamSpec:
        """Names the Kinesis stream of one stream."""
        [found] = [declared for name, key, declared in self._received() if (name, key) == (source, stream)]
        name = self.project.environment.record_stream(source, stream)
        return RecordStreamSpec(name, self._arn("kinesis", f"stream/{name}"), found.retention_hours)

    def record_streams(self) -> list[RecordStreamSpec]:
        """Lists the Kinesis streams."""
        return [self.record_stream(source, stream) for source, stream, _ in self._received()]

    def queues(self) -> list[QueueSpec]:
        """Lists the queues: one for each stream that is delivered by queue, and one for events of dropped files."""
        specs = [
            self._queue(self.project.environment.record_stream(source, stream), declared.delivery.max_receive_count)
            for source, stream, declared in self._received()
            if isinstance(declared.delivery, QueueDelivery)
        ]
        return [*specs, *([self._queue(self.drops, _DROPS_RECEIVED_AT_MOST)] if self._dropped() else [])]

    def pipes(self) -> list[PipeSpec]:
        """Lists the pipes: one for each stream that is delivered by queue."""
        return [
            PipeSpec(spec.name, spec.arn, self._arn("sqs", spec.name))
            for source, stream, declared in self._received()
            if isinstance(declared.delivery, QueueDelivery)
            for spec in [self.record_stream(source, stream)]
        ]

    def mappings(self) -> list[MappingSpec]:
        """Lists the event source mappings of the functions."""
        specs = []
        for source, stream, declared in self._received():
            spec = self.record_stream(source, stream)
            queued = isinstance(declared.delivery, QueueDelivery)
            specs.append(
                MappingSpec(
                    function=f"{self._prefix}-receive_records",
                    source_arn=self._arn("sqs", spec.name) if queued else spec.arn,
                    batch_size=declared.delivery.batch_size,
                    window_seconds=declared.delivery.window_seconds,
                )
            )
        if self._dropped():
            # A hundred files that are dropped together start one run.
            seconds = min(
                source.entrance.window_seconds
                for source in self._dropped()
                if isinstance(source.entrance, DropEntrance)
            )
            arn = self._arn("sqs", self.drops)
            specs.append(MappingSpec(f"{self._prefix}-start_on_drop", arn, _DROPS_AT_ONCE, seconds))
        return specs

    @property
    def drops(self) -> str:
        """Name of the rule for dropped files, and of its queue."""
        return f"{self._prefix}-drops"

    def drop_rules(self) -> list[DropRuleSpec]:
        """Lists the rule for new files below the prefixes that partners write to; none where there are none."""
        prefixes = sorted(stream.prefix for source in self._dropped() for stream in source.streams.values())
        if not prefixes:
            return []
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [self.project.environment.bucket("landing")]},
                "object": {"key": [{"prefix": prefix} for prefix in prefixes]},
            },
        }
        return [DropRuleSpec(self.drops, pattern, self._arn("sqs", self.drops))]

    def apis(self) -> list[ApiSpec]:
        """Lists the API for pushed events, where a source takes them, and the query API, where there is one."""
        entrances = [source.entrance for source in self._pushed() if isinstance(source.entrance, HttpEntrance)]
        found = []
        if entrances:
            found.append(
                ApiSpec(
                    name=self.events_api,
                    description="Takes pushed events in.",
                    route="POST /events/{source}/{stream}",
                    calls="POST/events/*",
                    function=f"{self._prefix}-receive_event",
                    calls_per_second=sum(entrance.calls_per_second for entrance in entrances),
                    burst=sum(entrance.burst for entrance in entrances),
                    timeout_seconds=10,
                )
            )
        if api := self._query_api:
            found.append(
                ApiSpec(
                    name=self.query_api,
                    description="Answers queries of gold.",
                    route="ANY /queries/{query}",
                    calls="*/queries/*",
                    function=f"{self._prefix}-answer_query",
                    calls_per_second=api.calls_per_second,
                    burst=api.burst,
                    # The most that API Gateway waits.
                    timeout_seconds=30,
                )
            )
        return found

    @property
    def events_api(self) -> str:
        """Name of the API for pushed events."""
        return f"{self._prefix}-events"

    @property
    def query_api(self) -> str:
        """Name of the query API."""
        return f"{self._prefix}-queries"

    @property
    def query_secret(self) -> str | None:
        """Secrets Manager name of the consumers' keys; None where there is no query API."""
        return f"{self._prefix}/{QueryApi.secret}" if self._query_api else None

    @property
    def _query_api(self) -> QueryApi | None:
        """The query API, where there is something to answer."""
        return self.project.environment.query_api if self.project.queries else None

    @property
    def landing(self) -> bool:
        """True when there is a landing bucket."""
        return bool(self._dropped() or self._pushed())

    @property
    def pushed_secrets(self) -> list[str]:
        """Secrets Manager names of the senders' keys."""
        return [f"{self._prefix}/{source.secret}" for source in self._pushed()]

    @property
    def _prefix(self) -> str:
        return self.project.environment.prefix

    def _arn(self, service: str, name: str) -> str:
        return self.project.environment.arn(service, name)

    def _queue(self, name: str, max_receive_count: int) -> QueueSpec:
        seconds = _QUEUE_DAYS * _DAY_SECONDS
        return QueueSpec(name, self._arn("sqs", name), _VISIBILITY_SECONDS, seconds, max_receive_count)

    def _received(self) -> list[tuple[str, str, KinesisStream]]:
        return [
            (name, stream, declared)
            for name in self.project.sources
            for source in [self.project.source(name)]
            if isinstance(source, KinesisSource)
            for stream, declared in source.streams.items()
        ]

    def _files(self) -> list[FilesSource]:
        declared = [self.project.source(name) for name in self.project.sources]
        return [source for source in declared if isinstance(source, FilesSource)]

    def _pushed(self) -> list[FilesSource]:
        return [source for source in self._files() if isinstance(source.entrance, HttpEntrance)]

    def _dropped(self) -> list[FilesSource]:
        return [source for source in self._files() if not isinstance(source.entrance, HttpEntrance)]
