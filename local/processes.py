"""Programs of the local stack that outlive who started them: started once, stopped by process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import HeadwaterError

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_HOST = "127.0.0.1"
# Its number in the kernel's tables of sockets.
_LISTENING = "0A"

# Kept for as long as this process lives: a child must be reaped by its parent, or it looks alive without end.
_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Program:
    """One program with its process id and its log in a folder."""

    name: str
    home: Path

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.home / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.home / f"{self.name}.pid"

    def runs(self) -> bool:
        """True when the program of this folder is running, whoever started it."""
        return self._pid_file.exists() and _lives(int(self._pid_file.read_text()))

    def start(self, command: Sequence[str], answers: Callable[[], bool]) -> None:
        """Starts it and waits until it answers; HeadwaterError when it ends or stays silent."""
        self.launch(command)
        self.wait(answers)

    def launch(self, command: Sequence[str], cwd: Path | None = None) -> None:
        """Starts it and waits for nothing."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            process = subprocess.Popen(
                list(command), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        _started[process.pid] = process
        self._pid_file.write_text(str(process.pid))

    def wait(self, answers: Callable[[], bool], seconds: float = _START_SECONDS) -> None:
        """Waits until it answers; HeadwaterError when it has ended or stays silent."""
        deadline = time.monotonic() + seconds
        while not answers():
            if not self.runs() or time.monotonic() > deadline:
                raise HeadwaterError(f"{self.name} did not start. hint: look into {self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops it, whoever started it; one that does not run stays as it is."""
        if not self._pid_file.exists():
            return
        pid = int(self._pid_file.read_text())
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            os.kill(pid, signal.SIGTERM)
            while _lives(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
        except ProcessLookupError:
            pass
        self._pid_file.unlink()


def listens(port: int) -> bool:
    """True when something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def listener(port: int) -> str:
    """Names the program that listens on a port of this machine, as far as this user may know it."""
    sockets = {
        f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(open_file.readlink()) in sockets for open_file in (process / "fd").iterdir()):
                folder = (process / "cwd").readlink()
                return f"{(process / 'comm').read_text().strip()} (process {process.name}, in {folder})"
        except OSError:
            # It has ended meanwhile, or is another user's.
            continue
    return "a program of another user"


def _listening(table: Path, port: int) -> list[str]:
    """Lists the inodes of the sockets that listen on a port."""
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]


def _lives(pid: int) -> bool:
    if pid in _started:
        return _started[pid].poll() is None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
