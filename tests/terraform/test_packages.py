from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from headwater.deploy import packages
from headwater.deploy.packages import digest, lambda_zip, library_zip
from tests.support.paths import ROOT

# What the runtimes bring along: Lambda just the SDK, Glue a good deal more.
LAMBDA_HAS = {"jmespath", "boto3", "botocore"}
GLUE_HAS = {
    *LAMBDA_HAS,
    "awsglue",
    "delta",
    "numpy",
    "pandas",
    "py4j",
    "pyarrow",
    "pyspark",
    "requests",
    "simplejson",
    "urllib3",
}
IMPORTED_AS = {"pyyaml": "yaml", "snowflake-connector-python": "snowflake"}


def test_the_same_files_make_the_same_bytes() -> None:
    assert library_zip(ROOT) == library_zip(ROOT)
    assert lambda_zip(ROOT, "plan_run") == lambda_zip(ROOT, "plan_run")
    with zipfile.ZipFile(io.BytesIO(library_zip(ROOT))) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert {"headwater/job.py", "headwater/config/project.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_digest_is_of_all_that_was_packed(every_kind: Path) -> None:
    # On a copy: in the repository itself somebody may be writing between the two.
    before = digest(every_kind)
    declared = [
        "config/sources/fx_rates.yaml",
        "config/tables/fx_rates.yaml",
        "crawlers/gold.yaml",
        "step_functions/pipeline.asl.json",
        "requirements.lock",
    ]
    for name in declared:
        path = every_kind / name
        text = path.read_text()
        path.write_text(text + "\n")
        assert digest(every_kind) != before, name
        path.write_text(text)
    assert digest(every_kind) == before


def modules_imported_by(paths: list[Path]) -> set[str]:
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and not name.startswith("mypy_boto3")}


def unpack(archive: bytes, folder: Path) -> list[Path]:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        packed.extractall(folder)
    return sorted(folder.rglob("*.py"))


def test_a_glue_job_finds_every_module_that_the_library_imports(tmp_path: Path) -> None:
    library = unpack(library_zip(ROOT), tmp_path)
    needed = modules_imported_by([*library, *(ROOT / "glue_jobs").glob("*.py")]) - {"headwater"}
    packed = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in packages.glue_modules()}
    assert needed - packed - GLUE_HAS == set()


def test_what_only_an_operator_needs_is_not_in_the_library(tmp_path: Path) -> None:
    library = {path.relative_to(tmp_path).as_posix() for path in unpack(library_zip(ROOT), tmp_path)}
    everything = {path.relative_to(ROOT).as_posix() for path in (ROOT / "headwater").rglob("*.py")}
    left_out = everything - library
    assert {"headwater/cli.py", "headwater/client.py", "headwater/deploy/deployment.py"} <= left_out
    rooms = ("headwater/deploy/", "headwater/desk/", "headwater/explore/", "headwater/validate/")
    assert {name for name in left_out if not name.startswith(rooms)} == {
        "headwater/cli.py",
        "headwater/client.py",
        # The package of one Lambda alone has it.
        "headwater/run/lineage_events.py",
    }
    with zipfile.ZipFile(io.BytesIO(lambda_zip(ROOT, "audit_run"))) as archive:
        assert "headwater/run/lineage_events.py" in archive.namelist()
    with zipfile.ZipFile(io.BytesIO(lambda_zip(ROOT, "plan_run"))) as archive:
        assert "headwater/run/lineage_events.py" not in archive.namelist()


def modules_named_by(path: Path) -> set[str]:
    """Lists every module that a file may import, those within functions and for type checks included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_nothing_in_the_library_imports_what_was_left_out(tmp_path: Path) -> None:
    library = unpack(library_zip(ROOT), tmp_path)
    assert library
    handlers = [*(ROOT / "glue_jobs").glob("*.py"), *(ROOT / "lambdas").rglob("*.py")]
    out = re.compile(r"headwater\.(deploy|desk|explore|cli|client)(\.|$)|local(\.|$)")
    assert [(path, name) for path in [*library, *handlers] for name in modules_named_by(path) if out.match(name)] == []


def test_every_module_of_the_library_is_imported_where_nothing_else_is(tmp_path: Path) -> None:
    code, runtime = tmp_path / "code", tmp_path / "runtime"
    library = unpack(library_zip(ROOT), code)
    runtime.mkdir()
    glue = re.findall(r"^([a-z0-9-]+)==", packages.GLUE_LOCK.read_text(), re.MULTILINE)
    link(
        runtime,
        {*packages.glue_modules(), *glue, "delta-spark", "pyspark", "py4j"},
    )
    (runtime / "awsglue").symlink_to(ROOT / "local" / "awsglue")
    names = [".".join(path.relative_to(code).with_suffix("").parts).removesuffix(".__init__") for path in library]
    program = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    environment = {"PYTHONPATH": f"{code}{os.pathsep}{runtime}", "PATH": os.environ["PATH"], "SPARK_VERSION": "3.5"}
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def link(runtime: Path, distributions: set[str]) -> None:
    """Links what some distributions have installed here, those that are, into a folder."""
    for distribution in metadata.distributions():
        for file in distribution.files or () if canonicalize_name(distribution.name) in distributions else ():
            installed = Path(str(distribution.locate_file(file.parts[0])))
            if file.parts[0] not in {"..", "__pycache__"} and not (runtime / installed.name).exists():
                (runtime / installed.name).symlink_to(installed)


def test_the_zip_of_wheels_has_the_layout_that_glue_documents() -> None:
    with zipfile.ZipFile(io.BytesIO(packages.wheels_zip(ROOT))) as archive:
        names = archive.namelist()
        assert [name for name in names if not re.fullmatch(r"wheels/[^/]+\.whl", name)] == ["wheels/requirements.txt"]
        pinned = archive.read("wheels/requirements.txt").decode().split()
    packed = {canonicalize_name(name.split("/")[1].split("-")[0]) for name in names if name.endswith(".whl")}
    assert packed == {pin.partition("==")[0] for pin in pinned} == set(packages.glue_modules())


def test_the_urllib3_that_glue_has_does_for_the_library() -> None:
    [version] = re.findall(r"^urllib3==(\S+)", packages.GLUE_LOCK.read_text(), re.MULTILINE)
    # It reads answers in a way that came with 2.1.
    assert tuple(int(part) for part in version.split(".")) >= (2, 1)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in (ROOT / "lambdas").glob("*/handler.py")))
def test_a_handler_loads_from_its_package_with_nothing_beside_but_the_sdk(folder: str, tmp_path: Path) -> None:
    code, runtime = tmp_path / "code", tmp_path / "runtime"
    with zipfile.ZipFile(io.BytesIO(lambda_zip(ROOT, folder))) as archive:
        archive.extractall(code)
    runtime.mkdir()
    brought = {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
    # Of the wheels, what is installed here stands for what is packed: both come from the same lock.
    link(runtime, {*brought, *packages.lambda_modules(folder)})
    environment = {
        "PYTHONPATH": f"{code}{os.pathsep}{runtime}",
        "PATH": os.environ["PATH"],
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PROJECT_URI": "s3://b/project.json",
    }
    # What is imported where it is called has to be there as well.
    also = "import headwater.run.lineage_events" if folder == "audit_run" else ""
    command = [sys.executable, "-S", "-c", f"import handler; assert callable(handler.handler); {also}"]
    done = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
