"""What the local database servers have in common: a data directory, one user with a password, and no root."""

from __future__ import annotations

import grp
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from headwater.errors import HeadwaterError

HOST = "127.0.0.1"
UNPRIVILEGED_USER, _UNPRIVILEGED_GROUP = "nobody", "nogroup"


@dataclass(frozen=True)
class DatabaseServer:
    """One server in a data directory, on 127.0.0.1, with one user who signs in with a password.

    It outlives the process that started it, until `stop`; as a context manager it is stopped on exit. It keeps nothing safe
    from a power cut.
    """

    data_dir: Path
    port: int
    user: str
    password: str
    database: str

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    def start(self) -> None:
        """Starts the server, with new files where there are none; a running one stays as it is."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stops the server of this data directory, whoever started it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def unprivileged() -> list[str]:
    """The command prefix under which a database server runs, since one refuses to be root; none for anybody else.

    The process becomes `nobody`, but keeps the right to pass directories that only root may enter: a checkout or a venv
    below /root stays as it is, nothing is made readable for others.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise HeadwaterError("no server runs as root here. hint: install util-linux (setpriv), or be another user")
    return [
        setpriv,
        f"--reuid={UNPRIVILEGED_USER}",
        f"--regid={_group()}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]


def _group() -> str:
    try:
        grp.getgrnam(_UNPRIVILEGED_GROUP)
    except KeyError:
        # Red Hat's name for the group of nobody.
        return UNPRIVILEGED_USER
    return _UNPRIVILEGED_GROUP
