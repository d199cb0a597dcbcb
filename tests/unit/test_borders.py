"""The borders of the library: what Lambdas import, who speaks to Glue, and that nothing needs the local stack."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DESK = ("awswrangler",)  # people's alone: its pandas is in no Lambda, and takes a second to import
SPARK = ("delta", "pydeequ", "py4j", "pyspark")
# Imports what it is told to, each in its turn, with some modules kept from it; prints what went wrong by what was imported.
IMPORTER = """
import importlib, json, runpy, sys
blocked, wanted = json.loads(sys.argv[1])
sys.modules |= dict.fromkeys(blocked)
failed = {}
for name in wanted:
    try:
        runpy.run_path(name) if name.endswith(".py") else importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""


def failed_imports(blocked: tuple[str, ...], wanted: list[str]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTER, json.dumps([blocked, wanted])],
        cwd=ROOT,
        # What stands in for Glue's own package, whose name it has there.
        env=os.environ | {"PYTHONPATH": str(ROOT / "local")},
        capture_output=True,
        text=True,
        check=True,
    )
    failed: dict[str, str] = json.loads(done.stdout)
    return failed


def relative(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


def test_a_lambda_imports_neither_spark_nor_glue_nor_the_local_stack() -> None:
    handlers = relative("lambdas/*/handler.py")
    assert len(handlers) >= 9
    assert failed_imports((*DESK, *SPARK, "awsglue", "local"), handlers) == {}


def test_jobs_the_library_and_the_command_line_start_without_the_local_stack_and_without_what_is_slow() -> None:
    library = [
        ".".join(Path(path).with_suffix("").parts)
        for path in relative("headwater/**/*.py")
        if not path.endswith("__init__.py")
    ]
    assert failed_imports((*DESK, "local"), [*library, *relative("glue_jobs/*.py")]) == {}


def test_a_blocked_module_is_told_of(tmp_path: Path) -> None:
    handler = tmp_path / "handler.py"
    handler.write_text("import headwater.lake.tables\n")
    assert "pyspark" in failed_imports(SPARK, [str(handler)])[str(handler)]


def ruff(path: str, code: str) -> set[str]:
    """The rules about imports that a file would break."""
    program = str(Path(sys.executable).parent / "ruff")
    done = subprocess.run(
        [program, "check", "--no-cache", "--select=TID", "--output-format=json", f"--stdin-filename={path}", "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    return {problem["code"] for problem in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("headwater/run/planted.py", "from pyspark.sql import DataFrame"),
        ("headwater/receive/planted.py", "import pydeequ"),
        ("headwater/ledger/planted.py", "import delta.tables"),
        ("headwater/warehouse/planted.py", "from py4j.protocol import Py4JJavaError"),
        ("lambdas/plan_run/handler.py", "import pyspark"),
        ("headwater/desk/planted.py", "import awswrangler as wr"),
    ],
)
def test_ruff_keeps_spark_out_of_what_lambdas_import_and_pandas_out_of_what_starts_quickly(
    path: str, code: str
) -> None:
    assert ruff(path, code) == {"TID253"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("headwater/sources/kafka/planted.py", "from awsglue.context import GlueContext"),
        ("headwater/stages/planted.py", "def f():\n    import awsglue.job"),
        ("glue_jobs/planted.py", "from awsglue.utils import getResolvedOptions"),
        ("headwater/config/planted.py", "from local.stack import Stack"),
        ("headwater/deploy/planted.py", "def f():\n    import local"),
        ("lambdas/plan_run/handler.py", "from local import world"),
    ],
)
def test_ruff_keeps_glue_in_one_module_and_the_local_stack_out(path: str, code: str) -> None:
    assert ruff(path, code) == {"TID251"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("headwater/job.py", "from awsglue.job import Job\nfrom pyspark.context import SparkContext"),
        ("headwater/lake/planted.py", "from pyspark.sql import DataFrame"),
        ("headwater/quality/planted.py", "from pydeequ.checks import Check"),
        ("headwater/sources/jdbc/planted.py", "from pyspark.sql import DataFrame"),
        ("headwater/stages/planted.py", "from pyspark.sql import DataFrame"),
        ("local/planted.py", "import pyspark\nfrom local import world"),
    ],
)
def test_ruff_lets_those_through_whose_business_it_is(path: str, code: str) -> None:
    assert ruff(path, code) == set()


def test_what_comes_from_outside_is_read_by_the_one_strict_reader() -> None:
    readers = {
        f"{path.relative_to(ROOT)}: json.{node.attr}"
        for folder in ("explore", "receive", "sources")
        for path in (ROOT / "headwater" / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"load", "loads", "JSONDecoder"}
        if isinstance(node.value, ast.Name) and node.value.id == "json"
    }
    # A person's own file, and a schema out of config/.
    assert readers == {"headwater/receive/event.py: json.loads", "headwater/explore/secret.py: json.loads"}
