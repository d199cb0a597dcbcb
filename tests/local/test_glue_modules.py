"""What a job brings for Python is installed as Glue does: by pip, from what was brought, beside what Glue has."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from local.glue import installation
from tests.support.aws import zipped
from tests.support.paths import ROOT

INSTALL = """
import sys
from pathlib import Path
from local.glue.modules import InstallError, installed
try:
    folder = installed(sys.argv[1:], ["--no-index"], lambda uri: Path(uri.removeprefix("s3://")))
except InstallError as error:
    sys.exit(str(error))
sys.path.insert(0, str(folder))
import six
print(folder, six.__version__, sorted(path.name for path in folder.glob("*.dist-info")))
"""


def wheel(name: str, version: str, source: str, needs: str | None = None) -> bytes:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    info = f"{name}-{version}.dist-info"
    return zipped(
        {
            f"{name}.py": source,
            f"{info}/METADATA": metadata + (f"Requires-Dist: {needs}\n" if needs else ""),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
    )


def bundle(folder: Path, wheels: dict[str, bytes], requirements: str, at: str = "wheels/requirements.txt") -> str:
    path = folder / "some.gluewheels.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(at, requirements)
        for name, content in wheels.items():
            archive.writestr(f"wheels/{name}-py3-none-any.whl", content)
    path.write_bytes(buffer.getvalue())
    return f"s3://{path}"


def install(*items: str) -> subprocess.CompletedProcess[str]:
    command = [str(installation.python()), "-c", INSTALL, *items]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_what_glue_has_counts_as_there_and_nothing_is_installed_twice(tmp_path: Path) -> None:
    uri = bundle(tmp_path, {"thing-1": wheel("thing", "1", "X = 1", needs="six>=1.17")}, "thing==1\n")
    first, second = install(uri), install(uri)
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith("1.17.0 ['thing-1.dist-info']\n")
    assert second.stdout == first.stdout


def test_a_newer_version_of_what_glue_has_wins(tmp_path: Path) -> None:
    uri = bundle(tmp_path, {"six-9.9": wheel("six", "9.9", "__version__ = '9.9'")}, "six==9.9\n")
    done = install(uri)
    assert "9.9 ['six-9.9.dist-info']" in done.stdout, done.stderr


@pytest.mark.parametrize("needs", ["six>=99", "nobody-has-this"])
def test_what_is_needed_and_neither_there_nor_brought_fails_the_start(needs: str, tmp_path: Path) -> None:
    uri = bundle(tmp_path, {"thing-1": wheel("thing", "1", "X = 1", needs=needs)}, "thing==1\n")
    done = install(uri)
    assert done.returncode != 0
    assert "No matching distribution found" in done.stderr


def test_requirements_beside_the_folder_of_wheels_fail_the_start(tmp_path: Path) -> None:
    uri = bundle(tmp_path, {"thing-1": wheel("thing", "1", "X = 1")}, "thing==1\n", at="requirements.txt")
    done = install(uri)
    assert done.returncode != 0
    assert "some.gluewheels.zip has no wheels/requirements.txt. hint:" in done.stderr


def test_a_wheel_alone_is_installed_too(tmp_path: Path) -> None:
    path = tmp_path / "thing-2-py3-none-any.whl"
    path.write_bytes(wheel("thing", "2", "X = 2"))
    assert "['thing-2.dist-info']" in install(f"s3://{path}").stdout
