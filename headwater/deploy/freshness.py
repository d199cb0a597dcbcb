"""When what is declared is brought up to date: in which runs of an environment's schedules each source is read."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.config import Project
from headwater.config.environment import Clock
from headwater.deploy.cost.cron import fires_a_day

_EACH_DAY = "?*"
_DAYS = {"SUN": "Sundays", "MON": "Mondays", "TUE": "Tuesdays", "WED": "Wednesdays", "THU": "Thursdays"} | {
    "FRI": "Fridays",
    "SAT": "Saturdays",
}


def in_words(clock: Clock) -> str:
    """A clock as people say it; an expression that has no such words stays as it is, with how often it fires."""
    minutes, hours, day, month, weekday, _ = clock.cron.split()
    off = "" if clock.enabled else ", switched off"
    days = (
        _DAYS.get(weekday) if weekday not in _EACH_DAY else "every day" if day in _EACH_DAY and month == "*" else None
    )
    if days is None or not minutes.isdigit():
        return f"`{clock.cron}` {clock.time_zone}, {fires_a_day(clock.cron):.1f} times a day{off}"
    if hours.isdigit():
        return f"{days} at {int(hours):02}:{int(minutes):02} {clock.time_zone}{off}"
    if hours == "*":
        return f"{days}, {int(minutes)} minutes past each hour{off}"
    span, _, step = hours.partition("/")
    first, _, last = span.partition("-")
    if first.isdigit() and step.isdigit():
        until = f" to {int(last):02}:{int(minutes):02}" if last else ""
        often = f"every {step} hours" if days == "every day" else f"{days} every {step} hours"
        return f"{often} from {int(first):02}:{int(minutes):02}{until} {clock.time_zone}{off}"
    return f"`{clock.cron}` {clock.time_zone}, {fires_a_day(clock.cron):.1f} times a day{off}"


def read_in(project: Project, source: str) -> list[str]:
    """The schedules in whose runs a source is read."""
    return [
        name
        for name, schedule in project.environment.schedules.items()
        if source in schedule.sources or not schedule.sources
    ]


def fresh(project: Project, sources: Iterable[str]) -> str:
    """When the schedules bring what comes of some sources up to date: by the words of those that read any of them."""
    names = dict.fromkeys(name for source in sources for name in read_in(project, source))
    return "; ".join(in_words(project.environment.schedules[name]) for name in names) or "when a run is started"
