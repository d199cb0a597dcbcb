"""A project with a source of every kind, so that what only some kinds need is planned and checked as well."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

FOLDERS = ("config", "crawlers", "sql", "lambdas", "glue_jobs", "step_functions", "headwater")
COLUMNS = {"id": {"type": "bigint"}, "updated_at": {"type": "timestamp"}}


def stream(table: str, **own: Any) -> dict[str, Any]:
    return {"table": table, "raw": ["id", "updated_at"], **own}


def sources() -> dict[str, dict[str, Any]]:
    watermark = {"relation": "s.t", "read": {"kind": "watermark", "column": "updated_at"}}
    return {
        "any_oauth": {
            "kind": "http",
            "base_url": "https://api.example.com",
            "secret": "any_oauth",
            "auth": {"kind": "oauth", "token_url": "/token"},
            "rate": {"calls": 1},
            "streams": {
                "rows": stream(
                    "t_http", path="/rows", read={"kind": "window", "field": "updated_at", "history_days": 3}
                )
            },
        },
        "any_jdbc": {
            "kind": "jdbc",
            "engine": "mysql",
            "secret": "any_jdbc",
            "streams": {"rows": stream("t_jdbc", **watermark, partition_column="id")},
        },
        "any_snowflake": {
            "kind": "snowflake",
            "secret": "any_snowflake",
            "database": "d",
            "warehouse": "w",
            "streams": {"rows": stream("t_snowflake", **watermark)},
        },
        "any_redshift": {"kind": "redshift", "streams": {"rows": stream("t_redshift", **watermark, row_id="id")}},
        "any_kafka": {
            "kind": "kafka",
            "secret": "any_kafka",
            "security": {"kind": "scram"},
            "streams": {"rows": stream("t_kafka", topic="t", format="json", tombstones="refuse")},
        },
        "any_drops": {
            "kind": "files",
            "job": {"worker_type": "G.2X", "workers": 3, "timeout_minutes": 7},
            "streams": {"rows": stream("t_drops", prefix="any/drops/", format={"kind": "csv"})},
        },
        "any_events": {
            "kind": "files",
            "secret": "any_events",
            "entrance": {"kind": "http", "calls_per_second": 5},
            "streams": {
                "rows": stream("t_events", prefix="any/events/", format={"kind": "jsonl"}, accepts={"type": "object"})
            },
        },
        "any_records": {
            "kind": "kinesis",
            "streams": {
                "direct": stream("t_direct", delivery={"kind": "direct", "batch_size": 7}, retention_hours=24),
                "queued": stream("t_queued", delivery={"kind": "queue", "window_seconds": 9}),
            },
        },
    }


def make(root: Path) -> Path:
    """Copies the declared project to a folder and adds a source of every kind to it."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", root)
    prod = root / "config" / "environments" / "prod.yaml"
    declared = yaml.safe_load(prod.read_text())
    declared["network"]["rds_proxies"] = {
        "any_pool": {"source": "any_jdbc", "engine_family": "MYSQL", "instance": "any-instance"}
    }
    prod.write_text(yaml.safe_dump(declared))
    dev = root / "config" / "environments" / "dev.yaml"
    subnets = [f"subnet-{number:017x}" for number in range(3)]
    network = {"vpc": "vpc-00000000000000000", "subnets": subnets, "endpoints": False}
    dev.write_text(yaml.safe_dump({**yaml.safe_load(dev.read_text()), "network": network}))
    _local(root, {**network, "endpoints": True, "rds_proxies": declared["network"]["rds_proxies"]})
    for name, source in sources().items():
        (root / "config" / "sources" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **source}))
        for table in (stream["table"] for stream in source["streams"].values()):
            said = {"table": table, "owner": "Anybody", "note": "Any row.", "key": ["id"], "columns": COLUMNS}
            (root / "config" / "tables" / f"{table}.yaml").write_text(yaml.safe_dump(said))
    return root


def _local(root: Path, network: dict[str, Any]) -> None:
    """Lets environment local have all that an environment can have; of sources, those of every kind are enough."""
    path = root / "config" / "environments" / "local.yaml"
    declared = yaml.safe_load(path.read_text())
    del declared["sources"]
    declared["without"] = sorted(source.stem for source in (root / "config" / "sources").glob("*.yaml"))
    declared["network"] = {**network, "route_tables": ["rtb-00000000000000000"]}
    declared["alerts"] = {"emails": ["any@example.com"], "slack_secret": "slack"}
    declared["maintenance"] = {"cron": "0 3 * * ? *"}
    path.write_text(yaml.safe_dump(declared))
