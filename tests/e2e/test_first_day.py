"""docs/deploy.md, command by command: from an empty account to the first query and away again, with the rights that bootstrap gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.exceptions import ClientError

from local.counterparts.facebook_ads import FacebookAds
from local.stack import Stack
from tests.support import deploy_page
from tests.support.newcomer import ADMINISTRATOR, Keys, Newcomer, Said

from .pipeline import own_stack
from .test_a_day import there

HOUSEHOLDS = 60
SOURCES = frozenset({"fx_rates", "facebook_ads"})
ROLE = "arn:aws:iam::123456789012:role/"
PREFIX = "headwater-dev"
DEV = "config/environments/dev.yaml"
PULL_REQUEST = "repo:you/headwater:pull_request"
APPROVED = "repo:you/headwater:environment:dev"
TRUST = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}


@dataclass
class FirstDay:
    """What was typed, and what came of it."""

    newcomer: Newcomer
    stack: Stack
    said: dict[str, Said] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def types(self, what: str, command: str, keys: Keys = ADMINISTRATOR, *, given: str = "") -> Said:
        self.said[what] = self.newcomer.types(command, keys, given=given)
        return self.said[what]

    def must(self, what: str, command: str, keys: Keys = ADMINISTRATOR, *, given: str = "") -> None:
        said = self.types(what, command, keys, given=given)
        assert said.ok, f"{command}\n{said.words[-3000:]}"

    def plans(self, what: str) -> None:
        self.must(what, deploy_page.commands("3. ")[0], self.workflow("plan", PULL_REQUEST))

    def applies(self, what: str) -> None:
        self.must(what, deploy_page.commands("3. ")[1], self.workflow("apply", APPROVED))

    def workflow(self, kind: str, subject: str) -> Keys:
        return self.newcomer.workflow(f"{ROLE}{PREFIX}-{kind}", subject)

    @property
    def analyst(self) -> Keys:
        return self.newcomer.role(f"{ROLE}analysts")

    def bootstraps(self) -> None:
        _, apply = deploy_page.commands("2. ")
        *_, defaults = deploy_page.inline("2. ", "-var empty_lake_formation_defaults")
        self.must("bootstrap", f"{apply} {defaults}", given="yes\n")

    def adds_a_source(self) -> None:
        """Takes the source of the page's example out of `without`, and gives it its secret."""
        path = self.newcomer.root / DEV
        path.write_text(path.read_text().replace("facebook_ads, ", "", 1))
        self.plans("a plan with one more source")
        self.applies("an apply with one more source")
        shown, put, check = deploy_page.commands("4. ")
        self.must("secrets", shown)
        self.types("a check before the secret is there", check)
        self.must("the secret", put, given=json.dumps(dict(FacebookAds.credentials)))
        self.must("a check", check)

    def loses_a_statement(self, sid: str) -> Said:
        """Plans as the role of plans less one of its statements, which it then has again."""
        iam = boto3.client("iam")
        known = {"RoleName": f"{PREFIX}-plan", "PolicyName": "headwater"}
        whole = iam.get_role_policy(**known)["PolicyDocument"]
        fewer = {**whole, "Statement": [statement for statement in whole["Statement"] if statement["Sid"] != sid]}
        iam.put_role_policy(**known, PolicyDocument=json.dumps(fewer))
        plan = "terraform -chdir=terraform plan -input=false -var environment=dev"
        try:
            return self.types(f"less {sid}", plan, self.workflow("plan", PULL_REQUEST))
        finally:
            iam.put_role_policy(**known, PolicyDocument=json.dumps(whole))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    newcomer.initialises()
    return newcomer


@pytest.fixture(scope="module")
def day(newcomer: Newcomer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstDay]:
    with own_stack(tmp_path_factory.mktemp("first_day"), HOUSEHOLDS, SOURCES) as stack:
        newcomer.endpoint = stack.aws_endpoint
        day = FirstDay(newcomer, stack)
        [declared] = deploy_page.blocks("1. ", "yaml")
        addresses = {counterpart.source: dict(counterpart.override()) for counterpart in stack.counterparts()}
        newcomer.writes(DEV, f"\n{declared}sources: {json.dumps(addresses)}\n")
        day.bootstraps()
        day.plans("the first plan")
        day.types(
            "an apply by the role of plans",
            "terraform -chdir=terraform apply dev.tfplan",
            day.workflow("plan", PULL_REQUEST),
        )
        day.applies("the first apply")
        day.loses_a_statement("SeeWhatIsDeployed")
        for command in deploy_page.commands("5. "):
            # The simulators publish up to their world's day.
            day.must(command, command.replace(" --wait", f" --wait --as-of {stack.clock()}"))
        boto3.client("iam").create_role(
            RoleName="analysts", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": TRUST})
        )
        attach, first, *_gold = deploy_page.commands("6. ")
        day.types("a query without the policy", first, day.analyst)
        day.must("the policy", attach)
        day.must("the first query", first, day.analyst)
        day.plans("a plan after the run")
        day.adds_a_source()
        [destroy] = deploy_page.inline("Take it down", "make package")
        day.must("the end", destroy, day.workflow("apply", APPROVED), given="yes\n")
        day.left = there(PREFIX)
        yield day


def test_a_plan_after_an_apply_and_a_run_finds_nothing_to_change(day: FirstDay) -> None:
    assert "No changes." in day.said["a plan after the run"].words


def test_who_plans_changes_nothing(day: FirstDay) -> None:
    said = day.said["an apply by the role of plans"]
    assert not said.ok
    assert "AccessDenied" in said.words


def test_a_plan_needs_the_key_of_what_is_deployed(day: FirstDay) -> None:
    assert not day.said["less SeeWhatIsDeployed"].ok
    assert "AccessDenied" in day.said["less SeeWhatIsDeployed"].words


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("plan", "repo:somebody/headwater:pull_request"),
        ("apply", PULL_REQUEST),
        ("apply", "repo:you/headwater:environment:prod"),
    ],
)
def test_github_gets_the_keys_of_what_it_names_alone(kind: str, subject: str, day: FirstDay) -> None:
    with pytest.raises(ClientError, match="Not authorized"):
        day.workflow(kind, subject)


def test_a_source_answers_once_its_secret_is_there(day: FirstDay) -> None:
    assert f"{PREFIX}/facebook_ads" in day.said["secrets"].words
    assert "is not stored" in day.said["a check before the secret is there"].words


def test_an_analyst_asks_with_the_policy_and_not_without(day: FirstDay) -> None:
    assert not day.said["a query without the policy"].ok
    assert "EUR" in day.said["the first query"].words


def test_it_goes_away_and_leaves_only_what_bootstrap_made(day: FirstDay) -> None:
    assert sorted(day.left) == [f"role {PREFIX}-apply", f"role {PREFIX}-plan"]
