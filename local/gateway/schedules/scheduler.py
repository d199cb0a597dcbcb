"""Schedules of EventBridge Scheduler have an alarm each on the gateway's clock, at which their target is called."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.scheduler.exceptions import ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, ScheduleGroup

from local.gateway.clock import CLOCK, Appointment
from local.gateway.iam.authority import Authority
from local.gateway.schedules.delivery import PRINCIPAL, Delivery
from local.gateway.schedules.expressions import ExpressionError, next_after
from local.gateway.settings import GatewaySettings


class Scheduler:
    """Every schedule's next firing."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
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
            window = 60 * int(schedule.flexible_time_window.get("MaximumWindowInMinutes") or 0)
            # Within a flexible window AWS chooses, to spread what many want at the same minute.
            at = when.timestamp() + random.uniform(0, window)
            self._alarms[schedule.arn] = CLOCK.alarm(at, lambda: self._fire(schedule, when))

    def _fire(self, schedule: Schedule, scheduled: datetime) -> None:
        with self._lock:
            self._alarms.pop(schedule.arn, None)
            self._set(schedule, self._next(schedule, scheduled))
        self._delivery.deliver(schedule, scheduled)


def install(settings: GatewaySettings, authority: Authority) -> None:
    """Makes schedules fire."""
    scheduler = Scheduler(Delivery(settings, authority))
    create_group = EventBridgeSchedulerBackend.create_schedule_group
    create, update, delete, drop = (
        EventBridgeSchedulerBackend.create_schedule,
        EventBridgeSchedulerBackend.update_schedule,
        EventBridgeSchedulerBackend.delete_schedule,
        EventBridgeSchedulerBackend.delete_schedule_group,
    )

    def create_schedule(self: EventBridgeSchedulerBackend, *args: Any, **named: Any) -> Schedule:
        _check_role(authority, named["target"])
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
        _check_role(authority, named["target"])
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


def _check_role(authority: Authority, target: dict[str, Any]) -> None:
    if not authority.principals.trusts(target["RoleArn"], PRINCIPAL):
        raise ValidationException(
            "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
        )
