"""A report as the demo makes it: three runs, with books that balance, for as many sources as asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 11, 21, 8, 56, 3, tzinfo=UTC)
STREAMS = {
    "rds_postgres": ("customers", "products", "orders", "order_items"),
    "facebook_ads": ("campaigns", "ad_sets", "ads", "ads_insights"),
    "fx_rates": ("rates",),
    "google_ads": ("campaigns", "ad_groups", "ad_performance"),
    "clevertap": ("profiles", "events", "campaigns"),
    "hubspot": ("contacts", "companies", "deals", "engagements"),
    "rds_mysql": ("tickets", "refunds"),
    "snowflake_partner_inventory": ("stock_levels", "stock_movements_by_warehouse_and_day"),
    "kafka_clickstream": ("page_views", "sessions"),
    "kinesis_app_events": ("app_events",),
    "s3_partner_files": ("settlements", "chargebacks"),
    "redshift_legacy": ("loyalty_points",),
    "sftp_store_planograms": ("planograms",),
}
REASONS = {"orders": ("status_known", "total_amount_complete"), "ads_insights": ("spend_not_negative",)}


def sample(sources: int = 3, *, failed: bool = False) -> dict[str, Any]:
    """A report of so many sources; in a failed one the second run ends with Silver of facebook_ads."""
    names = list(STREAMS)[:sources]
    runs = [
        _run("History load", START, names, batch=1, scale=40_000),
        _run("After 3 days", START + timedelta(minutes=6), names, batch=2, scale=700, fails=failed),
        _run("Nothing new", START + timedelta(minutes=10), names, batch=3, scale=0),
    ]
    return {
        "generated_at": (START + timedelta(minutes=13)).isoformat(timespec="seconds"),
        "environment": "local",
        "seconds": 781.4,
        "balanced": not failed,
        "proven": not failed,
        "runs": runs,
        "books": [{"run_id": run["run_id"], **book} for run in runs for book in run["books"]],
        "quarantine": [
            {"table": "orders", "reason": "status_known", "planted": 120, "quarantined": 120, "matches": True},
            {
                "table": "orders",
                "reason": "total_amount_complete",
                "planted": 84,
                "quarantined": 81 if failed else 84,
                "matches": not failed,
            },
            {
                "table": "ads_insights",
                "reason": "spend_not_negative",
                "planted": None,
                "quarantined": 9,
                "matches": True,
            },
        ],
        "proofs": [
            _proof("Revenue by month and category, athena", "4,512,880.17 in 312 groups"),
            _proof("Revenue by month and category, redshift", "4,512,880.17 in 312 groups"),
            _proof(
                "Ad cost by platform, account and day, redshift",
                "98,104.55 in 730 groups",
                "97,911.02 in 730 groups; 2 differ: facebook act_1001 2017-11-19: 120.11 ≠ 23.34" if failed else None,
            ),
            _proof(
                "A run with nothing new writes nothing but its audit entry",
                "no data file",
                "none" if not failed else None,
            ),
        ],
        "gold": [
            {"table": table, "engine": engine, "rows": rows}
            for table, rows in (
                ("business_metrics", 312),
                ("customer_analytics", 2469),
                ("marketing_performance", 13_140),
            )
            for engine in ("athena", "redshift")
        ],
    }


def _proof(name: str, expected: str, found: str | None = None) -> dict[str, Any]:
    return {"name": name, "expected": expected, "found": found or expected, "ok": "differ" not in (found or "")}


def _run(
    label: str, start: datetime, names: list[str], *, batch: int, scale: int, fails: bool = False
) -> dict[str, Any]:
    work = 1 + scale / 10_000
    stages = [_stage("Plan", "-", start + timedelta(seconds=0.4), 1.1)]
    books: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for place, source in enumerate(names):
        at = start + timedelta(seconds=2 + 1.5 * place)
        broken = fails and source == "facebook_ads"
        streams = STREAMS[source] if scale and not broken else ()
        mine = [_book(source, stream, batch, scale * (5 - n) // 2 + place) for n, stream in enumerate(streams)]
        extracted = sum(book["extracted"] for book in mine)
        for stage, seconds in (("Extract", 6.3), ("Check", 2.2), ("Silver", 8.7)):
            took = seconds * work * (1 + place % 3) / 2
            state = "FAILED" if broken and stage == "Silver" else "SUCCEEDED"
            rows_out = (
                sum(book["silver_inserted"] + book["silver_updated"] for book in mine)
                if stage == "Silver"
                else extracted
            )
            refused = sum(book["quarantined"] for book in mine) if stage == "Silver" else None
            stages.append(_stage(stage, source, at, took, state, (extracted, rows_out, refused)))
            at += timedelta(seconds=took + 0.2)
        books += mine
        checks += [_check(book) for book in mine]
    last = max(datetime.fromisoformat(stage["ended"]) for stage in stages)
    if not fails:
        for stage, seconds in (("Gold", 7.4 * work), ("Crawl", 3.1), ("Load", 2.6), ("Audit", 0.04)):
            stages.append(_stage(stage, "-", last, seconds))
            last += timedelta(seconds=seconds)
    return {
        "run_id": f"headwater-local-{label.lower().replace(' ', '-')}-{start:%Y%m%dT%H%M%SZ}-6f1c0a7e4b",
        "label": label,
        "status": "FAILED" if fails else "SUCCEEDED",
        "well": not fails,
        "started": start.isoformat(),
        "ended": last.isoformat(),
        "seconds": round((last - start).total_seconds(), 1),
        "stages": stages,
        "books": books,
        "checks": checks,
    }


def _stage(
    stage: str,
    source: str,
    started: datetime,
    seconds: float,
    state: str = "SUCCEEDED",
    rows: tuple[int | None, int | None, int | None] = (None, None, None),
) -> dict[str, Any]:
    return {
        "stage": stage,
        "source": source,
        "state": state,
        "started": started.isoformat(),
        "ended": (started + timedelta(seconds=seconds)).isoformat(),
        "seconds": round(seconds, 1),
        "rows_in": rows[0],
        "rows_out": rows[1],
        "quarantined": rows[2],
    }


def _book(source: str, stream: str, batch: int, extracted: int) -> dict[str, Any]:
    reasons = {reason: extracted // 900 + n for n, reason in enumerate(REASONS.get(stream, ()))}
    refused, duplicates, unchanged = sum(reasons.values()), extracted // 500, extracted // 50
    written = extracted - refused - duplicates - unchanged
    updated = written // 3 if batch > 1 else 0
    return {
        "source": source,
        "stream": stream,
        "batch": batch,
        "extracted": extracted,
        "silver_inserted": written - updated,
        "silver_updated": updated,
        "unchanged": unchanged,
        "quarantined": refused,
        "duplicates": duplicates,
        "deleted": 0,
        "discarded": 0,
        "balances": True,
        "reasons": reasons,
    }


def _check(book: dict[str, Any]) -> dict[str, Any]:
    warns = book["stream"] == "ads_insights"
    return {
        "source": book["source"],
        "stream": book["stream"],
        "batch": book["batch"],
        "check": "spend_mean_plausible" if warns else f"{book['stream']}_key_unique",
        "level": "warn" if warns else "halt",
        "passed": not warns,
        "value": 48.31907 if warns else 1.0,
        "message": "Value: 48.31907 does not meet the constraint requirement!" if warns else "",
    }
