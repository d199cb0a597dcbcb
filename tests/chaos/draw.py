"""What a seed draws: the faults of some runs, and whether a second run goes on beside one."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

OURS = ("cut", "full")
"""What the gateway does not do itself: the connections of the source are cut, the disk of a job is full."""
LAMBDAS = ("plan_run", "take_turn", "read_verdicts", "load_changes", "audit_run")
# What each stage writes on the way: raw, the ledger's entries, the tables' commits, what is published.
BY_STAGE = {
    "rds_postgres-extract": (
        "/data/",
        "/manifests/",
        "/bronze/[0-9]+",
        "bronze/.*/_delta_log/[0-9]+.json",
        "/_leases/bronze/",
    ),
    "check": ("/verdicts/", "/metrics/"),
    "silver": (
        "silver/.*[.]parquet",
        "silver/.*/_delta_log/[0-9]+.json",
        "/books/",
        "/_leases/silver/",
    ),
    "gold": ("gold/.*/_delta_log/[0-9]+.json", "/load/.*[.]parquet", "/load/.*/published/"),
}
STAGES = tuple(BY_STAGE)
WRITES = (
    *(path for paths in BY_STAGE.values() for path in paths),
    # What not every day writes.
    *("/load/_audit/", "quarantine/.*/_delta_log/[0-9]+.json"),
)
READS = ("/manifests/", "/verdicts/", "/books/", "_delta_log", "[.]parquet", "project.json")


@dataclass(frozen=True)
class Sequence:
    """Runs one after the other: the faults of each, and whether another run is started beside it."""

    seed: int
    runs: tuple[tuple[tuple[dict[str, Any], ...], bool], ...]

    @classmethod
    def of(cls, seed: int, prefix: str) -> Sequence:
        """Draws one to three runs with one to three faults each."""
        random = Random(seed)
        return cls(
            seed,
            tuple(
                (tuple(_fault(random, prefix) for _ in range(random.randint(1, 3))), random.random() < 0.25)
                for _ in range(random.randint(1, 3))
            ),
        )


def _fault(random: Random, prefix: str) -> dict[str, Any]:
    """Draws a fault on the requests of one environment: what it waits for, what it does, and how often."""
    stage = random.choice(STAGES)
    job, skip = f"{prefix}-{stage}", random.choice((0, 0, 0, 1))
    path = f"/{prefix}-(raw|lake)/.*{random.choice(WRITES)}"
    when = random.choice(("before", "after"))
    match random.choice(
        (
            *("kill", "kill", "kill", "error", "drop_reply", "drop_reply", "deny", "throttle", "unheard"),
            *("silent", "cut", "full"),
        )
    ):
        case "kill":
            # The first write that fits: of some there is one alone.
            path = f"/{prefix}-(raw|lake)/.*{random.choice(BY_STAGE[stage])}"
            return {"action": "kill", "job": job, "method": "PUT", "path": path, "when": when}
        case "silent":
            return {"action": "throttle", "path": "sns[.]Publish", "times": 1000}
        case "cut":
            return {"action": "cut"}
        case "full":
            return {"action": "full", "job": job}
        case "error":
            method, what = random.choice((("PUT", random.choice(WRITES)), ("GET", random.choice(READS))))
            path = f"/{prefix}-(raw|lake|artifacts)/.*{what}"
            return {"action": "error", "method": method, "path": path, "times": random.randint(1, 12), "skip": skip}
        case "drop_reply":
            return {"action": "drop_reply", "method": "PUT", "path": path, "times": random.randint(1, 3), "skip": skip}
        case "deny":
            role = random.choice((job, *(f"{prefix}-{name}" for name in LAMBDAS)))
            what = random.choice(READS)
            return {
                "action": "deny",
                "job": role,
                "method": "GET",
                "path": f"/{prefix}-.*{what}",
                "times": 100,
                "skip": skip,
            }
        case "throttle":
            return {"action": "throttle", "path": ".", "rate": random.choice((0.02, 0.1, 0.2))}
        case _:
            return {"action": "error", "point": "redshift.after_commit", "times": random.randint(1, 3)}
