"""What `make test-glue` would do: no container runs here, but what it is given and told can be looked at."""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from headwater.deploy.job_arguments import conf, spark_arguments
from tests.support.glue_backends import COMPOSE, Container
from tests.support.paths import ROOT


@dataclass(frozen=True)
class Gateway:
    """An S3 in which every object is an empty zip of wheels."""

    endpoint: str = "http://127.0.0.1:4566"

    def client(self, service: str) -> Any:
        return self

    def get_object(self, **request: str) -> dict[str, Any]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("wheels/requirements.txt", "")
        return {"Body": io.BytesIO(buffer.getvalue())}


def commands(folder: Path, **arguments: str) -> list[list[str]]:
    gateway: Any = Gateway()
    named = {f"--{name.replace('_', '-')}": value for name, value in arguments.items()}
    return Container(gateway, folder)._commands("some", {**spark_arguments("eu-west-1"), **named})


COMPOSE_SERVICE = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "network_mode": {"type": "string", "pattern": "^(bridge|host|none|service:.+|container:.+)$"},
        # What is no text in YAML, an unquoted true for one, is another text in the container than it looks here.
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "volumes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "source", "target"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["bind", "volume", "tmpfs"]},
                    "source": {"type": "string"},
                    "target": {"type": "string", "pattern": "^/"},
                    "read_only": {"type": "boolean"},
                },
            },
        },
        "working_dir": {"type": "string", "pattern": "^/"},
    },
}
"""What the compose specification says of the keys that our file uses; a key that is not among them is added here from there."""
COMPOSE_FILE = {
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "services": {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^[a-zA-Z0-9._-]+$": COMPOSE_SERVICE},
            "additionalProperties": False,
        }
    },
}
# Notes how it was called, and with what.
DOCKER = """#!{python}
import json, os, pathlib, sys
pathlib.Path({noted!r}).write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def test_the_compose_file_is_one() -> None:
    fastjsonschema.compile(COMPOSE_FILE)(yaml.safe_load(COMPOSE.read_text()))


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("image:", "imaeg:"),
        ("services:", "service:"),
        ("  glue:", "  glue it:"),
        ('"true"', "true"),
        ("network_mode: host", "network_mode: hosts"),
        ("type: bind", "type: mount"),
        ("target: /home", "target: home"),
        ("        source:", "        from:"),
    ],
)
def test_a_compose_file_that_is_wrong_is_seen(written: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert written in text
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        fastjsonschema.compile(COMPOSE_FILE)(yaml.safe_load(text.replace(written, wrong)))


def test_make_runs_the_suite_that_runs_here_in_the_container() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [called] = re.findall(r"^test-glue:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert "HEADWATER_GLUE=container" in called
    assert re.findall(r"tests/\S+", called) == ["tests/glue"]
    assert [*(ROOT / "tests" / "glue").glob("test_*.py")]


def test_docker_is_told_the_file_the_service_and_each_value_that_the_file_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "noted.json"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(python=sys.executable, noted=str(noted)))
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    gateway: Any = Gateway()
    (workspace := tmp_path / "workspace").mkdir()
    assert Container(gateway, workspace).run("some", "print(1)", spark_arguments("eu-west-1")).succeeded
    words, environment = json.loads(noted.read_text())
    assert words[:-1] == ["compose", "-f", str(COMPOSE), "run", "--rm", "glue", "-c"]
    assert words[-1].startswith("spark-submit ")
    text = COMPOSE.read_text()
    assert "glue" in yaml.safe_load(text)["services"]
    given = {name: environment[name] for name in re.findall(r"\$\{(\w+)\}", text)}
    assert given == {"AWS_ENDPOINT_URL": Gateway.endpoint, "GLUE_WORKSPACE": str(workspace)}
    assert (workspace / "some.py").read_text() == "print(1)"


def test_the_image_is_pinned_to_the_glue_that_jobs_run_on() -> None:
    [service] = yaml.safe_load(COMPOSE.read_text())["services"].values()
    assert re.fullmatch(r"public\.ecr\.aws/glue/aws-glue-libs:5\.1\.\d+", service["image"])


def test_the_container_reaches_the_gateway_and_the_scripts() -> None:
    text = COMPOSE.read_text()
    [service] = yaml.safe_load(text)["services"].values()
    assert service["network_mode"] == "host"
    assert {*re.findall(r"\$\{(\w+)\}", text)} == {"AWS_ENDPOINT_URL", "GLUE_WORKSPACE"}
    assert service["volumes"][0]["target"] == service["working_dir"]
    assert service["environment"]["DATALAKE_FORMATS"] == "delta"


def test_what_a_job_says_of_spark_reaches_spark_submit(tmp_path: Path) -> None:
    [submit] = commands(tmp_path, extra_jars="s3://b/some.jar", extra_py_files="s3://b/lib.zip")
    settings = dict(word.split("=", 1) for flag, word in pairwise(submit) if flag == "--conf")
    assert conf("eu-west-1").items() <= settings.items()
    assert settings["spark.hadoop.fs.s3a.endpoint"] == Gateway.endpoint
    assert submit[submit.index("--jars") + 1] == "some.jar"
    assert submit[submit.index("--py-files") + 1] == "lib.zip"
    script = submit.index("some.py")
    assert submit[script:][-4:] == ["--JOB_NAME", "some", "--JOB_RUN_ID", "jr_container"]
    assert "--conf" not in submit[script:]


def test_modules_are_installed_first_as_the_job_says(tmp_path: Path) -> None:
    installing = {
        "additional_python_modules": "s3://b/x.gluewheels.zip",
        "python_modules_installer_option": "--no-index",
    }
    [install, _] = commands(tmp_path, **installing)
    assert install[:4] == ["pip3", "install", "-q", "--no-index"]
    assert (tmp_path / "modules" / "wheels" / "requirements.txt").exists()
    assert install[-1] == "modules/wheels/requirements.txt"
