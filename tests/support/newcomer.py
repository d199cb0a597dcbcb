"""Somebody with a fresh clone and a terminal, who deploys for the first time; AWS is a local stack.

Whatever the clone has otherwise than the repository is here: addresses, and what a provider older than the pinned one cannot read.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from local.terraform import take_any_provider
from tests.support import deploy_page
from tests.support.paths import ROOT

_IGNORED = shutil.ignore_patterns(
    "__pycache__", ".terraform*", "*.tfplan", "*.tfstate*", "build", ".git", ".venv", ".*_cache"
)
_PATHS = {"provider": {"aws": {"s3_use_path_style": True, "max_retries": 2}}}
# What 5.46 lacks or wants, by file: lines, and what is there instead.
_OLDER = {
    "lake_formation.tf": {
        "  allow_full_table_external_data_access = local.present.allow_full_table_external_data_access\n": "",
        "  parameters                            = local.present.parameters\n": "",
    },
    "github.tf": {
        '  client_id_list = ["sts.amazonaws.com"]\n': '  client_id_list = ["sts.amazonaws.com"]\n'
        f'  thumbprint_list = ["{"f" * 40}"]\n'
    },
}
Keys = Mapping[str, str]
ADMINISTRATOR: Keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@dataclass(frozen=True)
class Said:
    """What came of a command."""

    status: int
    words: str

    @property
    def ok(self) -> bool:
        return self.status == 0


class Newcomer:
    """A clone of the repository in a folder of its own, and the commands that are given in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "headwater"
        self.endpoint = ""
        shutil.copytree(ROOT, self.root, ignore=_IGNORED)
        (self.root / ".venv").symlink_to(ROOT / ".venv")
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._on_path("aws", f'PYTHONPATH={ROOT} exec {sys.executable} -m tests.support.aws_command "$@"')
        # The clone has the tests' own environment, which is set up, and must not be set up for another folder.
        self._on_path("make", f'exec {shutil.which("make")} --old-file=setup "$@"')
        terraform = self.root / "terraform"
        take_any_provider(terraform)
        for module in (terraform, terraform / "bootstrap"):
            (module / "local_override.tf.json").write_text(json.dumps(_PATHS))
        for path in (terraform / "backends").iterdir():
            path.write_text(path.read_text() + "use_path_style = true\n")
        for name, changed in _OLDER.items():
            path = terraform / "bootstrap" / name
            text = path.read_text()
            for line, instead in changed.items():
                assert line in text, f"terraform/bootstrap/{name} has no line {line!r} any more"
                text = text.replace(line, instead)
            path.write_text(text)

    def initialises(self) -> None:
        """Gives the page's first command; skips the test where Terraform or its provider cannot be had."""
        said = self.types(deploy_page.commands("2. ")[0])
        if not said.ok:
            pytest.skip(f"no Terraform with the AWS provider on this machine: {' '.join(said.words.split())[:300]}")

    def _on_path(self, name: str, script: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def types(self, command: str, keys: Keys = ADMINISTRATOR, *, given: str = "") -> Said:
        """Gives one command to the shell, and `given` to what it asks."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "eu-west-1",
            # S3 Control puts the account before the host, a name that nobody resolves.
            "HTTP_PROXY": self.endpoint,
            "NO_PROXY": "127.0.0.1",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_ARGS": "-no-color",
            **keys,
        }
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.root,
            env=environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout)

    def writes(self, path: str, text: str) -> None:
        """Adds lines to a file."""
        with (self.root / path).open("a") as file:
            file.write(text)

    def workflow(self, role: str, subject: str) -> Keys:
        """The keys that a workflow gets for GitHub's token about a subject; ClientError when the role does not trust it."""
        claims = {"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com", "sub": subject}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        sts = boto3.client("sts", "eu-west-1", endpoint_url=self.endpoint, config=Config(signature_version=UNSIGNED))
        answer = sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="GitHubActions", WebIdentityToken=f"e30.{body}.c2ln"
        )
        return _keys(answer["Credentials"])

    def role(self, role: str) -> Keys:
        """The keys of a session of a role that a person assumes."""
        sts = boto3.client(
            "sts", "eu-west-1", endpoint_url=self.endpoint, aws_access_key_id="local", aws_secret_access_key="local"
        )
        return _keys(sts.assume_role(RoleArn=role, RoleSessionName="ana")["Credentials"])


def _keys(credentials: Mapping[str, str]) -> Keys:
    return {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
