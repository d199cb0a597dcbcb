from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headwater.deploy import packages
from headwater.deploy.packages import digest, lambda_zip, library_zip
from tests.support.paths import ROOT
from tests.terraform.conftest import ENVIRONMENTS, Derive, Place

# What the runtimes bring along: Lambda just the SDK, Glue a good deal more.
LAMBDA_HAS = {"boto3", "botocore"}
GLUE_HAS = {*LAMBDA_HAS, "awsglue", "delta", "numpy", "pandas", "py4j", "pyarrow", "pyspark", "requests"}
IMPORTED_AS = {"pyyaml": "yaml", "snowflake-connector-python": "snowflake"}
# Nobody imports these in a job or a Lambda.
AT_THE_DESK = {"cli", "client", "cost", "packages"}


def test_the_same_files_make_the_same_bytes() -> None:
    assert library_zip(ROOT) == library_zip(ROOT)
    assert lambda_zip(ROOT, "plan_run") == lambda_zip(ROOT, "plan_run")
    with zipfile.ZipFile(io.BytesIO(library_zip(ROOT))) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert "headwater/job.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_terraform_computes_the_digest_of_what_was_packed(derive: Derive, every_kind: Path) -> None:
    # On a copy: in the repository itself somebody may be writing between the two.
    before = derive(Place(every_kind, ENVIRONMENTS[0]))["digest"]
    assert before == digest(every_kind)
    declared = every_kind / "config" / "sources" / "fx_rates.yaml"
    text = declared.read_text()
    declared.write_text(text + "# a change\n")
    assert digest(every_kind) != before
    declared.write_text(text)


def modules_imported_by(paths: list[Path]) -> set[str]:
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and not name.startswith("mypy_boto3")}


def test_a_glue_job_finds_every_module_that_the_library_imports() -> None:
    library = [path for path in (ROOT / "headwater").rglob("*.py") if path.stem not in AT_THE_DESK]
    needed = modules_imported_by([*library, *(ROOT / "glue_jobs").glob("*.py")]) - {"headwater"}
    packed = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in packages.modules(packages.GLUE_NEEDS)}
    assert needed - packed - GLUE_HAS == set()


def test_glue_takes_the_urllib3_that_is_packed() -> None:
    [pin] = packages.pins(ROOT / "requirements.lock", ["urllib3"]).split()
    major, minor, _ = (int(part) for part in pin.partition("==")[2].split("."))
    # botocore of Glue 5: >= 1.25.4, != 2.2.0, < 3; the library reads answers in a way that came with 2.1.
    assert major == 2
    assert minor >= 1
    assert pin != "urllib3==2.2.0"


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in (ROOT / "lambdas").glob("*/handler.py")))
def test_a_handler_loads_from_its_package_with_nothing_beside_but_the_sdk(folder: str, tmp_path: Path) -> None:
    code, runtime = tmp_path / "code", tmp_path / "runtime"
    with zipfile.ZipFile(io.BytesIO(lambda_zip(ROOT, folder))) as archive:
        archive.extractall(code)
    runtime.mkdir()
    installed = next(
        Path(path) for path in sys.path if path.endswith("site-packages") and (Path(path) / "boto3").exists()
    )
    brought = ["boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3"]
    # Of the wheels, what is installed here stands for what is packed: both come from the same lock.
    for module in [
        *brought,
        *(IMPORTED_AS.get(name, name.replace("-", "_")) for name in packages.modules(packages.LAMBDA_NEEDS)),
    ]:
        source = installed / (module if (installed / module).exists() else f"{module}.py")
        (runtime / source.name).symlink_to(source)
    environment = {
        "PYTHONPATH": f"{code}{os.pathsep}{runtime}",
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PROJECT_URI": "s3://b/project.json",
    }
    command = [sys.executable, "-S", "-c", "import handler; assert callable(handler.handler)"]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
