"""What a Glue job's arguments say of the runtime that its script finds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headwater.errors import HeadwaterError

_FORMATS = ("delta", "hudi", "iceberg")
_NEXT_CONF = re.compile(r"\s+--conf\s+")


class LaunchError(HeadwaterError):
    """Glue would not start such a job; the message names the argument."""


@dataclass(frozen=True)
class Launch:
    """What a job's worker is started with: `conf` of Spark, formats, and by their URIs jars and Python modules.

    `installing` are options of pip. What a JVM cannot take on later is `conf` and `formats`.
    """

    conf: Mapping[str, str]
    formats: tuple[str, ...]
    jars: tuple[str, ...]
    modules: tuple[str, ...]
    installing: tuple[str, ...]

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> Launch:
        """Reads a job's arguments; LaunchError names one that Glue does not understand."""
        formats = _listed(arguments, "--datalake-formats")
        if unknown := sorted(set(formats) - {*_FORMATS}):
            raise LaunchError(f"--datalake-formats: {', '.join(unknown)}; Glue knows {', '.join(_FORMATS)}")
        return cls(
            conf=_conf(arguments.get("--conf", "")),
            formats=formats,
            jars=_listed(arguments, "--extra-jars"),
            modules=_listed(arguments, "--additional-python-modules"),
            installing=tuple(shlex.split(arguments.get("--python-modules-installer-option", ""))),
        )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Launch:
        """Reads what `as_document` has made."""
        lists = {name: tuple(document[name]) for name in ("formats", "jars", "modules", "installing")}
        return cls(conf=dict(document["conf"]), **lists)

    def as_document(self) -> dict[str, Any]:
        """Makes JSON of it."""
        return asdict(self)


def _conf(text: str) -> dict[str, str]:
    """Reads a chain of settings, `a=1 --conf b=2`; the last of a name counts."""
    settings = {}
    for part in _NEXT_CONF.split(text.strip()) if text.strip() else []:
        name, separator, value = part.partition("=")
        if not separator or not name.strip() or any(space in name.strip() for space in " \t,"):
            raise LaunchError(f"--conf: {part!r} is no name=value. hint: a=1 --conf b=2 is how Glue takes several")
        settings[name.strip()] = value.strip()
    return settings


def _listed(arguments: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in arguments.get(name, "").split(",") if item.strip())
