from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import requests

from local.simulators.registry import PASSWORD, USERNAME
from tests.support.simulators import Simulators

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def call(
    simulators: Simulators, method: str, path: str, body: Any = None, password: str = PASSWORD
) -> requests.Response:
    url = f"{simulators.url}/schema-registry/{path}"
    return requests.request(method, url, json=body, auth=(USERNAME, password), timeout=20)


def record(name: str) -> dict[str, str]:
    return {
        "schema": json.dumps({"type": "record", "name": name, "fields": [{"name": "id", "type": "long"}]}, indent=2)
    }


def test_a_schema_keeps_its_id_and_is_found_by_it(simulators: Simulators) -> None:
    name = f"R{uuid4().hex}"
    first = call(simulators, "POST", f"subjects/{name}-value/versions", record(name))
    again = call(simulators, "POST", f"subjects/{name}-other/versions", record(name))
    assert first.headers["content-type"] == MEDIA_TYPE
    assert first.json() == again.json()
    found = call(simulators, "GET", f"schemas/ids/{first.json()['id']}")
    assert found.headers["content-type"] == MEDIA_TYPE
    assert json.loads(found.json()["schema"])["name"] == name


def test_the_latest_version_of_a_subject_is_the_one_registered_last(simulators: Simulators) -> None:
    subject = f"s-{uuid4().hex}"
    ids = [
        call(simulators, "POST", f"subjects/{subject}/versions", record(f"R{uuid4().hex}")).json()["id"]
        for _ in range(2)
    ]
    latest = call(simulators, "GET", f"subjects/{subject}/versions/latest").json()
    assert (latest["subject"], latest["version"], latest["id"]) == (subject, 2, ids[1])


def test_what_is_unknown_is_refused_with_the_registrys_own_codes(simulators: Simulators) -> None:
    schema = call(simulators, "GET", "schemas/ids/424242")
    assert (schema.status_code, schema.json()["error_code"]) == (404, 40403)
    subject = call(simulators, "GET", "subjects/nobody/versions/latest")
    assert (subject.status_code, subject.json()["error_code"]) == (404, 40401)
    broken = call(simulators, "POST", "subjects/s/versions", {"schema": '{"type": "nonsense"}'})
    assert (broken.status_code, broken.json()["error_code"]) == (422, 42201)
    stranger = call(simulators, "GET", "schemas/ids/1", password="wrong")
    assert (stranger.status_code, stranger.json()["error_code"]) == (401, 401)
