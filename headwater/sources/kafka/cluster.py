"""A Kafka cluster as its clients see it: sign-in, topics, and their first and last offsets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config.address import LOOPBACK
from headwater.config.kafka_source import Iam, Plaintext, Scram
from headwater.errors import FatalSourceError, RetriableSourceError, SourceError
from headwater.sources.kafka.offsets import Offsets, Slice, Topic


def client_options(where: str, security: Plaintext | Scram | Iam, secret: Mapping[str, str]) -> dict[str, str]:
    """Makes the options that every Kafka client needs; FatalSourceError names what the secret lacks."""
    options = {"bootstrap.servers": bootstrap_servers(where, security, secret)}
    match security:
        case Plaintext():
            return {**options, "security.protocol": "PLAINTEXT"}
        case Scram():
            who = " ".join(f'{name}="{_quoted(needed(where, secret, name))}"' for name in ("username", "password"))
            login = f"org.apache.kafka.common.security.scram.ScramLoginModule required {who};"
            options |= {"sasl.mechanism": security.mechanism}
        case Iam():
            login = "software.amazon.msk.auth.iam.IAMLoginModule required;"
            handler = "software.amazon.msk.auth.iam.IAMClientCallbackHandler"
            options |= {"sasl.mechanism": "AWS_MSK_IAM", "sasl.client.callback.handler.class": handler}
    trusted = {"ssl.endpoint.identification.algorithm": "https"}
    if certificate := secret.get("certificate"):
        trusted |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": certificate}
    return {**options, **trusted, "security.protocol": "SASL_SSL", "sasl.jaas.config": login}


def bootstrap_servers(where: str, security: Plaintext | Scram | Iam, secret: Mapping[str, str]) -> str:
    """Finds the brokers in a secret; FatalSourceError where they would be spoken to in the clear, and are not on this machine."""
    servers = needed(where, secret, "bootstrap_servers")
    hosts = {server.strip().rpartition(":")[0].strip("[]") for server in servers.split(",")}
    if isinstance(security, Plaintext) and not hosts <= LOOPBACK:
        raise FatalSourceError(
            f"{where}: security: plaintext is for brokers on this machine. hint: declare scram or iam, which go over TLS"
        )
    return servers


def needed(where: str, secret: Mapping[str, str], name: str) -> str:
    """Finds a value in a secret; FatalSourceError when it is not there."""
    if not secret.get(name):
        raise FatalSourceError(f"{where}: the secret has no {name!r}. hint: add it")
    return secret[name]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@dataclass(frozen=True)
class Admin:
    """Asks a cluster about its topics, through the Kafka client that Spark brings."""

    jvm: Any
    client: Any
    where: str

    def topic(self, name: str) -> Topic:
        """Looks at a topic; FatalSourceError when it does not exist."""
        names = self.jvm.java.util.ArrayList()
        names.add(name)
        description = self._answer(self.client.describeTopics(names).allTopicNames()).get(name)
        partitions = [int(info.partition()) for info in description.partitions()]
        spec = self.jvm.org.apache.kafka.clients.admin.OffsetSpec
        begins = self._offsets(name, dict.fromkeys(partitions, spec.earliest()))
        ends = self._offsets(name, dict.fromkeys(partitions, spec.latest()))
        return Topic(name, str(description.topicId().toString()), begins, ends)

    def offsets_at(self, topic: Topic, moment: datetime) -> Offsets:
        """Finds each partition's first record with this timestamp or a later one; its end where there is none."""
        at = self.jvm.org.apache.kafka.clients.admin.OffsetSpec.forTimestamp(int(moment.timestamp() * 1000))
        found = self._offsets(topic.name, dict.fromkeys(topic.begins, at))
        return {p: topic.ends[p] if offset < 0 else min(offset, topic.ends[p]) for p, offset in found.items()}

    def _offsets(self, name: str, specs: Mapping[int, Any]) -> Offsets:
        kafka = self.jvm.org.apache.kafka
        asked = self.jvm.java.util.HashMap()
        for partition, spec in specs.items():
            asked.put(kafka.common.TopicPartition(name, partition), spec)
        # Up to the last stable offset: what is still within a transaction has not happened yet.
        options = kafka.clients.admin.ListOffsetsOptions(kafka.common.IsolationLevel.READ_COMMITTED)
        answer = self._answer(self.client.listOffsets(asked, options).all())
        return {p: int(answer.get(kafka.common.TopicPartition(name, p)).offset()) for p in sorted(specs)}

    def _answer(self, future: Any) -> Any:
        try:
            return future.get()
        except Py4JJavaError as error:
            raise source_error(self.where, error.java_exception) from None


def source_error(where: str, thrown: Any) -> SourceError:
    """Classifies what the Kafka client has thrown as retriable or fatal; the message holds no secret."""
    cause = thrown.getCause() or thrown
    kind = str(cause.getClass().getSimpleName())
    said = f"{where}: {kind}: {cause.getMessage()}"
    if kind == "UnknownTopicOrPartitionException":
        return FatalSourceError(f"{said} hint: is the topic's name right, and may this client describe it?")
    if kind in {"TimeoutException", "DisconnectException"} or "Retriable" in str(cause.getClass().getSuperclass()):
        return RetriableSourceError(f"{said} hint: are the brokers up and in reach?")
    return FatalSourceError(f"{said} hint: look at the source's secret and at what its owner may read")


def spark_reads_by(spark: SparkSession, schema: str) -> bool:
    """True when Spark has a type for an Avro schema: without one, not a plan of it but the whole batch would fail."""
    jvm: Any = spark._jvm
    try:
        jvm.org.apache.spark.sql.avro.SchemaConverters.toSqlType(jvm.org.apache.avro.Schema.Parser().parse(schema))
    except Py4JJavaError:
        return False
    return True


@dataclass(frozen=True)
class Cluster:
    """A cluster and how to sign in to it."""

    spark: SparkSession
    where: str
    options: Mapping[str, str] = field(repr=False)

    @contextmanager
    def admin(self) -> Iterator[Admin]:
        """Opens an admin client for the length of the block."""
        jvm: Any = self.spark._jvm
        properties = jvm.java.util.Properties()
        for name, value in self.options.items():
            properties.setProperty(name, value)
        try:
            client = jvm.org.apache.kafka.clients.admin.AdminClient.create(properties)
        except Py4JJavaError as error:
            raise source_error(self.where, error.java_exception) from None
        try:
            yield Admin(jvm, client, self.where)
        finally:
            client.close()

    def records(self, topic: Topic, piece: Slice) -> DataFrame | None:
        """Reads the committed records of a slice, each with its time in `milliseconds`; None when it is empty."""
        partitions = sorted(p for p, end in piece.ends.items() if end > piece.begins[p])
        if not partitions:
            return None
        return (
            self.spark.read.format("kafka")
            .options(**{f"kafka.{name}": value for name, value in self.options.items()})
            .option("kafka.isolation.level", "read_committed")
            .option("assign", json.dumps({topic.name: partitions}))
            .option("startingOffsets", json.dumps({topic.name: {str(p): piece.begins[p] for p in partitions}}))
            .option("endingOffsets", json.dumps({topic.name: {str(p): piece.ends[p] for p in partitions}}))
            .option("failOnDataLoss", "true")
            .option("includeHeaders", "true")
            .load()
            .withColumn("milliseconds", F.unix_millis("timestamp"))
        )
