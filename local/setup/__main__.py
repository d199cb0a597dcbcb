"""Sets up this checkout: `make setup`, or `python3.11 -m local.setup` where there is no make.

This half runs on the machine's own Python and imports nothing but the standard library; the other, `local.setup.programs`,
runs in the environment that this one makes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from local.setup import machine
from local.setup.environment import Environment, InstallError
from local.setup.steps import step

ROOT = Path(__file__).resolve().parents[2]
_GOES_ON = "What is done is kept: make setup goes on from there."


def main() -> int:
    """Does what has not been done yet; 0 once all of it is."""
    started = time.monotonic()
    environment = Environment(ROOT)
    is_first = not environment.is_current()
    try:
        machine.check(ROOT, is_first)
        if is_first:
            print(
                "Setting up Headwater in .venv and ~/.cache: 2 to 5 minutes and 1 GB of downloads, the first time.",
                flush=True,
            )
            with step(f"{environment.packages()} Python packages, held against requirements.lock"):
                environment.install()
    except machine.NotHereError as error:
        print(f"Headwater cannot be set up here: {error}", file=sys.stderr)
        return 1
    except InstallError as error:
        print(f"{error}\n{_GOES_ON}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. {_GOES_ON}", file=sys.stderr)
        return 130
    done = subprocess.run([environment.python, "-m", "local.setup.programs"], cwd=ROOT, check=False)
    if done.returncode != 0:
        print(_GOES_ON, file=sys.stderr)
        return 1
    if is_first:
        print(f"Set up in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
