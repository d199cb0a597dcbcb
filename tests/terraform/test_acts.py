"""What AWS's services do in the roles' names, or in their own, is allowed in every environment, and each statement is needed for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from headwater.deploy.deployment import Deployment
from headwater.deploy.resource_policies import KEYS, key_policies, queue_policies, topic_policy
from headwater.deploy.roles import RoleSpec, roles
from local.gateway.iam.acts import Act, acts
from local.gateway.iam.policy import Decision, Request, Statement, decide, read, statements_of
from tests.terraform.conftest import LATE, Place

VIA_ROLES = {name: act for name, act in acts().items() if act.of}
VIA_SERVICES = {name: act for name, act in acts().items() if act.service}


@cache
def deployed(place: Place) -> Deployment:
    return place.deployment


@cache
def made(place: Place) -> Mapping[str, tuple[RoleSpec, tuple[Statement, ...]]]:
    """Each role of a place, and its statements."""
    return {role.name: (role, read(json.dumps(role.permissions))) for role in roles(deployed(place), LATE)}


def values(place: Place, role: RoleSpec | None = None) -> dict[str, str]:
    environment = deployed(place).project.environment
    known = {"region": environment.region, "account": environment.account, "prefix": environment.prefix}
    keys = {f"{key}_key": LATE.get(f"{key}_key", f"arn:aws:test:eu-west-1:123456789012:{key}_key") for key in KEYS}
    secrets = [
        resource.replace("??????", "a1B2c3")
        for statement in (role.permissions["Statement"] if role else ())
        for resource in statement["Resource"]
        if ":secret:" in resource
    ]
    group = f"/aws-glue/jobs/{environment.prefix}-role/{role.name if role else '-'}/output"
    return {
        **known,
        **keys,
        "name": role.name if role else "-",
        "function": role.name if role else "-",
        "group": group,
        "secret": secrets[0] if secrets else "-",
    }


def concerned(place: Place, act: Act) -> list[RoleSpec]:
    """The roles that an act is done for."""
    return [
        role
        for role, statements in made(place).values()
        if act.of in role.trust["Statement"][0]["Principal"]["Service"]
        and (act.when is None or any(act.when in statement.actions for statement in statements))
    ]


def by_role(place: Place, act: Act, role: RoleSpec, identity: tuple[Statement, ...] | None = None) -> Decision:
    arn = f"arn:aws:iam::{deployed(place).project.environment.account}:role/{role.name}"
    return decide(act.request(arn, values(place, role)), made(place)[role.name][1] if identity is None else identity)


def by_service(place: Place, act: Act) -> Decision:
    known = values(place)
    request = act.request(str(act.service).replace("${region}", known["region"]), known)
    return decide(request, (), policy_of(place, request))


def policy_of(place: Place, request: Request) -> tuple[Statement, ...]:
    policies: dict[str, Any] = {
        **{values(place)[f"{key}_key"]: policy for key, policy in key_policies(deployed(place)).items()},
        f"{deployed(place).topic_arn}": topic_policy(deployed(place)),
        **{
            deployed(place).project.environment.arn("sqs", queue): policy
            for queue, policy in queue_policies(deployed(place)).items()
        },
    }
    return read(json.dumps(policies[request.resource]))


@pytest.mark.parametrize("name", VIA_ROLES)
def test_what_a_service_does_in_a_roles_name_is_allowed(place: Place, name: str) -> None:
    act = VIA_ROLES[name]
    refused = [role.name for role in concerned(place, act) if not by_role(place, act, role).allowed]
    assert refused == []


@pytest.mark.parametrize("name", VIA_ROLES)
def test_without_the_statements_that_allow_it_an_act_is_refused(place: Place, name: str) -> None:
    act = VIA_ROLES[name]
    for role in concerned(place, act):
        allowing = {statement.sid for statement in by_role(place, act, role).by}
        rest = tuple(statement for statement in made(place)[role.name][1] if statement.sid not in allowing)
        assert not by_role(place, act, role, rest).allowed


def test_every_act_is_done_for_some_role(every_kind: Any) -> None:
    place = Place(every_kind, "prod")
    assert [name for name, act in VIA_ROLES.items() if not concerned(place, act)] == []


@pytest.mark.parametrize("name", VIA_SERVICES)
def test_what_a_service_does_in_its_own_name_is_allowed(place: Place, name: str) -> None:
    assert by_service(place, VIA_SERVICES[name]).allowed


def test_a_function_decrypts_no_other_functions_environment(place: Place) -> None:
    act = acts()["lambda_environment"]
    for role in concerned(place, act):
        other = act.request("anybody", {**values(place, role), "function": f"{role.name}-other"})
        assert not decide(other, made(place)[role.name][1]).allowed


def test_a_strange_account_makes_no_alarm(place: Place) -> None:
    request = acts()["alarm_topic"].request("cloudwatch.amazonaws.com", {**values(place), "account": "999999999999"})
    own = Request(request.principals, request.action, deployed(place).topic_arn, request.context)
    assert not decide(own, (), statements_of(topic_policy(deployed(place))["Statement"])).allowed


def test_a_policy_lets_no_connection_without_tls_publish(place: Place) -> None:
    told = {"aws:SourceAccount": (deployed(place).project.environment.account,), "aws:SecureTransport": ("false",)}
    request = Request(frozenset({"cloudwatch.amazonaws.com"}), "sns:Publish", deployed(place).topic_arn, told)
    assert not decide(request, (), statements_of(topic_policy(deployed(place))["Statement"])).allowed
