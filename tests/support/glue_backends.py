"""Two places where a Glue job can run without AWS: the local stack's runtime, and AWS's own container."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from local.glue.launch import Launch
from tests.support.aws import Aws
from tests.support.paths import ROOT

COMPOSE = ROOT / "local" / "glue" / "compose.yaml"
# S3 is the gateway: the container's S3A has to be told.
_S3 = {
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
}


@dataclass(frozen=True)
class Ran:
    """How a job ended, and what it printed."""

    succeeded: bool
    log: str


class Backend(Protocol):
    """Runs a script as a Glue job."""

    def run(self, name: str, script: str, arguments: Mapping[str, str]) -> Ran:
        """Runs it to its end."""
        ...


@dataclass(frozen=True)
class Runtime:
    """The local stack's: a job is created and started by the API."""

    aws: Aws

    def run(self, name: str, script: str, arguments: Mapping[str, str]) -> Ran:
        """Runs it to its end."""
        job = self.aws.job(name, script, dict(arguments))
        run = self.aws.run(job)
        return Ran(run["JobRunState"] == "SUCCEEDED", self.aws.log(job, run))


@dataclass(frozen=True)
class Container:
    """AWS's image: what Glue does with a job's arguments, spark-submit and pip are told."""

    aws: Aws
    workspace: Path

    def run(self, name: str, script: str, arguments: Mapping[str, str]) -> Ran:
        """Runs it to its end."""
        (self.workspace / f"{name}.py").write_text(script)
        program = " && ".join(shlex.join(words) for words in self._commands(name, arguments))
        done = subprocess.run(
            ["docker", "compose", "-f", str(COMPOSE), "run", "--rm", "glue", "-c", program],
            env={**os.environ, "AWS_ENDPOINT_URL": self.aws.endpoint, "GLUE_WORKSPACE": str(self.workspace)},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(done.returncode == 0, done.stdout + done.stderr)

    def _commands(self, name: str, arguments: Mapping[str, str]) -> list[list[str]]:
        launch = Launch.of(arguments)
        commands = []
        for uri in launch.modules:
            archive = self._fetched(uri)
            shutil.unpack_archive(self.workspace / archive, self.workspace / "modules")
            wanted = ["--find-links", "modules/wheels", "-r", "modules/wheels/requirements.txt"]
            commands.append(["pip3", "install", "-q", *launch.installing, *wanted])
        conf = {**_S3, "spark.hadoop.fs.s3a.endpoint": self.aws.endpoint, **launch.conf}
        submit = ["spark-submit", *(word for pair in conf.items() for word in ("--conf", "=".join(pair)))]
        if launch.jars:
            submit += ["--jars", ",".join(self._fetched(uri) for uri in launch.jars)]
        if files := arguments.get("--extra-py-files"):
            submit += ["--py-files", ",".join(self._fetched(uri) for uri in files.split(","))]
        given = {**arguments, "--JOB_NAME": name, "--JOB_RUN_ID": "jr_container"}
        words = [word for pair in given.items() if pair[0] != "--conf" for word in pair]
        return [*commands, [*submit, f"{name}.py", *words]]

    def _fetched(self, uri: str) -> str:
        location = urlsplit(uri)
        target = self.workspace / Path(location.path).name
        answer = self.aws.client("s3").get_object(Bucket=location.netloc, Key=location.path.lstrip("/"))
        target.write_bytes(answer["Body"].read())
        return target.name
