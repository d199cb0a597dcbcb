"""Calls a schedule's target in its role's name, tries again what may pass, and keeps as a dead letter what failed for good."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.scheduler.models import Schedule

from local.gateway import faults
from local.gateway.clock import CLOCK
from local.gateway.iam.authority import Authority
from local.gateway.iam.principals import key_of
from local.gateway.moto.step_functions import boto_service
from local.gateway.settings import GatewaySettings

PRINCIPAL = "scheduler.amazonaws.com"
"""Who a target's role has to trust."""

_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# AWS says of the delay between two attempts that it grows, not how long it is.
_FIRST_DELAY_SECONDS = 30.0
_THROTTLED = 429
_DEFAULT_POLICY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400}


@dataclass(frozen=True)
class _Failure:
    """Why a target was not called; `passes` when it pays to try again."""

    code: str
    message: str
    passes: bool = False


class Delivery:
    """What becomes of a schedule that fires."""

    def __init__(self, settings: GatewaySettings, authority: Authority) -> None:
        self._settings = settings
        self._authority = authority

    def deliver(self, schedule: Schedule, scheduled: datetime) -> None:
        """Calls the target, as often as its retry policy says until it is called; ends when it is, or is given up."""
        target = schedule.target
        policy = {**_DEFAULT_POLICY, **target.get("RetryPolicy", {})}
        attempt, delay = 1, _FIRST_DELAY_SECONDS
        while True:
            told = {
                "schedule-arn": schedule.arn,
                "scheduled-time": scheduled.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "execution-id": secrets.token_hex(8),
                "attempt-number": str(attempt),
            }
            text = str(target.get("Input") or "{}")
            for word, value in told.items():
                text = text.replace(f"<aws.scheduler.{word}>", value)
            failure = self._attempt(schedule, text)
            if failure is None:
                try:
                    # Scheduler delivers at least once: what has arrived may be delivered again, with an id of its own.
                    faults.hit("schedules.delivered")
                except faults.InjectedFault:
                    attempt += 1
                    continue
                return
            is_last = attempt > policy["MaximumRetryAttempts"]
            is_old = CLOCK.now() + delay > scheduled.timestamp() + policy["MaximumEventAgeInSeconds"]
            if not failure.passes or is_last or is_old:
                break
            CLOCK.sleep(delay)
            attempt, delay = attempt + 1, delay * 2
        exhausted = "MaximumRetryAttempts" if is_last else "MaximumEventAgeInSeconds"
        self._keep(schedule, text, told, failure, exhausted if failure.passes else None)

    def _attempt(self, schedule: Schedule, text: str) -> _Failure | None:
        if not self._may_read(schedule):
            return _Failure("AccessDeniedException", f"{schedule.target['RoleArn']} may not decrypt the input")
        try:
            self._call(schedule.target, text)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = str(error.response["Error"]["Code"])
            passes = status >= 500 or status == _THROTTLED or "Throttl" in code or "Exceeded" in code
            return _Failure(code, str(error), passes)
        except BotoCoreError as error:
            return _Failure(type(error).__name__, str(error), passes=True)
        except (ValueError, TypeError, AttributeError) as error:
            return _Failure("InvalidTarget", str(error))
        return None

    def _may_read(self, schedule: Schedule) -> bool:
        """True when the role may decrypt the schedule's input, for which it was given a key of ours, or none."""
        return not schedule.kms_key_arn or self._authority.act(
            "scheduler_input",
            schedule.target["RoleArn"],
            data_key=schedule.kms_key_arn,
            prefix=schedule.group_name,
        )

    def _call(self, target: dict[str, Any], text: str) -> None:
        arn = str(target["Arn"])
        if arn.startswith(_UNIVERSAL):
            service, _, action = arn.removeprefix(_UNIVERSAL).partition(":")
            client = self._client(target["RoleArn"], boto_service(service))
            method = xform_name(action)
            call = getattr(client, method)
            call(**_spelled(client, method, json.loads(text)))
        elif ":states:" in arn:
            self._client(target["RoleArn"], "stepfunctions").start_execution(stateMachineArn=arn, input=text)
        elif ":lambda:" in arn:
            client = self._client(target["RoleArn"], "lambda")
            client.invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode())
        else:
            raise ValueError(f"the local stack cannot call {arn}")

    def _keep(
        self, schedule: Schedule, text: str, told: dict[str, str], failure: _Failure, exhausted: str | None
    ) -> None:
        queue = (schedule.target.get("DeadLetterConfig") or {}).get("Arn")
        attributes = {
            "SCHEDULE_ARN": schedule.arn,
            "TARGET_ARN": schedule.target["Arn"],
            "SCHEDULED_TIME": told["scheduled-time"],
            "EXECUTION_ID": told["execution-id"],
            "RETRY_ATTEMPTS": str(int(told["attempt-number"]) - 1),
            "ERROR_CODE": failure.code,
            "ERROR_MESSAGE": failure.message,
        } | ({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {})
        try:
            if queue is None:
                raise ValueError("it has no queue of dead letters")
            self._client(schedule.target["RoleArn"], "sqs").send_message(
                QueueUrl=f"{self._settings.endpoint}/{self._settings.account_id}/{queue.rpartition(':')[2]}",
                # Nobody but the role may see what it alone may decrypt.
                MessageBody=text if self._may_read(schedule) else "{}",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        except (BotoCoreError, ClientError, ValueError) as error:
            # On AWS a metric counts these, and nothing else shows them.
            sys.stderr.write(f"schedule {schedule.name}: {failure.code}: {failure.message}; lost: {error}\n")

    def _client(self, role: str, service: str) -> Any:
        return _client(self._settings.endpoint, self._settings.region, role, service)


@lru_cache(maxsize=32)
def _client(endpoint: str, region: str, role: str, service: str) -> Any:
    session: Any = boto3.session.Session(key_of(role, PRINCIPAL, "schedule"), "scheduler")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=900)
    return session.client(service, region_name=region, endpoint_url=endpoint, config=config)


def _spelled(client: Any, method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the service spells them: Scheduler takes them in Pascal case, whatever the service's own spelling is."""
    operation = client.meta.method_to_api_mapping[method]
    known = {name.lower(): name for name in client.meta.service_model.operation_model(operation).input_shape.members}
    return {known.get(name.lower(), name): value for name, value in given.items()}
