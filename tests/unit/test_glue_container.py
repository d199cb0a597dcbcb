"""What `make test-glue` would do: no container runs here, but what it is given and told can be looked at."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from headwater.deploy.job_arguments import conf, spark_arguments
from tests.support.glue_backends import COMPOSE, Container


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
