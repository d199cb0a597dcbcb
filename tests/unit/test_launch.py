"""What a job's arguments say of its runtime, read as Glue reads them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.deploy.job_arguments import conf, spark_arguments
from local.glue.launch import Launch, LaunchError

NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1)
VALUES = st.text(string.ascii_letters + string.digits + "._-:/=,", min_size=1)


def test_what_our_jobs_say_is_understood() -> None:
    launch = Launch.of(spark_arguments("eu-west-1"))
    assert launch.conf == conf("eu-west-1")
    assert launch.formats == ("delta",)


@given(st.dictionaries(NAMES, VALUES))
def test_any_chain_of_settings_is_read_back(settings: dict[str, str]) -> None:
    chain = " --conf ".join(f"{name}={value}" for name, value in settings.items())
    assert Launch.of({"--conf": chain}).conf == settings


def test_the_last_of_two_settings_of_a_name_counts() -> None:
    assert Launch.of({"--conf": "a=1 --conf a=2"}).conf == {"a": "2"}


@pytest.mark.parametrize("text", ["a", "=1", "a 1=2", "a=1 --conf b"])
def test_what_is_no_setting_is_named(text: str) -> None:
    with pytest.raises(LaunchError, match=r"is no name=value\. hint"):
        Launch.of({"--conf": text})


def test_a_comma_between_settings_does_not_make_two_of_them() -> None:
    assert Launch.of({"--conf": "a=1,b=2"}).conf == {"a": "1,b=2"}


def test_a_format_that_glue_does_not_know_is_told_with_those_that_it_knows() -> None:
    with pytest.raises(LaunchError, match="--datalake-formats: detla; Glue knows delta, hudi, iceberg"):
        Launch.of({"--datalake-formats": "delta,detla"})


def test_a_job_that_says_nothing_gets_nothing() -> None:
    assert Launch.of({"--TempDir": "s3://b/t/"}) == Launch({}, (), (), (), ())


@given(st.dictionaries(NAMES, VALUES), st.lists(NAMES), st.lists(NAMES))
def test_a_launch_survives_the_way_to_its_worker(conf: dict[str, str], jars: list[str], modules: list[str]) -> None:
    launch = Launch(conf, ("delta",), tuple(jars), tuple(modules), ("--no-index",))
    assert Launch.read(launch.as_document()) == launch
