"""Fires schedules on the gateway's clock: calls the target as the role, tries again, and keeps what failed as a dead letter."""

from __future__ import annotations

import json
import secrets
import threading
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.core.exceptions import JsonRESTError
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, ScheduleGroup

from local.gateway.clock import CLOCK, Appointment
from local.gateway.schedules.expressions import ExpressionError, next_after
from local.gateway.settings import GatewaySettings

_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
_BOTO_NAMES = {"sfn": "stepfunctions", "redshiftserverless": "redshift-serverless", "redshiftdata": "redshift-data"}
# AWS says of the delay between two attempts that it grows, not how long it is.
_FIRST_DELAY_SECONDS = 30.0
_THROTTLED = 429
_DEFAULT_POLICY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400}


class Scheduler:
    """Every schedule's next firing."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._alarms: dict[str, Appointment] = {}

    def arm(self, schedule: Schedule, after: datetime) -> None:
        """Sets the alarm for what a schedule fires next after a time; ValidationException when nobody can tell."""
        with self._lock:
            self._disarm(schedule.arn)
            try:
                when = self._next(schedule, after)
            except ExpressionError as error:
                raise ValidationException(
                    f"Invalid Schedule Expression {schedule.schedule_expression}. {error}"
                ) from None
            self._set(schedule, when)

    def disarm(self, arn: str) -> None:
        """Lets go the alarm of a schedule that is no more."""
        with self._lock:
            self._disarm(arn)

    def _disarm(self, arn: str) -> None:
        if arn in self._alarms:
            CLOCK.cancel(self._alarms.pop(arn))

    def _next(self, schedule: Schedule, after: datetime) -> datetime | None:
        start = datetime.fromtimestamp(float(schedule.start_date or schedule.creation_date), UTC)
        zone = schedule.schedule_expression_timezone
        when = next_after(schedule.schedule_expression, zone, after, start.replace(microsecond=0))
        ends = schedule.end_date
        return None if when is None or (ends and when.timestamp() > float(ends)) else when

    def _set(self, schedule: Schedule, when: datetime | None) -> None:
        if when is not None and schedule.state == "ENABLED":
            self._alarms[schedule.arn] = CLOCK.alarm(when.timestamp(), lambda: self._fire(schedule, when))

    def _fire(self, schedule: Schedule, scheduled: datetime) -> None:
        with self._lock:
            self._alarms.pop(schedule.arn, None)
            self._set(schedule, self._next(schedule, scheduled))
        target = schedule.target
        policy = {**_DEFAULT_POLICY, **target.get("RetryPolicy", {})}
        retries, delay = 0, _FIRST_DELAY_SECONDS
        while True:
            execution = secrets.token_hex(8)
            words = {
                "schedule-arn": schedule.arn,
                "scheduled-time": scheduled.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "execution-id": execution,
                "attempt-number": str(retries + 1),
            }
            text = str(target.get("Input") or "{}")
            for word, value in words.items():
                text = text.replace(f"<aws.scheduler.{word}>", value)
            error = self._attempt(target, text)
            if error is None:
                return
            age = CLOCK.now() + delay - scheduled.timestamp()
            if error[2] and retries < policy["MaximumRetryAttempts"] and age <= policy["MaximumEventAgeInSeconds"]:
                CLOCK.sleep(delay)
                retries, delay = retries + 1, delay * 2
                continue
            exhausted = (
                "MaximumRetryAttempts" if retries >= policy["MaximumRetryAttempts"] else "MaximumEventAgeInSeconds"
            )
            self._keep(schedule, text, words, error, retries, exhausted if error[2] else None)
            return

    def _attempt(self, target: dict[str, Any], text: str) -> tuple[str, str, bool] | None:
        """Calls the target once; on failure the error's code, its message, and whether it pays to try again."""
        try:
            self._call(target, text)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = str(error.response["Error"]["Code"])
            return code, str(error), status >= 500 or status == _THROTTLED or "Throttl" in code or "Exceeded" in code
        except BotoCoreError as error:
            return type(error).__name__, str(error), True
        except (ValueError, TypeError, AttributeError) as error:
            return "InvalidTarget", str(error), False
        return None

    def _call(self, target: dict[str, Any], text: str) -> None:
        arn = str(target["Arn"])
        if arn.startswith(_UNIVERSAL):
            service, _, action = arn.removeprefix(_UNIVERSAL).partition(":")
            client = self._client(target["RoleArn"], _BOTO_NAMES.get(service, service))
            method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action)
            getattr(client, method)(**json.loads(text))
        elif ":states:" in arn:
            self._client(target["RoleArn"], "stepfunctions").start_execution(stateMachineArn=arn, input=text)
        elif ":lambda:" in arn:
            client = self._client(target["RoleArn"], "lambda")
            client.invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode())
        else:
            raise ValueError(f"the local stack cannot call {arn}")

    def _keep(
        self, schedule: Schedule, text: str, words: dict[str, str], error: Any, retries: int, exhausted: str | None
    ) -> None:
        queue = (schedule.target.get("DeadLetterConfig") or {}).get("Arn")
        if queue is None:
            return
        told = {
            "SCHEDULE_ARN": schedule.arn,
            "TARGET_ARN": schedule.target["Arn"],
            "SCHEDULED_TIME": words["scheduled-time"],
            "EXECUTION_ID": words["execution-id"],
            "RETRY_ATTEMPTS": str(retries),
            "ERROR_CODE": error[0],
            "ERROR_MESSAGE": error[1],
        }
        if exhausted:
            told["EXHAUSTED_RETRY_CONDITION"] = exhausted
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
        client = self._client(schedule.target["RoleArn"], "sqs")
        url = f"{self._settings.endpoint}/{self._settings.account_id}/{queue.rpartition(':')[2]}"
        client.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes)

    def _client(self, role: str, service: str) -> Any:
        return _client(self._settings.endpoint, self._settings.region, role.rpartition("/")[2], service)


@lru_cache(maxsize=32)
def _client(endpoint: str, region: str, role: str, service: str) -> Any:
    # The role's name signs, so that the call is known to be the role's.
    session: Any = boto3.session.Session(aws_access_key_id=role, aws_secret_access_key="scheduler")  # noqa: S106
    config = Config(parameter_validation=True, retries={"total_max_attempts": 1}, read_timeout=900)
    client = session.client(service, region_name=region, endpoint_url=endpoint, config=config)
    return _Pascal(client)


class _Pascal:
    """A client whose parameters may be spelled in Pascal case, as Scheduler takes them, whatever the service's own spelling is."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, method: str) -> Any:
        operation = self._client.meta.method_to_api_mapping.get(method)
        if operation is None:
            raise AttributeError(f"{self._client.meta.service_model.service_name} has no {method}")
        known = self._client.meta.service_model.operation_model(operation).input_shape.members
        spelled = {name.lower(): name for name in known}

        def call(**given: Any) -> Any:
            return getattr(self._client, method)(
                **{spelled.get(name.lower(), name): value for name, value in given.items()}
            )

        return call


def install(settings: GatewaySettings) -> Scheduler:
    """Makes schedules fire."""
    scheduler = Scheduler(settings)
    create_group = EventBridgeSchedulerBackend.create_schedule_group
    create, update, delete, drop = (
        EventBridgeSchedulerBackend.create_schedule,
        EventBridgeSchedulerBackend.update_schedule,
        EventBridgeSchedulerBackend.delete_schedule,
        EventBridgeSchedulerBackend.delete_schedule_group,
    )

    def create_schedule(self: EventBridgeSchedulerBackend, *args: Any, **named: Any) -> Schedule:
        made = create(self, *args, **named)
        made.creation_date = made.last_modified_date = CLOCK.now()
        try:
            # A rate fires first when it is made.
            scheduler.arm(made, CLOCK.moment() - timedelta(seconds=1))
        except ValidationException:
            delete(self, made.group_name, made.name)
            raise
        return made

    def update_schedule(self: EventBridgeSchedulerBackend, *args: Any, **named: Any) -> Schedule:
        changed = update(self, *args, **named)
        changed.state = changed.state or "ENABLED"
        scheduler.arm(changed, CLOCK.moment())
        return changed

    def delete_schedule(self: EventBridgeSchedulerBackend, group_name: str | None, name: str) -> None:
        scheduler.disarm(self.get_schedule(group_name, name).arn)
        delete(self, group_name, name)

    def delete_schedule_group(self: EventBridgeSchedulerBackend, name: str | None) -> None:
        for schedule in self.get_schedule_group(name).schedules.values():
            scheduler.disarm(schedule.arn)
        drop(self, name)

    def create_schedule_group(
        self: EventBridgeSchedulerBackend, name: str, tags: list[dict[str, str]]
    ) -> ScheduleGroup:
        # moto puts an empty group in the place of one that has schedules.
        if name in self.schedule_groups:
            raise JsonRESTError("ConflictException", f"Schedule group {name} already exists.")
        return create_group(self, name, tags)

    EventBridgeSchedulerBackend.create_schedule_group = create_schedule_group
    EventBridgeSchedulerBackend.create_schedule = create_schedule
    EventBridgeSchedulerBackend.update_schedule = update_schedule
    EventBridgeSchedulerBackend.delete_schedule = delete_schedule
    EventBridgeSchedulerBackend.delete_schedule_group = delete_schedule_group
    return scheduler
