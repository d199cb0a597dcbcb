"""What a machine must have before anything is installed. It runs on the machine's own Python, whichever that is."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PYTHON = (3, 11)
ROOM = 6_000_000_000
"""Bytes that a first setup needs: .venv, the jars, MariaDB, and the caches that they come through."""

_OTHER_PYTHON = "any other Python 3.11 does as well, from pyenv, conda or uv: make setup PYTHON=/path/to/python3.11"


class NotHereError(Exception):
    """This machine lacks something that setup cannot install; the message says how to get it."""


def check(root: Path, is_first: bool) -> None:
    """Raises NotHereError unless Headwater can be set up here."""
    if sys.version_info[:2] != PYTHON:
        raise NotHereError(
            f"{sys.executable} is Python {platform.python_version()}; Headwater runs on 3.11, as Glue 5 does. hint: {_OTHER_PYTHON}"
        )
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise NotHereError(
            f"this is {platform.system()} on {platform.machine()}; the locked packages are for Linux with glibc on x86-64. "
            "hint: a virtual machine or a container of one, for instance Debian 12 or Ubuntu 22.04"
        )
    if find_spec("ensurepip") is None:
        raise NotHereError(
            f"{sys.executable} has no module ensurepip, so it can make no virtual environment. "
            f"hint: apt-get install python3.11-venv; {_OTHER_PYTHON}"
        )
    free = shutil.disk_usage(root).free
    if is_first and free < ROOM:
        raise NotHereError(
            f"{free / 1e9:.1f} GB are free in {root}, and {ROOM / 1e9:.0f} GB are needed. hint: make room"
        )
