"""What S3 bills: storage by class with what was overwritten and the logs of access, requests, transitions between classes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from headwater.deploy.cost.item import Quantity
from headwater.deploy.cost.month import DAYS, Month

# Days without a read after which intelligent tiering moves an object on.
_TIER_INFREQUENT, _TIER_ARCHIVE = Decimal(30), Decimal(90)
# A week between two runs of Maintain: what a table no longer needs waits for half of it on average.
_UNTIL_MAINTAIN = Decimal("3.5")
_ARRIVING = ("compressed",)
_GB = Decimal(10**9)


def storage(month: Month) -> Iterator[Quantity]:
    """Lists storage, requests and transitions."""
    yield from _raw(month)
    yield from _lake(month)
    yield from _requests(month)


def _raw(month: Month) -> Iterator[Quantity]:
    retention = month.project.environment.retention
    a_day, days = month.stored_gb_a_day, month.workload.stored_months * DAYS
    infrequent = min(days, Decimal(retention.raw_infrequent_access))
    archive = min(days, Decimal(retention.raw_archive))
    yield Quantity("S3", "raw, standard", a_day * infrequent, "s3_standard", _ARRIVING)
    yield Quantity("S3", "raw, infrequent access", a_day * (archive - infrequent), "s3_infrequent_access", _ARRIVING)
    yield Quantity("S3", "raw, archive", a_day * (days - archive), "s3_archive", _ARRIVING)
    objects = a_day * DAYS / month.assumed("object_gb")
    yield Quantity("S3", "raw, moved to infrequent access", objects, "s3_to_infrequent_access", ("object_gb",))
    yield Quantity("S3", "raw, moved to archive", objects, "s3_to_archive", ("object_gb",))


def _lake(month: Month) -> Iterator[Quantity]:
    # The lake moves by itself (intelligent tiering): bronze is read once and grows cold, silver and gold are in use.
    a_day, days = month.stored_gb_a_day, month.workload.stored_months * DAYS
    warm, cool = min(days, _TIER_INFREQUENT), min(days, _TIER_ARCHIVE)
    yield Quantity("S3", "bronze, frequent access", a_day * warm, "s3_standard", _ARRIVING)
    yield Quantity("S3", "bronze, infrequent access", a_day * (cool - warm), "s3_infrequent_access", _ARRIVING)
    yield Quantity("S3", "bronze, archive", a_day * (days - cool), "s3_archive", _ARRIVING)
    in_use = a_day * days * month.assumed("silver_share") + month.workload.gold_gb
    yield Quantity("S3", "silver and gold", in_use, "s3_standard", ("compressed", "silver_share"))
    objects = (a_day * days + in_use) / month.assumed("object_gb")
    yield Quantity("S3", "objects watched", objects, "s3_watching", ("object_gb",))
    yield from _overwritten(month)


def _overwritten(month: Month) -> Iterator[Quantity]:
    # What MERGE and OPTIMIZE replace stays in its table until VACUUM, and then as a version that is not current.
    retention = month.project.environment.retention
    merged = month.stored_gb_a_day * month.assumed("silver_share") * month.assumed("rewritten")
    compacted = month.stored_gb_a_day * (1 + month.assumed("silver_share")) * month.assumed("compacted")
    days = min(retention.version_days + _UNTIL_MAINTAIN + retention.old_versions, month.workload.stored_months * DAYS)
    assumes = ("compressed", "silver_share", "rewritten", "compacted")
    yield Quantity("S3", "versions that are not current", (merged + compacted) * days, "s3_standard", assumes)


def _requests(month: Month) -> Iterator[Quantity]:
    writes, reads = requests(month)
    assumes = ("object_gb", "table_writes", "table_reads")
    yield Quantity("S3", "writes and listings", writes, "s3_writes", assumes)
    yield Quantity("S3", "reads", reads, "s3_reads", (*assumes, "reads_a_write"))
    # Each request is a line, kept as long as logs are.
    kept = Decimal(month.project.environment.retention.logs) / DAYS
    gb = (writes + reads) * month.assumed("access_line_bytes") / _GB
    kept = min(kept, Decimal(month.workload.stored_months))
    yield Quantity("S3", "logs of access", gb * kept, "s3_standard", (*assumes, "access_line_bytes"))


def requests(month: Month) -> tuple[Decimal, Decimal]:
    """Counts the requests of a month: those that write or list, and those that read."""
    streams = sum(len(source.streams) for source in month.project.sources.values())
    a_source = Decimal(streams) / len(month.project.sources)
    tables = month.source_runs * a_source + month.runs_a_month * len(month.project.gold)
    moved = month.stored_gb_a_day * DAYS * (2 + month.assumed("silver_share")) / month.assumed("object_gb")
    writes = tables * month.assumed("table_writes") + moved
    reads = tables * month.assumed("table_reads") + moved * month.assumed("reads_a_write")
    return writes, reads
