"""Schedules fire on the gateway's clock, at their times, with what Scheduler fills in, and keep as a dead letter what failed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from headwater.deploy.deployment import Deployment
from headwater.deploy.schedules import compact
from local.deploy_access import deploy_access
from local.deploy_schedules import deploy_schedules
from local.gateway.server import REPOSITORY as ROOT
from tests.support import declared
from tests.support.aws import ROLE, Aws
from tests.support.waiting import wait_for

START = "arn:aws:scheduler:::aws-sdk:sfn:startExecution"
HOUR = 3600


@pytest.fixture
def held(aws: Aws) -> Iterator[Aws]:
    """The gateway with its clock held; schedules that a test has made are gone afterwards."""
    aws.own("clock", "POST", {"pace": "held"})
    yield aws
    client = aws.client("scheduler")
    for found in client.list_schedules()["Schedules"]:
        client.delete_schedule(Name=found["Name"])


def _now(aws: Aws) -> datetime:
    return datetime.fromisoformat(aws.own("clock")["now"])


def _move_to(aws: Aws, moment: datetime) -> None:
    aws.moved((moment - _now(aws)).total_seconds())


def _machine(aws: Aws, seconds: int = 0) -> str:
    wait = {"Type": "Wait", "Seconds": seconds, "End": True}
    return aws.machine({"StartAt": "Wait", "States": {"Wait": wait}})


def _schedule(aws: Aws, expression: str, target: dict[str, Any], **more: Any) -> str:
    name = f"schedule-{uuid.uuid4().hex[:6]}"
    aws.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        Target={"RoleArn": ROLE, **target},
        **{"FlexibleTimeWindow": {"Mode": "OFF"}, **more},
    )
    return name


def _start(machine: str) -> dict[str, str]:
    given = {"StateMachineArn": machine, "Name": "daily-<aws.scheduler.execution-id>", "Input": "{}"}
    return {"Arn": START, "Input": json.dumps(given)}


def _executions(aws: Aws, machine: str) -> list[dict[str, Any]]:
    found = aws.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return sorted(found, key=lambda execution: execution["startDate"])


def _until(aws: Aws, machine: str, count: int) -> list[datetime]:
    def look() -> list[datetime] | None:
        found = _executions(aws, machine)
        return [execution["startDate"].astimezone(UTC) for execution in found] if len(found) >= count else None

    return wait_for(look)


def test_a_machine_starts_each_day_at_its_time_and_not_before(held: Aws) -> None:
    zone = ZoneInfo("Europe/Dublin")
    machine = _machine(held)
    today = _now(held).astimezone(zone).replace(hour=12, minute=0, second=0, microsecond=0)
    _move_to(held, today + timedelta(days=1))
    _schedule(held, "cron(0 4 * * ? *)", _start(machine), ScheduleExpressionTimezone="Europe/Dublin")
    fire = (today + timedelta(days=2)).replace(hour=4)
    _move_to(held, fire - timedelta(seconds=1))
    assert _executions(held, machine) == []
    _move_to(held, fire)
    assert _until(held, machine, 1) == [fire.astimezone(UTC)]
    _move_to(held, fire + timedelta(days=3))
    assert _until(held, machine, 4) == [(fire + timedelta(days=day)).astimezone(UTC) for day in range(4)]
    names = {execution["name"] for execution in _executions(held, machine)}
    assert len(names) == 4
    assert all(len(name) > len("daily-") and "<" not in name for name in names)


def test_what_a_run_waits_for_passes_before_the_next_one_starts(held: Aws) -> None:
    machine = _machine(held, seconds=600)
    _schedule(held, "rate(1 hour)", _start(machine))
    held.moved(3 * HOUR + 700)
    _until(held, machine, 4)
    found = [
        (execution["status"], execution["stopDate"] - execution["startDate"])
        for execution in _executions(held, machine)
    ]
    assert found == [("SUCCEEDED", timedelta(seconds=600))] * 4


def test_nothing_fires_without_a_move_nor_when_it_is_disabled_or_gone(aws: Aws) -> None:
    client = aws.client("scheduler")
    machine = _machine(aws, seconds=3 * 86_400)
    switched_off = _schedule(aws, "rate(1 hour)", _start(machine), State="DISABLED")
    gone = _schedule(aws, "cron(0 * * * ? *)", _start(machine))
    client.delete_schedule(Name=gone)
    aws.moved(2 * HOUR)
    assert _executions(aws, machine) == []
    client.delete_schedule(Name=switched_off)


def test_a_schedule_that_is_changed_fires_at_its_new_time(held: Aws) -> None:
    machine = _machine(held)
    begun = _now(held)
    name = _schedule(held, "cron(0 0 1 1 ? 2199)", _start(machine))
    held.client("scheduler").update_schedule(
        Name=name,
        ScheduleExpression=f"at({begun + timedelta(hours=1):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"RoleArn": ROLE, **_start(machine)},
    )
    held.moved(2 * HOUR)
    assert _until(held, machine, 1) == [(begun + timedelta(hours=1)).replace(microsecond=0)]


def test_the_scheduled_time_is_filled_in_and_the_call_is_the_roles(held: Aws) -> None:
    sqs = held.client("sqs")
    queue = sqs.create_queue(QueueName=f"told-{uuid.uuid4().hex[:6]}")["QueueUrl"]
    told = {"at": "<aws.scheduler.scheduled-time>", "try": "<aws.scheduler.attempt-number>"}
    given = {"QueueUrl": queue, "MessageBody": json.dumps(told)}
    at = (_now(held) + timedelta(minutes=2)).replace(second=0, microsecond=0)
    role = held.role("teller", {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"})
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": json.dumps(given), "RoleArn": role}
    _schedule(held, f"at({at:%Y-%m-%dT%H:%M:%S})", target)
    held.own("calls", "DELETE")
    _move_to(held, at)
    [message] = wait_for(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert json.loads(message["Body"]) == {"at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "try": "1"}
    assert {"principal": role.rpartition("/")[2], "action": "sqs:SendMessage"}.items() <= next(
        call for call in held.own("calls")["calls"] if call["action"] == "sqs:SendMessage"
    ).items()


def _dead_letters(aws: Aws) -> tuple[str, str]:
    name = f"dead-{uuid.uuid4().hex[:6]}"
    return aws.client("sqs").create_queue(QueueName=name)["QueueUrl"], f"arn:aws:sqs:eu-west-1:123456789012:{name}"


def _letter(aws: Aws, queue: str) -> dict[str, Any]:
    client = aws.client("sqs")
    [found] = wait_for(lambda: client.receive_message(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages"))
    told = {name: value["StringValue"] for name, value in found["MessageAttributes"].items()}
    return {**told, "body": found["Body"]}


def test_what_the_target_refuses_is_a_dead_letter_at_once(held: Aws) -> None:
    url, arn = _dead_letters(held)
    missing = "arn:aws:states:eu-west-1:123456789012:stateMachine:no-such"
    _schedule(held, "rate(1 day)", {**_start(missing), "DeadLetterConfig": {"Arn": arn}})
    letter = _letter(held, url)
    assert letter["ERROR_CODE"] == "StateMachineDoesNotExist"
    assert (letter["RETRY_ATTEMPTS"], json.loads(letter["body"])["StateMachineArn"]) == ("0", missing)


def test_what_the_role_may_not_do_is_a_dead_letter(held: Aws) -> None:
    url, arn = _dead_letters(held)
    machine = _machine(held)
    role = held.role("sender", {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn})
    _schedule(held, "rate(1 day)", {**_start(machine), "RoleArn": role, "DeadLetterConfig": {"Arn": arn}})
    letter = _letter(held, url)
    assert (letter["ERROR_CODE"], letter["RETRY_ATTEMPTS"]) == ("AccessDeniedException", "0")
    assert _executions(held, machine) == []


def test_an_input_that_the_role_may_not_decrypt_reaches_nobody(held: Aws) -> None:
    url, arn = _dead_letters(held)
    machine = _machine(held)
    policy = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:GenerateDataKey", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    key = held.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
    _schedule(held, "rate(1 day)", {**_start(machine), "DeadLetterConfig": {"Arn": arn}}, KmsKeyArn=key)
    letter = _letter(held, url)
    assert (letter["ERROR_CODE"], letter["body"]) == ("AccessDeniedException", "{}")
    assert _executions(held, machine) == []


def test_a_role_that_does_not_trust_the_scheduler_is_refused_when_the_schedule_is_made(aws: Aws) -> None:
    client = aws.client("scheduler")
    arn = aws.role("strange")
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    aws.client("iam").update_assume_role_policy(RoleName=arn.rpartition("/")[2], PolicyDocument=document)
    with pytest.raises(client.exceptions.ValidationException, match="assume the role"):
        _schedule(aws, "rate(1 day)", {**_start("arn:none"), "RoleArn": arn})


def test_within_a_flexible_window_a_schedule_fires_once(held: Aws) -> None:
    machine = _machine(held)
    at = (_now(held) + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}
    name = _schedule(held, f"at({at:%Y-%m-%dT%H:%M:%S})", _start(machine), FlexibleTimeWindow=window)
    _move_to(held, at + timedelta(hours=1))
    [begun] = _until(held, machine, 1)
    held.client("scheduler").delete_schedule(Name=name)
    assert at < begun <= at + timedelta(minutes=30)


def test_a_target_that_is_busy_is_tried_again_as_often_as_the_policy_says(aws: Aws) -> None:
    machine = _machine(aws)
    url, arn = _dead_letters(aws)
    policy = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": HOUR}
    aws.own("faults", "POST", {"action": "error", "path": "states.StartExecution", "times": 2})
    name = _schedule(aws, "rate(10 days)", {**_start(machine), "DeadLetterConfig": {"Arn": arn}, "RetryPolicy": policy})
    _until(aws, machine, 1)
    aws.client("scheduler").delete_schedule(Name=name)
    aws.own("faults", "DELETE")
    aws.own("faults", "POST", {"action": "error", "path": "states.StartExecution", "times": 3})
    name = _schedule(aws, "rate(10 days)", {**_start(machine), "DeadLetterConfig": {"Arn": arn}, "RetryPolicy": policy})
    letter = _letter(aws, url)
    aws.client("scheduler").delete_schedule(Name=name)
    assert (letter["RETRY_ATTEMPTS"], letter["EXHAUSTED_RETRY_CONDITION"]) == ("2", "MaximumRetryAttempts")
    assert len(_executions(aws, machine)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "point": "schedules.delivered"},
        {"action": "drop_reply", "path": "states.StartExecution"},
    ],
)
def test_what_is_delivered_twice_starts_two_runs_by_two_names_and_leaves_no_dead_letter(
    aws: Aws, fault: dict[str, str]
) -> None:
    """Scheduler may deliver again what has arrived, by itself or since it has not heard the answer."""
    machine = _machine(aws)
    url, arn = _dead_letters(aws)
    aws.own("faults", "POST", fault)
    name = _schedule(aws, "rate(10 days)", {**_start(machine), "DeadLetterConfig": {"Arn": arn}})
    _until(aws, machine, 2)
    aws.client("scheduler").delete_schedule(Name=name)
    found = _executions(aws, machine)
    assert len({execution["name"] for execution in found}) == len(found) == 2
    assert "Messages" not in aws.client("sqs").receive_message(QueueUrl=url)


def test_what_cannot_fire_is_refused_when_it_is_made(aws: Aws) -> None:
    client = aws.client("scheduler")
    with pytest.raises(client.exceptions.ValidationException, match="must be"):
        _schedule(aws, "cron(0 4 * * * *)", _start("arn:none"))
    assert client.list_schedules()["Schedules"] == []


def test_a_group_is_made_once(aws: Aws) -> None:
    client = aws.client("scheduler")
    client.create_schedule_group(Name="once")
    with pytest.raises(client.exceptions.ConflictException):
        client.create_schedule_group(Name="once")


@pytest.fixture
def as_deployer(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls AWS in this process is an administrator of the gateway's."""
    given = {"ENDPOINT_URL": aws.endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    for name, value in {**given, "DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.mark.usefixtures("as_deployer")
@pytest.mark.parametrize("environment", ["local", "prod"])
def test_the_local_deploy_makes_every_schedule_that_is_derived_and_may_be_repeated(aws: Aws, environment: str) -> None:
    deployment = Deployment(declared.project(environment), ROOT)
    key = deploy_access(deployment)["data"]
    deploy_schedules(deployment, key)
    deploy_schedules(deployment, key)
    client = aws.client("scheduler")
    names = [found["Name"] for found in client.list_schedules()["Schedules"]]
    made = {name: client.get_schedule(Name=name, GroupName=deployment.prefix) for name in names}
    for spec in [*deployment.schedules(), *deployment.snapshots()]:
        found = made.pop(spec.name)
        assert (found["ScheduleExpression"], found["ScheduleExpressionTimezone"]) == (spec.expression, spec.time_zone)
        assert (found["Target"]["Arn"], found["Target"]["Input"]) == (spec.action, compact(spec.input))
        assert found["State"] == ("ENABLED" if spec.enabled else "DISABLED")
    assert made == {}
    client.delete_schedule_group(Name=deployment.prefix)


@pytest.mark.usefixtures("as_deployer")
def test_what_is_deployed_starts_its_runs_at_their_hours_as_the_schedulers_role(held: Aws) -> None:
    deployment = Deployment(declared.project("prod"), ROOT)
    deploy_schedules(deployment, deploy_access(deployment)["data"])
    states, scheduler = held.client("stepfunctions"), held.client("scheduler")
    waits = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    machine = states.create_state_machine(name=deployment.state_machine, definition=json.dumps(waits), roleArn=ROLE)[
        "stateMachineArn"
    ]
    assert machine == deployment.state_machine_arn
    held.own("calls", "DELETE")
    held.moved(24 * HOUR)
    # One daily run, six of what came in, and four of the ads.
    _until(held, machine, 11)
    inputs = [
        states.describe_execution(executionArn=execution["executionArn"])["input"]
        for execution in _executions(held, machine)
    ]
    scheduler.delete_schedule_group(Name=deployment.prefix)
    wanted = {name: schedule.sources for name, schedule in deployment.project.environment.schedules.items()}
    counts = {
        name: inputs.count(compact({"sources": list(sources)} if sources else {})) for name, sources in wanted.items()
    }
    assert counts == {"daily": 1, "incoming": 6, "ads": 4}
    told = {(call["principal"], call["action"]) for call in held.own("calls")["calls"]}
    assert {(f"{deployment.prefix}-scheduler", action) for action in ("states:StartExecution", "kms:Decrypt")} <= told
    states.delete_state_machine(stateMachineArn=machine)


def test_on_somebodys_machine_no_run_starts_by_itself() -> None:
    deployment = Deployment(declared.project("local"), ROOT)
    assert [spec.enabled for spec in deployment.schedules()] == [False]
