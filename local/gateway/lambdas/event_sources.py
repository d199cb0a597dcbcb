"""Event source mappings and pipes: what reads Kinesis streams and SQS queues and hands the records on, as AWS does.

moto invokes a function within the producer's own call, a record at a time, and neither tries again nor stops when the mapping is
switched off. Here one thread looks at every mapping and pipe, and a few others deliver.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import EventSourceMapping, LambdaBackend, LambdaFunction, lambda_backends
from moto.kinesis.models import Record, Shard, kinesis_backends
from moto.pipes.models import Pipe, pipes_backends
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from local.gateway.calls import Asked
from local.gateway.iam.authority import Authority
from local.gateway.lambdas.runtime import LambdaRuntime
from local.gateway.lambdas.shards import (
    ENVELOPE_BYTES,
    PAYLOAD_BYTES,
    Deliver,
    Reading,
    StreamReaders,
    kinesis_part,
    number_records_one_by_one,
    origin_part,
    queue_name,
)
from local.gateway.settings import GatewaySettings

_LOOK_SECONDS = 0.1
_MOST_DELIVERIES = 8
# AWS begins with five batches of a queue at once.
_QUEUE_BATCHES_AT_ONCE = 2
_REPORTS_ITEMS = "ReportBatchItemFailures"


class EventSources:
    """Every mapping and every pipe at work."""

    def __init__(self, settings: GatewaySettings, runtime: LambdaRuntime, authority: Authority) -> None:
        self._settings = settings
        self._runtime = runtime
        self._authority = authority
        self._lock = threading.Lock()
        self._batches: Counter[str] = Counter()
        self._seen_at: dict[str, float] = {}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(_MOST_DELIVERIES, thread_name_prefix="event-source")
        self._streams = StreamReaders(settings, lambda: self._sqs, self._pool)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops reading; deliveries that have begun are not waited for."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _functions(self) -> LambdaBackend:
        return lambda_backends[self._settings.account_id][self._settings.region]

    @property
    def _sqs(self) -> SQSBackend:
        return sqs_backends[self._settings.account_id][self._settings.region]

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            for mapping in list(self._functions._event_source_mappings.values()):
                function = self._function(mapping)
                if not mapping.enabled or function is None:
                    continue
                if ":kinesis:" in mapping.event_source_arn:
                    self._streams.look(Reading.of_mapping(mapping), self._to_function(function, mapping))
                elif ":sqs:" in mapping.event_source_arn:
                    self._read_queue(mapping, function)
            for pipe in list(pipes_backends[self._settings.account_id][self._settings.region].pipes.values()):
                if pipe.desired_state == "RUNNING":
                    self._streams.look(Reading.of_pipe(pipe), self._to_queue(pipe))

    def _function(self, mapping: EventSourceMapping) -> LambdaFunction | None:
        # A mapping outlives its function.
        return self._functions._lambdas.get_arn(mapping.function_arn)

    def _to_function(self, function: LambdaFunction, mapping: EventSourceMapping) -> Deliver:
        def deliver(shard: Shard, records: Sequence[Record]) -> frozenset[str]:
            origin = mapping.event_source_arn
            rendered = [
                {"kinesis": kinesis_part(record), **origin_part(self._settings, origin, shard, record)}
                for record in records
            ]
            names = frozenset(str(record.sequence_number) for record in records)
            return self._invoke(function, mapping, rendered, names)

        return deliver

    def _to_queue(self, pipe: Pipe) -> Deliver:
        asked = (Asked("kinesis:GetRecords", pipe.source), Asked("sqs:SendMessage", pipe.target))

        def deliver(shard: Shard, records: Sequence[Record]) -> frozenset[str]:
            if not self._authority.allows_role(str(pipe.role_arn), "pipes.amazonaws.com", *asked):
                return frozenset({str(records[0].sequence_number)})
            for record in records:
                body = {**kinesis_part(record), **origin_part(self._settings, pipe.source, shard, record)}
                try:
                    self._sqs.send_message(queue_name(pipe.target), json.dumps(body))
                except Exception:  # noqa: BLE001 - too large, or no such queue: the pipe goes on from here
                    return frozenset({str(record.sequence_number)})
            return frozenset()

        return deliver

    def _invoke(
        self,
        function: LambdaFunction,
        mapping: EventSourceMapping,
        records: Sequence[dict[str, Any]],
        names: frozenset[str],
    ) -> frozenset[str]:
        if not self._polls(
            function, mapping, "GetRecords" if ":kinesis:" in mapping.event_source_arn else "ReceiveMessage"
        ):
            return names
        payload, failed, _ = self._runtime.invoke(function, {"Records": records})
        if failed:
            return names
        return reported(payload, names) if _REPORTS_ITEMS in (mapping.function_response_types or []) else frozenset()

    def _polls(self, function: LambdaFunction, mapping: EventSourceMapping, action: str) -> bool:
        # The poller uses the function's own role.
        origin = mapping.event_source_arn
        asked = Asked(f"{origin.split(':')[2]}:{action}", origin)
        return self._authority.allows_role(str(function.role), "lambda.amazonaws.com", asked)

    def _read_queue(self, mapping: EventSourceMapping, function: LambdaFunction) -> None:
        queue = self._sqs.queues.get(queue_name(mapping.event_source_arn))
        with self._lock:
            if queue is None or self._batches[mapping.uuid] >= _QUEUE_BATCHES_AT_ONCE:
                return
        visible = len(queue.messages)
        if not visible:
            self._seen_at.pop(mapping.uuid, None)
            return
        since = self._seen_at.setdefault(mapping.uuid, time.monotonic())
        if visible < mapping.batch_size and time.monotonic() - since < float(mapping.max_batch_window or 0):
            return
        self._seen_at.pop(mapping.uuid, None)
        # Receiving is also what moves messages that were received too often to the dead-letter queue.
        hidden_for = int(str(queue.visibility_timeout))
        for batch in _by_size(self._sqs.receive_message(queue.name, mapping.batch_size, 0, hidden_for)):
            with self._lock:
                self._batches[mapping.uuid] += 1
            self._pool.submit(self._deliver, mapping, function, queue, batch)

    def _deliver(
        self, mapping: EventSourceMapping, function: LambdaFunction, queue: Queue, messages: Sequence[Message]
    ) -> None:
        try:
            rendered = [self._message(queue, message) for message in messages]
            failed = self._invoke(function, mapping, rendered, frozenset(message.id for message in messages))
            for message in messages:
                # What failed shows again after the queue's visibility timeout.
                if message.id not in failed and self._polls(function, mapping, "DeleteMessage"):
                    self._sqs.delete_message(queue.name, str(message.receipt_handle))
        finally:
            with self._lock:
                self._batches[mapping.uuid] -= 1

    def _message(self, queue: Queue, message: Message) -> dict[str, Any]:
        return {
            "messageId": message.id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.approximate_receive_count),
                "SentTimestamp": str(message.sent_timestamp),
                "SenderId": message.sender_id,
                "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
            },
            "messageAttributes": {},
            "md5OfBody": message.body_md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": queue.queue_arn,
            "awsRegion": self._settings.region,
        }


def reported(payload: bytes, names: frozenset[str]) -> frozenset[str]:
    """Reads a partial batch response; one that names what was not in the batch counts as a failure of all, as on AWS."""
    answer = json.loads(payload)
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    found = [item.get("itemIdentifier") for item in items or []]
    return frozenset(found) if all(name in names for name in found) else names


def _by_size(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.body.encode()) + ENVELOPE_BYTES
        if batch and size + length > PAYLOAD_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


def install(settings: GatewaySettings, runtime: LambdaRuntime, authority: Authority) -> EventSources:
    """Replaces moto's mappings and pipes by real ones."""
    number_records_one_by_one()
    create = LambdaBackend.create_event_source_mapping

    def create_event_source_mapping(self: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
        function = self.get_function(spec["FunctionName"])
        arn = str(spec.get("EventSourceArn"))
        queue = sqs_backends[self.account_id][self.region_name].queues.get(queue_name(arn))
        if queue is not None and int(str(queue.visibility_timeout)) < int(function.timeout):
            raise InvalidParameterValueException(
                f"Queue visibility timeout: {queue.visibility_timeout} seconds is less than "
                f"Function timeout: {function.timeout} seconds"
            )
        mapping = create(self, spec)
        if ":function:" in spec["FunctionName"]:
            # moto reads a function for good where an alias was meant, whatever version that will be.
            mapping.function_arn = spec["FunctionName"]
        # moto calls the functions that are registered here from within the producer's request.
        if queue is not None:
            queue.lambda_event_source_mappings.clear()
        for stream in kinesis_backends[self.account_id][self.region_name].streams.values():
            stream.lambda_event_source_mappings.clear()
        return mapping

    LambdaBackend.create_event_source_mapping = create_event_source_mapping
    return EventSources(settings, runtime, authority)
