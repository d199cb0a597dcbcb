"""What is derived once, for Terraform and for the local deploy: nothing is left out, and what Terraform refused is refused still."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from headwater.config.crawler import load_crawlers
from headwater.config.environment import ExistingWorkgroup
from headwater.config.kafka_source import Plaintext
from headwater.deploy.deployment import SHARED_STAGES, Deployment
from headwater.deploy.job_arguments import AVRO_JAR, DEEQU_JAR, MSK_JAR, jars
from headwater.deploy.packages import deployment_json, digest
from headwater.deploy.project import load_project
from headwater.deploy.roles import LATE_ARNS
from headwater.deploy.terraform import document
from headwater.errors import ConfigError
from local.glue.launch import Launch
from tests.terraform.conftest import Place
from tests.unit.test_setup import ROOT


@pytest.fixture
def derived(place: Place) -> dict[str, Any]:
    return document(place.deployment)


def test_it_is_json_and_tells_what_it_was_derived_from(place: Place) -> None:
    read = json.loads(deployment_json(place.deployment))
    assert read["environment"]["name"] == place.environment
    assert read["packed"]["digest"] == digest(place.root)
    assert "requirements.lock" in read["packed"]["patterns"]


def test_the_same_project_gives_the_same_bytes(place: Place) -> None:
    assert deployment_json(place.deployment) == deployment_json(place.deployment)


def test_every_entry_script_has_a_job(derived: dict[str, Any]) -> None:
    scripts = {path.stem for path in (ROOT / "glue_jobs").glob("*.py")}
    assert scripts == {"extract", *SHARED_STAGES} == {job["script"] for job in derived["jobs"].values()}


def test_every_handler_is_deployed_where_something_calls_it(every_kind: Path) -> None:
    folders = {function.folder for function in Place(every_kind, "prod").deployment.lambdas()}
    assert folders == {path.parent.name for path in (ROOT / "lambdas").glob("*/handler.py")}


def test_every_kind_of_source_has_an_extract_job_of_its_own(place: Place, derived: dict[str, Any]) -> None:
    prefix = place.deployment.prefix
    extracts = {name for name, job in derived["jobs"].items() if job["source"]}
    assert extracts == {f"{prefix}-{source}-extract" for source in place.deployment.project.sources}


def test_what_is_reached_in_a_network_has_a_connection(every_kind: Path) -> None:
    project = load_project(every_kind, "prod")
    inner = {source.name for source in project.sources.values() if source.kind in {"jdbc", "kafka"}}
    jobs = Deployment(project, every_kind).jobs()
    assert {job.source: job.connections for job in jobs if job.connections} == {
        name: (f"headwater-prod-{name}", f"headwater-prod-{name}-2", f"headwater-prod-{name}-3") for name in inner
    }
    assert not [job for job in Place(ROOT, "dev").deployment.jobs() if job.connections]


def test_every_role_is_handed_to_what_has_it_and_no_other(place: Place, derived: dict[str, Any]) -> None:
    assert {name: job["role"]["name"] for name, job in derived["jobs"].items()} == {
        name: name for name in derived["jobs"]
    }
    assert all(function["role"]["name"] == name for name, function in derived["lambdas"].items())
    assert set(derived["crawler_roles"]) >= {crawler["zone"] for crawler in derived["crawlers"].values()}
    assert derived["environment"]["warehouse"]["copy_role"].endswith(f"role/{derived['copy_role']['name']}")


def test_the_only_placeholders_left_are_whole_resources_that_aws_knows(derived: dict[str, Any]) -> None:
    found = set()
    for role in _roles(derived):
        for statement in json.loads(role["permissions"])["Statement"]:
            found |= {text[2:-1] for text in statement["Resource"] if re.fullmatch(r"\$\{[a-z_]+\}", text)}
            statement["Resource"] = [text for text in statement["Resource"] if not re.fullmatch(r"\$\{[a-z_]+\}", text)]
            assert not re.search(r"\$\{[a-z_]+\}", json.dumps(statement)), role["name"]
        assert "${" not in role["trust"]
    assert {"data_key", "secrets_key", "bookmarks_key", "alerts_key", "workgroup_arn"} <= found <= set(LATE_ARNS)


def _roles(part: Any) -> list[dict[str, str]]:
    if not isinstance(part, dict):
        return []
    own = [part] if "permissions" in part else []
    return [*own, *(role for inner in part.values() for role in _roles(inner))]


def test_each_default_is_filled_in(place: Place, derived: dict[str, Any]) -> None:
    environment = place.deployment.project.environment
    own = environment.model_dump(mode="json")
    assert derived["environment"] == {key: own[key] for key in derived["environment"]}
    assert derived["environment"]["retention"].keys() == type(environment.retention).model_fields.keys()


def test_a_pushed_source_needs_no_landing_rule_and_a_dropped_one_no_api_of_its_own(derived: dict[str, Any]) -> None:
    entrances = derived["entrances"]
    prefix = derived["environment"]["prefix"]
    assert entrances["apis"].keys() == {f"{prefix}-events", f"{prefix}-queries"}
    assert entrances["drop_rules"].keys() <= entrances["queues"].keys()
    assert {mapping["function"] for mapping in entrances["mappings"].values()} <= derived["lambdas"].keys()


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"zone": "platinum"}, "zone"),
        ({"schema_change": {"update": "GUESS", "delete": "LOG"}}, "schema_change.update"),
        ({"schema_change": {"update": "LOG", "delete": "GUESS"}}, "schema_change.delete"),
        ({"shedule": "cron(0 4 * * ? *)"}, "shedule"),
    ],
)
def test_a_crawler_that_glue_would_not_take_is_refused(declared: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "crawlers").mkdir()
    path = tmp_path / "crawlers" / "silver.yaml"
    good = {"zone": "silver", "schema_change": {"update": "LOG", "delete": "LOG"}}
    path.write_text(yaml.safe_dump(good))
    assert [crawler.zone for crawler in load_crawlers(tmp_path)] == ["silver"]
    path.write_text(yaml.safe_dump({**good, **declared}))
    with pytest.raises(ConfigError, match=rf"(?s)silver\.yaml.*{said}"):
        load_crawlers(tmp_path)


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("config/sources/any_drops.yaml", "worker_type: G.2X", "worker_type: G.9X", "worker_type"),
        ("config/sources/any_drops.yaml", "workers: 3", "workers: 1", "workers"),
        ("config/environments/prod.yaml", "prefix: headwater-prod", "prefix: Headwater_Prod", "prefix"),
        ("config/environments/prod.yaml", "account: '123456789012'", "account: 12345", "account"),
        ("config/environments/prod.yaml", "worker_type: G.2X", "worker_type: G.9X", "worker_type"),
        ("config/environments/prod.yaml", "role/headwater-prod-copy", "role/somebody", "the role that Terraform makes"),
    ],
)
def test_what_cannot_be_is_not_packed(file: str, before: str, after: str, said: str, every_kind: Path) -> None:
    path = every_kind / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    try:
        with pytest.raises(ConfigError, match=said):
            document(Place(every_kind, "prod").deployment)
    finally:
        path.write_text(text)


def test_a_workgroup_that_is_there_is_migrated_with_its_own_secret_and_keeps_its_own_snapshots(place: Place) -> None:
    project = place.deployment.project
    secret, key = (
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:theirs-abcdef",
        "arn:aws:kms:eu-west-1:123456789012:key/theirs",
    )
    existing = ExistingWorkgroup(admin_secret=secret, admin_secret_key=key)
    warehouse = project.environment.warehouse.model_copy(update={"existing": existing})
    environment = project.environment.model_copy(update={"warehouse": warehouse})
    derived = document(Deployment(project.model_copy(update={"environment": environment}), place.root))
    permissions = derived["lambdas"][derived["migrations"]["function"]]["role"]["permissions"]
    assert secret in permissions
    assert key in permissions
    assert "${admin_secret}" not in permissions
    assert derived["snapshots"] == {}
    assert derived["environment"]["warehouse"]["existing"] == {"admin_secret": secret, "admin_secret_key": key}


def test_a_job_has_one_run_at_a_time(derived: dict[str, Any]) -> None:
    assert {name: job["max_concurrent_runs"] for name, job in derived["jobs"].items()} == dict.fromkeys(
        derived["jobs"], 1
    )


def test_every_job_tells_spark_what_delta_needs(derived: dict[str, Any]) -> None:
    for name, job in derived["jobs"].items():
        arguments = job["arguments"]
        launch = Launch.of(arguments)
        assert launch.formats == ("delta",), name
        assert launch.conf.get("spark.sql.extensions") == "io.delta.sql.DeltaSparkSessionExtension", name
        assert (
            launch.conf.get("spark.sql.catalog.spark_catalog") == "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        ), name
        assert {key for key in launch.conf if key.startswith("spark.delta.logStore")}, name
        assert launch.conf.get("spark.hadoop.fs.s3a.endpoint.region") == derived["environment"]["region"], name
        # The first setting's name is the argument's own.
        assert not arguments["--conf"].startswith("--conf"), name


def test_a_job_brings_the_jars_that_glue_lacks_and_its_sources_need(every_kind: Path) -> None:
    project = load_project(every_kind, "prod")
    assert jars(project) == [DEEQU_JAR, AVRO_JAR, MSK_JAR]
    kafka = next(source for source in project.sources.values() if source.kind == "kafka")
    plain = kafka.model_copy(
        update={
            "security": Plaintext(),
            "streams": {name: s.model_copy(update={"format": "json"}) for name, s in kafka.streams.items()},
        }
    )
    assert jars(project.model_copy(update={"sources": {"kafka": plain}})) == [DEEQU_JAR]
    assert jars(project.model_copy(update={"sources": {}})) == [DEEQU_JAR]


def test_the_jars_that_jobs_name_are_packed_and_come_before_those_of_glue(
    place: Place, derived: dict[str, Any]
) -> None:
    bucket = derived["buckets"]["artifacts"]
    for name, job in derived["jobs"].items():
        named = job["arguments"]["--extra-jars"].split(",")
        assert named == [f"s3://{bucket}/packages/{jar}" for jar in jars(place.deployment.project)], name
        assert job["arguments"].get("--user-jars-first") == "true", name
