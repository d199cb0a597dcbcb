"""What Glue brings, by its own list; and where this checkout's tests run on other versions of the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from headwater.deploy import packages
from local.glue import installation
from tests.support.paths import ROOT

# Jobs run on Glue's versions, here as well: local/glue/installation.py. Tests that call the library in their own process run
# on those of requirements.lock, and there a difference could hide something. The list may shrink.
DIFFERENT = {
    "attrs": "nobody imports it but pytest's plugins",
    "boto3": "moto and the stubs need a newer one; the jobs of the end-to-end tests use Glue's",
    "botocore": "comes with boto3",
    "certifi": "a list of authorities, and none is asked here",
    "charset-normalizer": "of requests, whose answers say their encoding",
    "filelock": "of the tools, and of Snowflake's cache",
    "idna": "of requests",
    "iniconfig": "of pytest",
    "jmespath": "the expressions of HTTP sources mean the same in 1.0 and 1.1: tests/unit/test_http_stream.py",
    "numpy": "comes with pandas",
    "packaging": "of the tools",
    "pandas": "Spark and Snowflake's connector use it, no code of ours",
    "pip": "of the scanners",
    "platformdirs": "of the tools, and of Snowflake's cache",
    "pluggy": "of pytest",
    "pyarrow": "deltalake and DuckDB want a newer one; jobs get Arrow from Snowflake's connector alone",
    "pygments": "of rich",
    "pyparsing": "of the tools",
    "pytest": "runs tests, no job",
    "pytz": "of pandas",
    "requests": "the same 2.x; local stubs want the newer one",
    "s3transfer": "comes with boto3",
    "setuptools": "PySpark asks for distutils, which both have",
    "typing-extensions": "pydantic wants a newer one, which the jobs bring",
    "tzdata": "the same zones, of another year",
    "urllib3": "the same 2.x; the library needs 2.1",
    "uv": "installs this checkout",
    "wrapt": "of moto",
}


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_every_difference_between_glue_and_this_checkout_has_a_reason() -> None:
    glue, ours = versions("glue.lock"), versions("requirements.lock")
    assert {name for name in glue.keys() & ours.keys() if glue[name] != ours[name]} == DIFFERENT.keys()


def test_what_is_locked_is_what_aws_lists() -> None:
    assert versions("glue.in") == versions("glue.lock")
    assert versions("glue.lock")["boto3"] == "1.40.61"


def test_spark_is_the_one_that_glue_has() -> None:
    # It is no module of the list: Glue 5.1 is Spark 3.5.6.
    assert versions("requirements.lock")["pyspark"] == "3.5.6"


def test_what_glue_has_in_a_version_that_does_is_not_packed() -> None:
    packed = packages.glue_modules()
    assert {"pydantic", "pydeequ", "snowflake-connector-python"} <= {*packed}
    assert not {"boto3", "requests", "urllib3", "filelock", "pyspark", "pandas"} & {*packed}


def test_what_glue_has_in_a_version_that_is_too_old_is_packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "glue.lock"
    monkeypatch.setattr(packages, "GLUE_LOCK", lock)
    lock.write_text("typing-extensions==4.16.0 \\\n")
    assert "typing-extensions" not in packages.glue_modules()
    lock.write_text("typing-extensions==4.0.0 \\\n")
    assert "typing-extensions" in packages.glue_modules()


def test_a_lambda_gets_all_that_it_needs_whatever_glue_has() -> None:
    assert "typing-extensions" in packages.lambda_modules()
    assert set(packages.lambda_modules()) & {"annotated-types", "pydantic-core"} == {"annotated-types", "pydantic-core"}


def test_openlineages_client_is_in_the_audits_package_and_in_no_other() -> None:
    others = {*packages.lambda_modules(), *packages.lambda_modules("plan_run"), *packages.glue_modules()}
    assert "openlineage-python" not in others
    assert {"openlineage-python", "attrs", "requests", *packages.lambda_modules()} <= {
        *packages.lambda_modules("audit_run")
    }
    assert packages.pins(ROOT / "requirements.lock", packages.lambda_modules("audit_run"))


def test_the_environment_of_the_workers_is_of_the_lock() -> None:
    assert installation.is_current()
    found = {path.name for path in installation.site_packages(installation.folder()).glob("*.dist-info")}
    assert "boto3-1.40.61.dist-info" in found
    assert len(found) == len(versions("glue.lock"))


def test_the_boto3_of_glue_knows_the_conditional_write_that_each_commit_is() -> None:
    program = """
import botocore.session
service = botocore.session.get_session().get_service_model("s3")
assert "IfNoneMatch" in service.operation_model("PutObject").input_shape.members
"""
    done = subprocess.run([installation.python(), "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
