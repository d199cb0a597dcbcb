"""Sets up this checkout: `make setup`, or `python3.11 -m local.setup` where there is no make.

This half runs on the machine's own Python and imports nothing but the standard library; the other, `local.setup.programs`,
runs in the environment that this one makes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.setup import machine
from local.setup.environment import Environment, InstallError
from local.setup.steps import step

ROOT = Path(__file__).resolve().parents[2]
_GOES_ON = "What is done is kept: make setup goes on from there."


def main() -> int:
    """Does what has not been done yet; 0 once all of it is."""
    environment = Environment(ROOT)
    try:
        machine.check(ROOT, is_first=not environment.exists())
        if not environment.is_current():
            _announce(environment)
            with step(f"{environment.packages()} Python packages, held against requirements.lock"):
                environment.install()
    except machine.NotHereError as error:
        print(f"Headwater cannot be set up here: {error}", file=sys.stderr)
        return 1
    except (InstallError, OSError) as error:
        print(f"{error}\n{_GOES_ON}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted. {_GOES_ON}", file=sys.stderr)
        return 130
    done = subprocess.run([environment.python, "-m", "local.setup.programs"], cwd=ROOT, check=False)
    if done.returncode != 0:
        print(_GOES_ON, file=sys.stderr)
    return done.returncode


def _announce(environment: Environment) -> None:
    if environment.exists():
        print("Going on with what an earlier setup has left in .venv and ~/.cache.", flush=True)
    else:
        print("Setting up Headwater in .venv and ~/.cache. The first time that is a gigabyte of downloads and", end=" ")
        print("3 to 6 minutes on two cores; later, seconds.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
