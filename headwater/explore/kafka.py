"""Explores a Kafka cluster and its schema registry. It joins no group, commits no offset and makes no topic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, TopicPartition

from headwater.config import KafkaSource, Retry
from headwater.config.kafka_source import Iam, Scram
from headwater.errors import FatalSourceError, SourceError
from headwater.explore.found import SECONDS, Field, Found, Sample
from headwater.explore.infer import fields_of, key_of, version_of
from headwater.explore.secret import Secret
from headwater.ledger.raw import Problem
from headwater.ledger.untrusted import read_json, read_object
from headwater.sources.kafka.cluster import bootstrap_servers, needed
from headwater.sources.kafka.offsets import FIRST_TIME, LAST_TIME, NO_TIME
from headwater.sources.kafka.registry import Registry, open_registry

_SAMPLED_RECORDS = 100
_FRAME_BYTES = 5
# Offsets at a partition's end that may be the broker's own marks of transactions, and no records.
_MARKS = 20
_RETRY = Retry(attempts=1, longest_wait_seconds=SECONDS, total_wait_seconds=SECONDS)


@dataclass(frozen=True)
class KafkaExplorer:
    """Explores one cluster."""

    source: KafkaSource
    secret: Secret
    consumer: Any

    def check(self, stream: str) -> str:
        """Looks at a topic, reads its newest record, and asks the registry where the topic is Avro."""
        declared = self.source.streams[stream]
        records = self._records(declared.topic, 1)
        said = f"topic {declared.topic} has {len(self._partitions(declared.topic))} partitions"
        if declared.format == "avro":
            with self._registry() as registry:
                fields = _avro_fields(self._newest_schema(registry, declared.topic))
            said += f"; its newest schema has {len(fields)} fields"
        return f"{said}{'' if records else '; no record'}"

    def find(self) -> Iterator[Found]:
        """Finds the cluster's topics, with the fields of their newest schema or of some of their records."""
        for topic in sorted(self._topics()):
            if not topic.startswith("_"):
                yield self._found(topic)

    def sample(self, stream: str, rows: int) -> Sample:
        """Reads some of the newest records of a topic."""
        declared = self.source.streams[stream]
        records = self._records(declared.topic, rows)
        schemas: dict[int, Mapping[str, Any] | Problem] = {}
        if declared.format == "avro":
            ids = {framed for record in records if (framed := _schema_id(record["value"])) is not None}
            with self._registry() as registry:
                schemas = {schema_id: registry.schema(schema_id) for schema_id in sorted(ids)}
        shown = [
            {name: record[name] for name in ("partition", "offset", "timestamp", "key", "value")} for record in records
        ]
        return Sample(shown, records=records, schemas=schemas)

    def _found(self, topic: str) -> Found:
        name = "".join(c if c.isalnum() else "_" for c in topic.lower())
        if self.secret.values.get("registry_url"):
            with self._registry() as registry:
                schema = self._newest_schema(registry, topic, required=False)
            if schema is not None:
                fields = _avro_fields(schema)
                declares = {"topic": topic, "format": "avro"}
                return Found(name, f"topic {topic}", fields, declares, key_of(fields, []), version_of(fields), raw=True)
        texts = [
            record["value"].decode("utf-8", "replace")
            for record in self._records(topic, _SAMPLED_RECORDS)
            if record["value"]
        ]
        rows = [row for row, problem in map(read_object, texts) if problem is None]
        fields = fields_of(rows)
        declares = {"topic": topic, "format": "json"}
        return Found(name, f"topic {topic}", fields, declares, key_of(fields, rows), version_of(fields), raw=True)

    def _topics(self) -> Mapping[str, Any]:
        with self._told():
            # All of them: to ask for one by name makes it, where a broker makes topics by itself.
            topics: Mapping[str, Any] = self.consumer.list_topics(timeout=SECONDS).topics
        return topics

    def _partitions(self, topic: str) -> list[int]:
        about = self._topics().get(topic)
        if about is None:
            visible = ", ".join(sorted(name for name in self._topics() if not name.startswith("_"))) or "none"
            raise FatalSourceError(f"no topic {topic}; known: {visible}. hint: may this user DESCRIBE it?")
        if about.error is not None:
            raise FatalSourceError(f"topic {topic}: {about.error.str()}. hint: allow READ and DESCRIBE of the topic")
        return sorted(about.partitions)

    def _records(self, topic: str, most: int) -> list[dict[str, Any]]:
        """Reads the newest records of each partition, some of them, within the bound of time."""
        ends = {}
        with self._told():
            for partition in self._partitions(topic):
                place = TopicPartition(topic, partition)
                low, high = self.consumer.get_watermark_offsets(place, timeout=SECONDS)
                if high > low:
                    ends[partition] = (max(low, high - most - _MARKS), high)
            self.consumer.assign([TopicPartition(topic, partition, begin) for partition, (begin, _) in ends.items()])
            found: list[dict[str, Any]] = []
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and not self._at_end(topic, ends):
                message = self.consumer.poll(0.2)
                if message is not None:
                    if message.error() is not None:
                        raise KafkaException(message.error())
                    found.append(_record(message))
            self.consumer.unassign()
        return found[-most:]

    def _at_end(self, topic: str, ends: Mapping[int, tuple[int, int]]) -> bool:
        places = self.consumer.position([TopicPartition(topic, partition) for partition in ends])
        return all(place.offset >= ends[place.partition][1] for place in places)

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        with open_registry(self.source.name, self.secret.values, _RETRY, SECONDS) as registry:
            yield registry

    def _newest_schema(self, registry: Registry, topic: str, *, required: bool = True) -> Mapping[str, Any] | None:
        try:
            answer = registry.client.get(f"/subjects/{quote(f'{topic}-value', safe='')}/versions/latest")
        except FatalSourceError as error:
            if "HTTP 404" not in str(error):
                raise
            if required:
                hint = "hint: is the topic JSON, or its subject named otherwise?"
                raise FatalSourceError(f"the registry has no subject {topic}-value. {hint}") from None
            return None
        if answer.get("schemaType", "AVRO") != "AVRO":
            return None
        schema: Mapping[str, Any] = read_json(answer["schema"])
        return schema

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise _refused(self.source, error) from None


@contextmanager
def open_kafka(source: KafkaSource, secret: Secret) -> Iterator[KafkaExplorer]:
    """Opens a consumer of no group's; FatalSourceError when the secret lacks something, or no broker answers."""
    settings = {
        "bootstrap.servers": bootstrap_servers(source.name, source.security, secret.values),
        # The client asks for a name. Nothing is committed under it, and no group is joined: partitions are assigned.
        "group.id": "headwater-explore",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "socket.timeout.ms": SECONDS * 1000,
        "log_level": 0,
        **_signed_in(source, secret),
    }
    with closing(Consumer(settings)) as consumer:
        explorer = KafkaExplorer(source, secret, consumer)
        yield explorer


def _signed_in(source: KafkaSource, secret: Secret) -> dict[str, Any]:
    if isinstance(source.security, Iam):
        raise FatalSourceError(
            f"{source.name}: security iam is the jobs' own role, which cannot be used from here. "
            "hint: check with an environment whose security is scram, or let a run of this source tell"
        )
    if not isinstance(source.security, Scram):
        return {"security.protocol": "PLAINTEXT"}
    return {
        "security.protocol": "SASL_SSL",
        **({"ssl.ca.pem": secret.values["certificate"]} if secret.values.get("certificate") else {}),
        "sasl.mechanism": source.security.mechanism,
        "sasl.username": needed(source.name, secret.values, "username"),
        "sasl.password": needed(source.name, secret.values, "password"),
    }


def _refused(source: KafkaSource, error: KafkaException) -> SourceError:
    told = error.args[0]
    hint = "hint: are the brokers up and in reach from here, and is the secret current?"
    return FatalSourceError(f"{source.name}: {told.str()} ({told.name()}). {hint}")


def _record(message: Any) -> dict[str, Any]:
    kind, milliseconds = message.timestamp()
    milliseconds = NO_TIME if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds
    return {
        "key": message.key(),
        "value": message.value(),
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "milliseconds": milliseconds,
        "timestamp": _moment(milliseconds),
        "headers": [{"key": name, "value": value} for name, value in message.headers() or ()],
    }


def _moment(milliseconds: int) -> datetime | int | None:
    """A record's time; the number that it is where it is none in milliseconds."""
    if milliseconds == NO_TIME:
        return None
    is_one = FIRST_TIME <= milliseconds <= LAST_TIME
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if is_one else milliseconds


def _schema_id(value: bytes | None) -> int | None:
    framed = value is not None and len(value) >= _FRAME_BYTES and value[0] == 0
    return int.from_bytes(value[1:_FRAME_BYTES], "big") if framed and value is not None else None


def _avro_fields(schema: Mapping[str, Any] | None) -> tuple[Field, ...]:
    if schema is None or schema.get("type") != "record":
        raise FatalSourceError("the newest schema is no Avro record, of which rows could be made")
    return tuple(Field(field["name"], _of_avro(field["type"])) for field in schema["fields"])


def _of_avro(kind: Any) -> str:
    """The Spark SQL type of an Avro type; what is nested is JSON text."""
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        return _of_avro(others[0]) if len(others) == 1 else "string"
    if isinstance(kind, Mapping):
        match kind.get("logicalType"):
            case "decimal":
                return f"decimal({kind['precision']},{kind.get('scale', 0)})"
            case "date":
                return "date"
            case "timestamp-millis" | "timestamp-micros":
                return "timestamp"
        return _of_avro(kind["type"]) if isinstance(kind["type"], str) else "string"
    known = {"int": "int", "long": "bigint", "float": "double", "double": "double", "boolean": "boolean"}
    return known.get(str(kind), "string")
