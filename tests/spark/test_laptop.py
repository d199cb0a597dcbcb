"""What only fits a laptop changes no row, no type and no file's layout; all that does is in the library's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.deploy.job_arguments import conf
from headwater.lake.session import SETTINGS
from local.glue.spark import glue_conf, laptop_conf
from tests.support.paths import ROOT


def rows(folder: Path, *words: str) -> dict[str, Any]:
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_SPARK")}
    command = [sys.executable, "-m", "tests.support.session_rows", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "rows.json").read_text())
    return found


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return rows(tmp_path_factory.mktemp("rows") / "without")


def test_rows_are_the_same_without_what_only_fits_a_laptop(without: dict[str, Any], tmp_path: Path) -> None:
    assert rows(tmp_path / "with", "laptop") == without


def test_days_before_1582_and_far_ones_are_as_they_were_written(without: dict[str, Any]) -> None:
    assert without["refused"], "a session without the library's settings writes no such day"
    read = "".join(without["read"])
    for text in ("1582-10-10", "1500-03-01 00:00:00.123456", "9999-12-31 23:59:59"):
        assert text in read
    assert "timestamp[us, tz=UTC]" in without["types"][1][0]
    assert "legacyDateTime" not in without["types"][1][0]


def test_a_table_is_opened_by_its_checksum_alone(without: dict[str, Any]) -> None:
    assert {"allFiles", "setTransactions"} <= {*without["checksum"]}


def test_a_setting_has_one_origin() -> None:
    origins = [glue_conf("http://127.0.0.1:1"), conf("eu-west-1"), laptop_conf(), SETTINGS]
    names = [name for origin in origins for name in origin if name != "spark.driver.extraJavaOptions"]
    assert len(names) == len({*names})
