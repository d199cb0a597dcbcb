"""Lets what moto keeps of a time come from the gateway's clock."""

from __future__ import annotations

import datetime as dt
import types
from typing import Any

from local.gateway.clock import CLOCK


class _ClockDatetime(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """Tells the clock's time; without a zone in UTC, which is the zone of every AWS service."""
        moment = CLOCK.moment()
        return moment.replace(tzinfo=None) if tz is None else moment.astimezone(tz)


_DATETIME = types.SimpleNamespace(**{**vars(dt), "datetime": _ClockDatetime})
_ASKED: dict[str, Any] = {
    "datetime": _DATETIME,
    "time": types.SimpleNamespace(time=CLOCK.now),
    "unix_time": CLOCK.now,
    "unix_time_millis": lambda: CLOCK.now() * 1000,
    "utcnow": lambda: CLOCK.moment().replace(tzinfo=None),
}


def ask(module: types.ModuleType, *names: str) -> None:
    """Replaces what a module of moto's has imported to tell the time; AttributeError when it has not."""
    for name in names:
        getattr(module, name)
        setattr(module, name, _ASKED[name])
