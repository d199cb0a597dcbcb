"""A Kafka broker of one node without ZooKeeper, and the shop's producers, which send what the world has for them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import requests
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headwater.config.kafka_source import Plaintext
from headwater.errors import HeadwaterError
from local import java
from local.counterparts.counterpart import Counterpart, Place
from local.jars import KAFKA, class_path
from local.postgres import free_port
from local.processes import Program
from local.simulators.registry import PASSWORD, USERNAME, SchemaRegistry
from local.world.kafka import EVENTS, ORDERS, SCHEMAS

TOPICS: Mapping[str, int] = {EVENTS: 3, ORDERS: 2}
"""Topics and their partitions."""

_HOST = "127.0.0.1"
_SEND_SECONDS = 60.0
_JAVA = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


@dataclass(frozen=True)
class Broker:
    """One broker that is its own controller, with its data and its log in a folder; it outlives who started it."""

    home: Path
    port: int
    controller_port: int

    @property
    def address(self) -> str:
        """Its bootstrap address."""
        return f"{_HOST}:{self.port}"

    def start(self) -> None:
        """Starts it unless it runs, and waits until it answers; HeadwaterError when it does not."""
        if self.answers():
            return
        self.home.mkdir(parents=True, exist_ok=True)
        program = [
            str(java.program()),
            *_JAVA,
            f"-Dlog4j.configuration=file:{self._logging()}",
            "-cp",
            self._class_path(),
        ]
        properties = self._properties()
        if not (self.home / "data" / "meta.properties").exists():
            cluster = uuid.uuid5(uuid.NAMESPACE_URL, str(self.home)).hex[:22]
            tool = [*program, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
            done = subprocess.run(tool, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise HeadwaterError(f"{self.home}: Kafka's storage cannot be made: {done.stdout}{done.stderr}")
        self._program.start([*program, "kafka.Kafka", str(properties)], self.answers)

    def stop(self) -> None:
        """Stops the broker of this folder, whoever started it."""
        self._program.stop()

    def answers(self) -> bool:
        """True when it can be asked for its topics."""
        try:
            self.admin().list_topics(timeout=1)
        except KafkaException:
            return False
        return True

    def admin(self) -> AdminClient:
        """Opens an admin client, which does not log attempts to connect."""
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def make_topic(self, name: str, partitions: int, **settings: str) -> None:
        """Makes a topic unless it exists; HeadwaterError when the broker refuses."""
        admin = self.admin()
        if name in admin.list_topics(timeout=_SEND_SECONDS).topics:
            return
        made = admin.create_topics([NewTopic(name, partitions, 1, config=settings)])
        try:
            made[name].result(timeout=_SEND_SECONDS)
        except KafkaException as error:
            raise HeadwaterError(f"topic {name} cannot be made: {error}") from None

    @contextmanager
    def transaction(self, producer_id: str) -> Iterator[Producer]:
        """Sends what the block produces all or not at all."""
        producer = Producer(
            {
                "bootstrap.servers": self.address,
                "transactional.id": producer_id,
                # The partitioner of the Java client: a key is where every other producer would put it.
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )
        producer.init_transactions(_SEND_SECONDS)
        producer.begin_transaction()
        try:
            yield producer
        except BaseException:
            producer.abort_transaction(_SEND_SECONDS)
            raise
        producer.commit_transaction(_SEND_SECONDS)

    @property
    def _program(self) -> Program:
        return Program("broker", self.home)

    def _class_path(self) -> str:
        return os.pathsep.join(str(jar) for jar in class_path(KAFKA))

    def _properties(self) -> Path:
        listeners = f"PLAINTEXT://{self.address},CONTROLLER://{_HOST}:{self.controller_port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{_HOST}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": listeners,
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str(self.home / "data"),
            "auto.create.topics.enable": "false",
            # The world's records are years old, by their timestamps: any age limit would delete them at once.
            "log.retention.ms": "-1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Half of the heap, by default.
            "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "2",
            "background.threads": "2",
        }
        path = self.home / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return path

    def _logging(self) -> Path:
        path = self.home / "log4j.properties"
        path.write_text(
            "log4j.rootLogger=WARN, stdout\n"
            "log4j.appender.stdout=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.stdout.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.stdout.layout.ConversionPattern=%d %p %c{1} %m%n\n"
        )
        return path


class Kafka(Counterpart):
    """The counterpart of source `kafka`."""

    source = "kafka"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        home = place.home / "kafka"
        self.broker = Broker(home, _port(home, "kafka"), _port(home, "kafka_controller"))
        self._registry_url = f"{place.simulators_url}{SchemaRegistry.mount}"

    def start(self) -> None:
        """Starts the broker and makes the topics."""
        self.broker.start()
        for topic, partitions in TOPICS.items():
            self.broker.make_topic(topic, partitions)

    def stop(self) -> None:
        """Stops the broker."""
        self.broker.stop()

    def endpoints(self) -> Mapping[str, str]:
        """Lists the broker and the schema registry."""
        return {"kafka": self.broker.address, "schema_registry": self._registry_url}

    def secret(self) -> Mapping[str, str]:
        """What the source's secret holds."""
        return {
            "bootstrap_servers": self.broker.address,
            "registry_url": self._registry_url,
            "registry_username": USERNAME,
            "registry_password": PASSWORD,
        }

    def override(self) -> Mapping[str, Any]:
        """A broker on the same machine needs no TLS."""
        return {"security": Plaintext()}

    def deliver(self, since: date | None, until: date) -> None:
        """Sends the records of the steps that moved the clock beyond `since`, up to `until`, all or none of them."""
        ids = self._register()
        with psycopg.connect(self._place.world_dsn) as connection:
            records = connection.execute(
                "select topic, key, value, schema, headers, sent_at from streaming.records join truth.world using (step)"
                " where (%(since)s::date is null or clock > %(since)s) and clock <= %(until)s order by number",
                {"since": since, "until": until},
            ).fetchall()
        with self.broker.transaction("shop") as producer:
            for topic, key, value, schema, headers, sent_at in records:
                frame = b"\0" + ids[schema].to_bytes(4, "big") if schema is not None and value is not None else b""
                producer.produce(
                    topic,
                    key=key,
                    value=frame + value if value is not None else None,
                    headers={name: bytes.fromhex(digits) for name, digits in headers.items()},
                    timestamp=int(sent_at.timestamp() * 1000),
                )
                producer.poll(0)

    def _register(self) -> dict[str, int]:
        """Registers the versions of the orders' schema and returns their ids; known ones keep theirs."""
        ids = {}
        for name, schema in SCHEMAS.items():
            answer = requests.post(
                f"{self._registry_url}/subjects/{ORDERS}-value/versions",
                data=json.dumps({"schema": json.dumps(schema)}),
                headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
                auth=(USERNAME, PASSWORD),
                timeout=_SEND_SECONDS,
            )
            answer.raise_for_status()
            ids[name] = int(answer.json()["id"])
        return ids


def _port(home: Path, name: str) -> int:
    """The port that HEADWATER_<NAME>_PORT says; without it any free one, for good: a usual one, two stacks would both take."""
    told = os.environ.get(f"HEADWATER_{name.upper()}_PORT")
    if told is not None:
        return int(told)
    chosen = home / f"{name}.port"
    if not chosen.exists():
        home.mkdir(parents=True, exist_ok=True)
        chosen.write_text(str(free_port()))
    return int(chosen.read_text())
