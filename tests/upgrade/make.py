"""Makes what tests/e2e/test_upgrade.py begins with: `python -m tests.upgrade.make`, run at the version whose state is to be kept.

The data beside this file was made by the code of commit ae12140. The world is the same each time; run ids and times are not.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from headwater.client import Client
from tests import conftest  # noqa: F401 - Spark starts as in all tests
from tests.e2e.pipeline import Pipeline, own_stack

from . import environment, stored


def main() -> None:
    """Runs the history, stores what there is then, and runs the world's next step to tell what must come of it."""
    os.environ.setdefault("HEADWATER_WORKERS", "1")
    with (
        tempfile.TemporaryDirectory() as home,
        own_stack(Path(home), environment.HOUSEHOLDS, frozenset(environment.STREAMS)) as stack,
    ):
        stored.lead(stack)
        deployment = environment.deployment_of(stack)
        stack.deploy(deployment)
        pipeline = Pipeline(stack, Client(deployment))
        pipeline.run_well()
        stored.store(stack, deployment)
        before = environment.picture(pipeline)
        stack.advance(*environment.STEP)
        pipeline.run_well()
        pictures = {"stored": before, "next": environment.picture(pipeline)}
    environment.EXPECTED.write_text(json.dumps(pictures, indent=1) + "\n")


if __name__ == "__main__":
    main()
