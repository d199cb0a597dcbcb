"""Proofs compare values, however an engine writes them."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from local.proofs import read_gold
from tests.support.declared import project


@pytest.mark.parametrize(
    ("athena", "redshift"),
    [
        ("2018-03-01 10:00:00.000 UTC", "2018-03-01 10:00:00"),
        ("2018-03-01 10:00:00.250 UTC", "2018-03-01 10:00:00.25"),
        ("1.50", Decimal("1.5")),
        ("true", True),
        (None, None),
        ("2018-03-01", "2018-03-01"),
    ],
)
def test_a_value_that_engines_write_otherwise_is_the_same(athena: Any, redshift: Any) -> None:
    assert written(athena, redshift)[0] == written(athena, redshift)[1]


@pytest.mark.parametrize(
    ("athena", "redshift"),
    [
        ("2018-03-01 10:00:00.000 UTC", "2018-03-01 11:00:00"),
        ("2018-03-01 10:00:00.001 UTC", "2018-03-01 10:00:00"),
        ("2018-03-01 10:00:00.000 Europe/Paris", "2018-03-01 10:00:00"),
        ("1.50", Decimal("1.51")),
        ("true", False),
        ("0", None),
    ],
)
def test_a_value_that_differs_is_another(athena: Any, redshift: Any) -> None:
    assert written(athena, redshift)[0] != written(athena, redshift)[1]


def written(athena: Any, redshift: Any) -> tuple[Any, Any]:
    """What a proof compares of a value in each engine."""
    told = {"athena": athena, "redshift": redshift}
    deployed: Any = project().model_copy(update={"gold": {"event_activity": project().gold["event_activity"]}})
    client: Any = SimpleNamespace(
        project=deployed, query=lambda engine, sql: SimpleNamespace(rows=[(told[engine],)] if sql else [])
    )
    [answers] = read_gold(client).values()
    return answers["athena"], answers["redshift"]
