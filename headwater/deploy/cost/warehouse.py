"""What Redshift Serverless bills: RPU hours, a minute at least each time it wakes, and storage; and Athena its scans."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from headwater.deploy.cost.item import Quantity
from headwater.deploy.cost.month import DAYS, HOUR_SECONDS, Month

LEAST_AWAKE_SECONDS = Decimal(60)


def warehouse(month: Month) -> Iterator[Quantity]:
    """Lists the RPU hours of runs and of people's queries, storage, snapshots, and Athena's scans."""
    declared = month.project.environment.warehouse
    awake = max(month.load_seconds + month.assumed("audit_seconds"), LEAST_AWAKE_SECONDS)
    loading = month.runs_a_month * awake / HOUR_SECONDS * declared.base_capacity
    asking = month.workload.queried_hours_a_day * DAYS * declared.base_capacity
    # Twice the limit is where the workgroup refuses.
    most = Decimal(2 * declared.rpu_hours_a_day) * DAYS
    loading = min(loading, most)
    yield Quantity("Redshift", "loads and audits", loading, "redshift_rpu_hour", ("load_seconds", "audit_seconds"))
    yield Quantity("Redshift", "people's queries", min(asking, most - loading), "redshift_rpu_hour")
    yield Quantity("Redshift", "storage", month.workload.gold_gb, "redshift_storage")
    kept = month.workload.gold_gb * declared.snapshot_days * month.assumed("snapshot_share")
    yield Quantity("Redshift", "snapshots", kept, "redshift_snapshot", ("snapshot_share",))
    yield Quantity("Athena", "scans", month.workload.athena_tb, "athena_scan")
