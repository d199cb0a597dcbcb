"""Kafka topics, read in bounded batches of offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headwater.config.secret_name import SecretName
from headwater.config.stream import Disagreement, JsonStream, SourceBase
from headwater.config.strict import Name, Strict
from headwater.config.table import InsertWrite, Table

DELETED_AT = "deleted_at"
ENVELOPE = (
    "_topic",
    "_partition",
    "_offset",
    "_timestamp",
    "_reached",
    "_key",
    "_key_encoding",
    "_headers",
    "_tombstone",
    "_schema_id",
    "_value",
    "_value_encoding",
)
"""What a raw row has beside the fields of the record's value; headwater/sources/kafka/records.py says what each holds."""


class Plaintext(Strict):
    """Neither encrypted nor authenticated: for a broker on the same machine."""

    kind: Literal["plaintext"] = "plaintext"


class Scram(Strict):
    """SASL/SCRAM over TLS; the secret holds username and password."""

    kind: Literal["scram"]
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"


class Iam(Strict):
    """The job's own role over TLS, as Amazon MSK has it; nothing of it is in the secret."""

    kind: Literal["iam"]
    cluster: str = Field(
        "*",
        pattern=r"^[A-Za-z0-9-]{1,64}$|^\*$",
        description="Name of the MSK cluster that the job's role may sign in to.",
    )


Security = Annotated[Plaintext | Scram | Iam, Field(discriminator="kind")]


class Resume(Strict):
    """Where a person decided to go on after the topic had lost what the position points at.

    Counts for this topic id alone, and only as long as the position cannot be continued, so it never skips a record that is
    still there.
    """

    topic_id: str = Field(description="Id of the topic as it is now; a topic that was recreated has a new one.")
    offsets: dict[Annotated[str, Field(pattern=r"^\d+$")], Annotated[int, Field(ge=0)]] = Field(
        {}, description="Offset to go on at, by partition; its beginning where none is given and the topic is new."
    )
    reason: str = Field(min_length=1, description="Why, and who said so.")


class KafkaStream(JsonStream):
    """A stream read from one topic.

    Its raw rows are the records' values as JSON, with the fields of ENVELOPE beside the value's own.
    """

    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    format: Literal["json", "avro"] = Field(description="avro: in the frame of the Confluent schema registry.")
    tombstones: Literal["delete", "refuse"] = Field(
        "refuse",
        description="A record without value: delete = silver keeps its key and `deleted_at` and forgets the rest; "
        "refuse = it goes to quarantine.",
    )
    max_records: int = Field(500_000, gt=0, description="Offsets in one batch; the next batch takes the rest.")
    resume: Resume | None = None

    @model_validator(mode="after")
    def _names_stay_apart(self) -> KafkaStream:
        taken = sorted(set(self.raw) & set(ENVELOPE))
        if taken:
            raise ValueError(f"raw: {', '.join(taken)} are there anyway; name fields of the record's value only")
        return self

    def disagreements(self, table: Table) -> Iterator[Disagreement]:
        """Says where the stream contradicts the table that it feeds."""
        yield from super().disagreements(table)
        if self.tombstones == "delete" and DELETED_AT not in table.columns:
            yield "tombstones", f"delete needs a column {DELETED_AT} in table {table.table}"
        if self.tombstones == "delete" and isinstance(table.write, InsertWrite):
            yield "tombstones", f"delete erases a row, and table {table.table} has write: insert, by which none changes"

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return "next offset of each partition"

    @property
    def raw_fields(self) -> tuple[str, ...]:
        """Fields that a raw row may have: those of the value, and the envelope."""
        return (*super().raw_fields, *ENVELOPE)


class KafkaSource(SourceBase):
    """A Kafka cluster.

    Its secret holds bootstrap_servers, what its security needs, and for Avro registry_url, with registry_username and
    registry_password where the registry asks for them.
    """

    kind: Literal["kafka"]
    secret: SecretName
    security: Security
    streams: dict[Name, KafkaStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return f"Kafka, {self.security.kind}"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        for name, stream in self.streams.items():
            yield f"`{name}`: topic `{stream.topic}`, {stream.format}, {stream.max_records:,} records in a batch"
