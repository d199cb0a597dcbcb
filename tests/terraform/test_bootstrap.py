"""terraform/bootstrap in an account where others live too, and what the roles of the workflows may do."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from headwater.deploy.roles import roles
from local.gateway.iam.conditions import matches
from tests.support.paths import ROOT
from tests.terraform.conftest import LATE, Place
from tests.terraform.runner import HERE, Terraform, stand_in

BOUNDARY = json.loads((ROOT / "terraform" / "bootstrap" / "boundary.json").read_text())
STATE = "arn:aws:s3:::headwater-123456789012-state"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `terraform test` says of bootstrap/account.tftest.hcl, with the provider that is pinned."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("bootstrap")
    settings = stand_in(folder)
    if isinstance(settings, str):
        pytest.skip(settings)
    shutil.copytree(ROOT / "config" / "environments", folder / "config" / "environments")
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "terraform" / "bootstrap", folder / "terraform" / "bootstrap", ignore=ignored)
    shutil.copytree(HERE / "bootstrap", folder / "terraform" / "bootstrap" / "tests")
    # What a test has made, it removes again.
    kept = (
        "lakeformation_data_lake_settings",
        "glue_data_catalog_encryption_settings",
        "s3_account_public_access_block",
    )
    removed = [
        f'resource "aws_{kind}" "this" {{\n  lifecycle {{\n    prevent_destroy = false\n  }}\n}}\n' for kind in kept
    ]
    (folder / "terraform" / "bootstrap" / "test_override.tf").write_text("\n".join(removed))
    terraform = Terraform(folder / "terraform" / "bootstrap", folder / "data", settings)
    done = terraform("init", "-backend=false", "-input=false")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in terraform("test", "-json", "-verbose").stdout.splitlines()]


def test_bootstrap_coexists_with_what_an_account_has(said: list[dict[str, Any]]) -> None:
    errors = [line.get("diagnostic", {}) for line in said if line["@level"] == "error"]
    assert [error.get("detail") or error.get("summary") for error in errors] == []
    assert [line["test_summary"]["status"] for line in said if "test_summary" in line] == ["pass"]


@pytest.fixture
def made(said: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What an empty account gets, by address."""
    [state] = [
        line["test_state"]
        for line in said
        if line.get("@testrun") == "an_empty_account_gets_everything" and "test_state" in line
    ]
    return {resource["address"]: resource["values"] for resource in state["root_module"]["resources"]}


def statements(made: dict[str, dict[str, Any]], role: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(made[f'aws_iam_role_policy.deployer["{role}"]']["policy"])["Statement"]
    return found


def _many(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def says(statement: dict[str, Any], action: str, resource: str) -> bool:
    if not any(matches(pattern, action) for pattern in _many(statement["Action"])):
        return False
    if "NotResource" in statement:
        return not any(matches(pattern, resource) for pattern in _many(statement["NotResource"]))
    return any(matches(pattern, resource) for pattern in _many(statement["Resource"]))


def may(made: dict[str, dict[str, Any]], role: str, action: str, resource: str) -> bool:
    """As the role's own policy and ReadOnlyAccess decide, which lets in every s3:Get* and s3:List*."""
    found = [(s["Effect"], s) for s in statements(made, role)]
    denied = any(effect == "Deny" and says(s, action, resource) for effect, s in found)
    allowed = action.startswith(("s3:Get", "s3:List")) or any(
        e == "Allow" and says(s, action, resource) for e, s in found
    )
    return allowed and not denied


def test_a_plan_reads_the_state_of_its_environment_and_locks_it(made: dict[str, dict[str, Any]]) -> None:
    role = "headwater-dev-plan"
    assert may(made, role, "s3:GetObject", f"{STATE}/dev.tfstate")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert may(made, role, action, f"{STATE}/dev.tfstate.tflock")
    assert may(made, role, "s3:GetObject", "arn:aws:s3:::headwater-dev-artifacts/packages/headwater.zip")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", f"{STATE}/dev.tfstate"),
        ("s3:DeleteObject", f"{STATE}/dev.tfstate"),
        ("s3:GetObject", f"{STATE}/prod.tfstate"),
        ("s3:GetObjectVersion", f"{STATE}/prod.tfstate"),
        ("s3:PutObject", f"{STATE}/prod.tfstate.tflock"),
        ("s3:DeleteObject", f"{STATE}/prod.tfstate.tflock"),
        ("s3:GetObject", "arn:aws:s3:::headwater-dev-raw/fx_rates/rates/1.jsonl"),
        ("s3:GetObject", "arn:aws:s3:::headwater-prod-artifacts/packages/headwater.zip"),
    ],
)
def test_a_plan_may_not(action: str, resource: str, made: dict[str, dict[str, Any]]) -> None:
    assert not may(made, "headwater-dev-plan", action, resource)


def test_who_may_assume_the_roles_is_said_exactly(made: dict[str, dict[str, Any]]) -> None:
    subjects = {
        name: json.loads(made[f'aws_iam_role.deployer["headwater-dev-{name}"]']["assume_role_policy"])["Statement"][0][
            "Condition"
        ]
        for name in ("plan", "apply")
    }
    audience = "token.actions.githubusercontent.com:aud"
    assert {tuple(condition) for condition in subjects.values()} == {("StringEquals",)}
    assert {condition["StringEquals"][audience] for condition in subjects.values()} == {"sts.amazonaws.com"}
    assert {
        name: condition["StringEquals"]["token.actions.githubusercontent.com:sub"]
        for name, condition in subjects.items()
    } == {
        "plan": ["repo:you/headwater:pull_request", "repo:you/headwater:ref:refs/heads/main"],
        "apply": ["repo:you/headwater:environment:dev"],
    }


def test_an_apply_makes_no_role_without_the_boundary(made: dict[str, dict[str, Any]]) -> None:
    boundary, role = "arn:aws:iam::123456789012:policy/headwater-boundary", "arn:aws:iam::123456789012:role/any"
    denying = [s for s in statements(made, "headwater-dev-apply") if s["Effect"] == "Deny" and "Action" in s]

    def conditions(action: str, resource: str) -> list[Any]:
        return [s.get("Condition") for s in denying if says(s, action, resource)]

    for action in ("iam:CreateRole", "iam:PutRolePermissionsBoundary"):
        assert conditions(action, role) == [{"StringNotEquals": {"iam:PermissionsBoundary": boundary}}], action
    assert conditions("iam:DeleteRolePermissionsBoundary", role) == [None]
    for action in ("iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:SetDefaultPolicyVersion"):
        assert conditions(action, boundary) == [None], action


def test_the_boundary_leaves_each_role_what_it_does(place: Place) -> None:
    allowed = [pattern for s in BOUNDARY["Statement"] for pattern in s["Action"]]
    used = {
        action
        for role in roles(place.deployment, LATE)
        for s in role.permissions["Statement"]
        for action in s["Action"]
    }
    beyond = {action for action in used if not any(matches(pattern, action) for pattern in allowed)}
    assert beyond == set(), "hint: terraform/bootstrap/boundary.json"


def test_the_boundary_lets_nobody_administer() -> None:
    allowed = [pattern for s in BOUNDARY["Statement"] for pattern in s["Action"]]
    for action in (
        "iam:CreateRole",
        "iam:PassRole",
        "sts:AssumeRole",
        "kms:PutKeyPolicy",
        "s3:PutBucketPolicy",
        "organizations:LeaveOrganization",
    ):
        assert not any(matches(pattern, action) for pattern in allowed), action
