"""A stack that does without some sources."""

from __future__ import annotations

import pytest

from headwater.config import load_project
from headwater.errors import ConfigError
from local.stack import ROOT, restricted


def test_what_is_left_of_a_project_is_what_its_sources_can_fill() -> None:
    project = restricted(load_project(ROOT, "local"), frozenset({"rds_postgres"}))
    tables = {stream.table for stream in project.sources["rds_postgres"].streams.values()}
    assert set(project.sources) == {"rds_postgres"}
    assert set(project.quality) <= tables
    assert {"customer_analytics", "business_metrics"} == set(project.gold)


def test_a_source_that_is_not_declared_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no such source: shopify; known: clevertap, "):
        restricted(load_project(ROOT, "local"), frozenset({"shopify", "fx_rates"}))
