from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from headwater.config import KafkaSource, KafkaStream, Project, SourceOverride, Table
from headwater.config.kafka_source import Iam, Plaintext, Scram
from headwater.errors import FatalSourceError
from headwater.ledger.untrusted import MOST_FIELDS
from headwater.redaction import redact
from headwater.sources.http.messages import HttpResponse
from headwater.sources.kafka.cluster import Cluster, client_options
from headwater.sources.kafka.registry import Registry, UnknownSchemaError, classify

SECRET = {"bootstrap_servers": "b-1:9096,b-2:9096", "username": "etl", "password": 'pass"word\\1'}


class Answers:
    name = "kafka: schema registry"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get(self, path: str, headers: dict[str, str]) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_scram_goes_over_tls_with_the_secret_quoted_for_jaas() -> None:
    options = client_options("kafka", Scram(kind="scram"), SECRET)
    assert options["security.protocol"] == "SASL_SSL"
    assert options["sasl.mechanism"] == "SCRAM-SHA-512"
    assert options["sasl.jaas.config"].endswith('username="etl" password="pass\\"word\\\\1";')


def test_iam_needs_nothing_from_the_secret_but_the_address() -> None:
    options = client_options("kafka", Iam(kind="iam"), {"bootstrap_servers": "b-1:9098"})
    assert options["sasl.mechanism"] == "AWS_MSK_IAM"
    assert options["security.protocol"] == "SASL_SSL"


def test_what_the_secret_lacks_is_named() -> None:
    with pytest.raises(FatalSourceError, match="no 'password'"):
        client_options("kafka", Scram(kind="scram"), {"bootstrap_servers": "b", "username": "etl"})


def test_neither_a_repr_nor_a_log_shows_the_password() -> None:
    options = client_options("kafka", Scram(kind="scram"), SECRET | {"password": "open-sesame"})
    assert "sesame" not in repr(Cluster(None, "kafka", options))  # type: ignore[arg-type]
    assert "sesame" not in redact(json.dumps(options))


def test_plaintext_is_said_in_so_many_words() -> None:
    assert (
        client_options("kafka", Plaintext(), {"bootstrap_servers": "127.0.0.1:9092"})["security.protocol"]
        == "PLAINTEXT"
    )


def test_an_unknown_schema_is_told_from_other_things_not_found() -> None:
    unknown = HttpResponse(404, {}, b'{"error_code":40403,"message":"Schema 7 not found"}')
    elsewhere = HttpResponse(404, {}, b'{"error_code":404,"message":"HTTP 404 Not Found"}')
    assert isinstance(classify(unknown), UnknownSchemaError)
    assert type(classify(elsewhere)) is FatalSourceError
    assert type(classify(HttpResponse(404, {}, b"<html>not found</html>"))) is FatalSourceError
    assert Registry(Answers(UnknownSchemaError("7"))).schema(7) == "unknown_schema"  # type: ignore[arg-type]


def test_a_schema_of_another_kind_is_no_avro_schema() -> None:
    assert Registry(Answers({"schema": "{}", "schemaType": "PROTOBUF"})).schema(7) == "unknown_schema"  # type: ignore[arg-type]


RECORD = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}]}
WIDE = {**RECORD, "fields": [{"name": f"f{number}", "type": "int"} for number in range(MOST_FIELDS + 1)]}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"schema": json.dumps(RECORD)}, RECORD),
        ({"schema": json.dumps(RECORD), "references": [{"name": "Store"}]}, "bad_schema"),
        ({"schema": "{"}, "bad_schema"),
        ({"schema": "[" * 100_000}, "bad_schema"),
        ({"schema": json.dumps(RECORD) + " " * 262_144}, "bad_schema"),
        ({"schema": json.dumps(WIDE)}, "bad_schema"),
        ({"schema": 7}, "bad_schema"),
        ({}, "bad_schema"),
        ({"schema": '"string"'}, "not_an_object"),
        ([], "unknown_schema"),
    ],
)
def test_what_is_no_schema_of_a_record_is_the_problem_of_those_that_name_it(answer: Any, found: Any) -> None:
    assert Registry(Answers(answer)).schema(7) == found  # type: ignore[arg-type]


def declared(**changes: Any) -> dict[str, Any]:
    stream = {
        "table": "t",
        "topic": "t",
        "format": "json",
        "raw": ["id"],
    }
    return stream | changes


def test_tombstones_that_delete_need_a_column_that_says_so() -> None:
    declares = {"table": "t", "owner": "o", "note": "n", "key": ["id"], "columns": {"id": {"type": "bigint"}}}
    stream = KafkaStream.model_validate(declared(tombstones="delete"))
    assert list(stream.disagreements(Table.model_validate(declares))) == [
        ("tombstones", "delete needs a column deleted_at in table t")
    ]


def test_a_value_field_cannot_have_the_name_of_an_envelope_field() -> None:
    with pytest.raises(ValidationError, match="_offset are there anyway"):
        KafkaStream.model_validate(declared(raw=["id", "_offset"]))


def test_an_environment_says_how_its_cluster_is_signed_in_to(project: Project) -> None:
    declared = project.source("kafka")
    assert isinstance(declared, KafkaSource)
    assert declared.security.kind == "iam"
    override = SourceOverride(security=Plaintext())
    environment = project.environment.model_copy(update={"sources": {"kafka": override}})
    found = project.model_copy(update={"environment": environment}).source("kafka")
    assert isinstance(found, KafkaSource)
    assert found.security.kind == "plaintext"
    assert found.streams == declared.streams
