"""Plans a run: which sources, from which stage, and what each stream needs."""

from typing import Any

from headwater.open_project import OpenProject
from headwater.run.plan import plan_run


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns the plan of one run; an input that cannot be carried out raises ConfigError."""
    return plan_run(OpenProject.deployed(), event["run_id"], event["started_at"], event["input"])
