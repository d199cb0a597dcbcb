from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from headwater.config import Environment
from tests.support.paths import ROOT

WAREHOUSE = {"workgroup": "w", "database": "d", "copy_role": "arn:aws:iam::123456789012:role/x-copy"}
DECLARED = {
    "name": "test",
    "prefix": "x-test",
    "region": "eu-west-1",
    "account": "123456789012",
    "warehouse": WAREHOUSE,
}


def environment(**own: Any) -> Environment:
    return Environment.model_validate({**DECLARED, **own})


def test_an_environment_needs_little() -> None:
    found = environment()
    assert found.schedules == {}
    assert found.stage("gold").workers == 2
    assert (found.budget_usd, found.protected) == (1000, False)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"warehouse": {**WAREHOUSE, "base_capacity": 64, "max_capacity": 32}}, "below base_capacity"),
        ({"warehouse": {**WAREHOUSE, "base_capacity": 12}}, "multiple of 8"),
        ({"schedules": {"daily": {"cron": "0 4 * * *"}}}, "schedules.daily.cron"),
        ({"stages": {"extract": {"workers": 2}}}, "stages.extract"),
        ({"stages": {"gold": {"wrkers": 2}}}, "wrkers"),
        ({"retention": {"logs": 31}}, "retention.logs"),
        ({"alerts": {"emails": ["nobody"]}}, "alerts.emails"),
        ({"network": {"vpc": "default", "subnets": ["subnet-1"]}}, "network.vpc"),
        ({"analysts": {"roles": ["analysts"]}}, "analysts.roles"),
        ({"analysts": {"modeller": "arn:aws:iam::123456789012:role/dbt"}}, "is none of roles: there are none"),
        ({"budget_usd": 0}, "budget_usd"),
    ],
)
def test_what_aws_would_refuse_later_is_refused_at_once(own: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        environment(**own)
    assert message in str(refused.value)


def test_every_key_of_an_environment_is_in_the_deployment_guide() -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    keys = Environment.model_fields.keys() - {"name", "sources", "reporting_currency", "drift"}
    assert [key for key in sorted(keys) if f"`{key}`" not in guide] == []


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "roles").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_role_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ")
    assert yaml.safe_load(path.read_text().replace("${", "{").replace("$$", "$")) is not None
