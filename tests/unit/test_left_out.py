"""An environment without some of the sources, and two environments in one VPC."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config.deployed import load_deployed
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import Declared, load_project, restricted
from headwater.validate.understanding import mistakes
from tests.support.declared import project
from tests.support.paths import ROOT

NETWORK = {"vpc": "vpc-1", "subnets": ["subnet-1"], "route_tables": ["rtb-1"], "endpoints": True}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("config", "sql", "crawlers"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def change(root: Path, environment: str, **own: Any) -> None:
    path = root / "config" / "environments" / f"{environment}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **own}))


def test_a_source_that_is_left_out_takes_along_what_needs_it(root: Path) -> None:
    change(root, "dev", without=["kafka", "rds_postgres"])
    assert mistakes(Declared(root)) == []
    whole, left = load_project(root, "local"), load_project(root, "dev")
    assert whole.sources.keys() - left.sources.keys() == {"kafka", "rds_postgres"}
    fed = {stream.table for source in left.sources.values() for stream in source.streams.values()}
    assert left.tables.keys() == fed < whole.tables.keys()
    assert left.quality.keys() <= fed
    assert all(set(table.inputs) <= fed for table in left.gold.values())
    jobs = [job.name for job in Deployment(left, root).jobs()]
    assert "headwater-dev-fx_rates-extract" in jobs
    assert "headwater-dev-kafka-extract" not in jobs


@pytest.mark.parametrize("source", sorted(project("local").sources))
def test_what_is_hidden_is_hidden_of_tables_that_are_there(source: str) -> None:
    whole = project("local")
    assert whole.environment.analysts.hidden_columns
    assert whole.environment.analysts.row_filters
    alone = restricted(whole, frozenset({source}))
    there = alone.silver.keys() | alone.gold.keys()
    for kept, declared in (
        (alone.environment.analysts.hidden_columns, whole.environment.analysts.hidden_columns),
        (alone.environment.analysts.row_filters, whole.environment.analysts.row_filters),
    ):
        assert kept == {table: told for table, told in declared.items() if table in there}


@settings(max_examples=15)
@given(st.sets(st.sampled_from(sorted(project("local").sources)), min_size=1))
def test_whatever_is_left_out_the_rest_is_read_again_as_it_was_written(sources: set[str]) -> None:
    left = restricted(project("local"), frozenset(sources))
    assert load_deployed(left.model_dump_json(by_alias=True)).sources.keys() == sources


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"without": ["kafak"]}, "without.0: no source kafak, did you mean kafka?"),
        ({"without": sorted(project("local").sources)}, "without: leaves no source"),
        (
            {"without": ["kinesis"], "schedules": {"often": {"cron": "0 4 * * ? *", "sources": ["kinesis"]}}},
            "schedules.often.sources.0: kinesis is left out by `without`",
        ),
        (
            {
                "without": ["rds_mysql"],
                "network": {
                    **NETWORK,
                    "endpoints": False,
                    "rds_proxies": {"pool": {"source": "rds_mysql", "engine_family": "MYSQL", "instance": "i"}},
                },
            },
            "network.rds_proxies.pool.source: no source of kind jdbc rds_mysql",
        ),
    ],
)
def test_what_makes_no_sense_without_them_is_told(own: dict[str, Any], said: str, root: Path) -> None:
    change(root, "dev", **own)
    [line] = mistakes(Declared(root))
    assert line.startswith("config/environments/dev.yaml:")
    assert said in line


def test_endpoints_are_made_once_in_a_vpc(root: Path) -> None:
    change(root, "dev", network=NETWORK)
    change(root, "staging", network=NETWORK)
    lines = mistakes(Declared(root))
    assert [line.partition(":")[0] for line in lines] == ["config/environments/staging.yaml"]
    assert (
        "network.endpoints: vpc-1 gets its endpoints from dev; they serve all of it. hint: endpoints: false" in lines[0]
    )
    change(root, "staging", network={**NETWORK, "endpoints": False})
    assert mistakes(Declared(root)) == []
