"""The environment whose state is stored: every kind of source, every shape of a position, every way to write, and all in little."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headwater.config.policy import Policy
from headwater.deploy.deployment import Deployment
from local.stack import ROOT, Stack
from tests.e2e.pipeline import Pipeline

HOUSEHOLDS = 20
STREAMS = {
    "facebook_ads": ("ads_insights",),
    "fx_rates": ("rates",),
    "http_push": ("pushed_events",),
    "kafka": ("events",),
    "kinesis": ("web_events", "web_events_queued"),
    "rds_postgres": ("customers", "order_items", "loyalty_accounts"),
    "redshift": ("customer_behavior",),
    "s3_drops": ("partner_orders",),
    "snowflake": ("orders",),
}
GOLD = ("marketing_performance",)
STEP = (2, 11)
"""Days and seed with which the world moves on: enough days for a new exchange rate."""
EXPECTED = Path(__file__).parent / "expected.json"

# What comes over Kafka has microseconds of its own.
_TIMED = {
    *(
        f"quarantine/{name}"
        for name in ("b2b_orders", "customer_behavior", "customers", "loyalty_accounts", "order_items")
    ),
    *(f"quarantine/{name}" for name in ("partner_orders", "pushed_events", "web_events")),
}
_MICROSECONDS = re.compile(r"(T\d\d:\d\d:\d\d\.\d{3})\d{3}(?=Z|[+-])")
Picture = dict[str, Any]

# What differs from run to run by nature: where a row came from and when, and how far the database's log is.
_VOLATILE = {
    *("_file", "raw_file", "run_id", "_arrived_at", "arrived_at", "_received_at", "received_at"),
    *("_lsn", "change_lsn", "_committed_at", "changed_at"),
}
_VOLATILE_IN = {
    # When the database committed the delete.
    "silver/loyalty_accounts": {"deleted_at"},
    # Shards and queues deliver in no order, and a stream that is made anew counts its records anew; what cannot be read is named
    # by its number.
    "bronze/kinesis/web_events": {"_batch", "_sequence", "_event_id"},
    "bronze/kinesis/web_events_queued": {"_batch", "_sequence", "_event_id"},
    "quarantine/web_events": {"batch", "_sequence", "_event_id", "event_id"},
}


def deployment_of(stack: Stack) -> Deployment:
    """Declares the environment."""
    project = stack.project()
    sources = {}
    for name, streams in STREAMS.items():
        source = project.sources[name]
        sources[name] = source.model_copy(update={"streams": {stream: source.streams[stream] for stream in streams}})
    tables = {stream.table for source in sources.values() for stream in source.streams.values()}
    quality = {table: _policy(policy, tables) for table, policy in project.quality.items() if table in tables}
    kept = {name: table for name, table in project.tables.items() if name in tables}
    gold = {table: project.gold[table] for table in GOLD}
    update = {"sources": sources, "tables": kept, "quality": quality, "gold": gold}
    update["identities"] = project.identities_of(tables)
    return Deployment(project.model_copy(update=update), ROOT)


def _policy(policy: Policy, tables: set[str]) -> Policy:
    """A policy that asks nothing of tables that are not there, and lets any share of bad rows pass: among so few, one is many."""
    known = [check for check in policy.known if check.table in tables]
    lenient = [
        check.model_copy(update={"may_fail": 1.0}) if check.may_fail is not None else check
        for check in policy.predicates
    ]
    return policy.model_copy(update={"rows": (*lenient, *known)})


def picture(pipeline: Pipeline) -> Picture:
    """What the tables hold, and what the ledger says: how far each stream is, and what is in quarantine.

    Without what the earlier version had not: what holds a stream back.
    """
    client = pipeline.client
    streams = [{name: told for name, told in asdict(said).items() if name != "held"} for said in client.streams()]
    return {"content": _content(pipeline), "streams": streams, "quarantined": list(map(asdict, client.quarantined()))}


def differing(found: Picture, expected: Picture) -> dict[str, tuple[Any, Any]]:
    """What is not alike, by table or by stream: found and expected."""
    told = [
        {
            **picture["content"],
            **{f"{said['source']}.{said['stream']}": said for said in picture["streams"]},
            "quarantined": picture["quarantined"],
        }
        for picture in (found, expected)
    ]
    names = sorted(told[0].keys() | told[1].keys())
    return {name: (told[0].get(name), told[1].get(name)) for name in names if told[0].get(name) != told[1].get(name)}


def settled(picture: Picture) -> Picture:
    """A picture without what the ledger says of times, of the database's log, and of batches that nobody orders."""
    timed = {("http_push", "pushed_events"), ("s3_drops", "partner_orders"), ("rds_postgres", "loyalty_accounts")}
    streams = [
        {**said, **({"position": "-"} if (said["source"], said["stream"]) in timed else {})}
        for said in picture["streams"]
        if said["source"] != "kinesis"
    ]
    quarantined = [said for said in picture["quarantined"] if said["source"] != "kinesis"]
    return {**picture, "streams": streams, "quarantined": quarantined}


def _content(pipeline: Pipeline) -> dict[str, list[Any]]:
    """Rows and an order-free hash of every table's content, of each zone and of the warehouse."""
    found: dict[str, list[Any]] = {}
    for zone in ("bronze", "silver", "gold", "quarantine"):
        for name in pipeline.client.project.table_paths(zone):
            path = f"{zone}/{name}"
            table = pipeline.table(path)
            if table is not None:
                volatile = _VOLATILE | _VOLATILE_IN.get(path, set())
                rows = table.to_pyarrow_table().to_pylist()
                rows = list(map(_to_milliseconds, rows)) if path in _TIMED else rows
                found[path] = _hashed([_without(row, volatile) for row in rows])
    for name in pipeline.client.project.gold:
        answer = pipeline.client.query("redshift", f"SELECT * FROM analytics.{name}")
        found[f"warehouse/{name}"] = _hashed([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    return found


def _to_milliseconds(row: dict[str, Any]) -> dict[str, Any]:
    """A row of quarantine with the times of its JSON as the earlier version wrote them."""
    return row | {name: _MICROSECONDS.sub(r"\1", row[name]) for name in ("row", "raw") if row[name] is not None}


def _without(row: dict[str, Any], volatile: set[str]) -> dict[str, Any]:
    """A row that only tells whether there is what differs from run to run, also in the rows that quarantine keeps as JSON.

    Without what the earlier version had not: a row's place in its file.
    """
    kept = {
        name: value is not None if name in volatile else value for name, value in row.items() if name != "_file_row"
    }
    for name in ("row", "raw"):
        if isinstance(kept.get(name), str):
            kept[name] = json.loads(kept[name])
        if isinstance(kept.get(name), dict):
            kept[name] = _without(kept[name], volatile)
    return kept


def _hashed(rows: list[dict[str, Any]]) -> list[Any]:
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()]
