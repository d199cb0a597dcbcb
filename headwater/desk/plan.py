"""The plan of a deployment: what becomes of each table of the lake when what is declared here is deployed and run.

Each table's newest commit tells by which definition its rows were computed; a few small objects are read, and nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from headwater.client import Client
from headwater.config import Project
from headwater.config.definition import Definition, definition_of, gold_values
from headwater.desk.environments import client_of
from headwater.desk.options import EnvOption, JsonOption
from headwater.desk.screen import show
from headwater.ledger.bucket import Bucket
from headwater.ledger.schemas import Schemas


@dataclass(frozen=True)
class Planned:
    """What becomes of one table, or of one stream's bronze, and why."""

    zone: str
    table: str
    does: str
    why: str


def plan(env: EnvOption = "local", as_json: JsonOption = False) -> None:
    """Show what the declared tables will do once they are deployed: nothing, add columns, or be rebuilt, and why."""
    show(as_json, map(asdict, planned(client_of(env))), ["zone", "table", "does", "why"])


def planned(client: Client) -> list[Planned]:
    """Compares what is declared with what the lake's tables were made by."""
    project, lake = client.project, client.opened.lake
    schemas = Schemas(client.opened.ledger.bucket)
    silver = [_of_silver(project, lake, schemas, name) for name in sorted(project.tables)]
    whole = {one.table for one in silver if one.does == "rebuilds"}
    identities = [_of_identities(project, lake, name, whole) for name in sorted(project.identities)]
    gold = [_of_gold(project, lake, name, whole) for name in sorted(project.gold)]
    return [*silver, *identities, *gold, *_kept(project, lake)]


def _of_silver(project: Project, lake: Bucket, schemas: Schemas, name: str) -> Planned:
    table = project.tables[name]
    told = _metadata(lake, f"silver/{name}")
    if told is None:
        return Planned("silver", name, "is made", "")
    now = Definition.of(project, table)
    there = schemas.columns(f"silver/{name}")
    before = now.of_table(there) if "definition" not in told else Definition.model_validate(told["definition"])
    differences = before.differences(now)
    if rebuilds := [difference.what for difference in differences if difference.rebuilds]:
        gone = before.gone(now)
        waits = f"; waits for headwater rebuild {name}, since rows of {', '.join(gone)} would go" if gone else ""
        return Planned("silver", name, "rebuilds", "; ".join(rebuilds) + waits)
    why = "; ".join(difference.what for difference in differences)
    unfilled = before.carried_on(now).unfilled
    fills = f"headwater rebuild {name} fills {', '.join(unfilled)} in the rows that are there" if unfilled else ""
    does = "adds columns" if any(column not in before.columns for column in now.columns) else "nothing"
    return Planned("silver", name, does, "; ".join(filter(None, (why, fills))))


def _of_identities(project: Project, lake: Bucket, name: str, whole: set[str]) -> Planned:
    declared = project.identities[name]
    told = _metadata(lake, f"silver/{name}")
    if told is None:
        return Planned("silver", name, "is made", "")
    if told.get("definition") != declared.definition:
        return Planned("silver", name, "rebuilds", f"config/identities/{name}.yaml is another")
    if members := sorted(whole & {member.table for member in declared.members.values()}):
        return Planned("silver", name, "follows", f"silver {', '.join(members)}")
    return Planned("silver", name, "nothing", "")


def _of_gold(project: Project, lake: Bucket, name: str, whole: set[str]) -> Planned:
    declared = project.gold[name]
    told = _metadata(lake, f"gold/{name}")
    if told is None:
        return Planned("gold", name, "is made", "")
    definition = definition_of(declared, gold_values(project.environment))
    if told.get("definition", definition) != definition:
        why = f"sql/gold/{name}.sql, what it reads of sql/shared/, the reporting currency or the business time zone is another"
        return Planned("gold", name, "rebuilds", why)
    if inputs := sorted(whole & set(declared.inputs)):
        return Planned("gold", name, "follows", f"silver {', '.join(inputs)}")
    return Planned("gold", name, "nothing", "")


def _kept(project: Project, lake: Bucket) -> Iterator[Planned]:
    """What is in the lake and declared no more."""
    for zone in ("bronze", "silver", "gold"):
        declared = set(project.table_paths(zone))
        there = _folders(lake, f"{zone}/")
        if zone == "bronze":
            there = [
                path
                for source in there
                for path in (f"{source}/{name}" for name in _folders(lake, f"bronze/{source}/"))
            ]
        for path in there:
            if path not in declared:
                yield Planned(
                    zone, path, "is kept", f"declared no more; to drop it, delete s3://{lake.name}/{zone}/{path}/"
                )


def _folders(lake: Bucket, prefix: str) -> list[str]:
    pages = lake.s3.get_paginator("list_objects_v2").paginate(Bucket=lake.name, Prefix=prefix, Delimiter="/")
    found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
    return sorted(path.removeprefix(prefix).rstrip("/") for path in found)


def _metadata(lake: Bucket, table: str) -> dict[str, Any] | None:
    """What the newest commit of a table carries of those that made its rows; None of a table that is not there."""
    log = f"{table}/_delta_log"
    checkpoint = lake.read(f"{log}/_last_checkpoint")
    first = json.loads(checkpoint)["version"] if checkpoint else 0
    pages = lake.s3.get_paginator("list_objects_v2").paginate(
        Bucket=lake.name, Prefix=f"{log}/", StartAfter=f"{log}/{max(first - 1, 0):020d}"
    )
    names = [item["Key"].rsplit("/", 1)[-1] for page in pages for item in page.get("Contents", [])]
    versions = [int(name.removesuffix(".json")) for name in names if name.endswith(".json") and name[:20].isdigit()]
    if not versions:
        return None
    version = max(versions)
    while version >= 0:
        info = _commit_info(lake, f"{log}/{version:020d}.json")
        if info is None:
            break
        if info.get("userMetadata") and info.get("operation") != "RESTORE":
            metadata: dict[str, Any] = json.loads(info["userMetadata"])
            return metadata
        to = info.get("operationParameters", {}).get("version") if info.get("operation") == "RESTORE" else None
        version = int(to) if to is not None else version - 1
    return {}


def _commit_info(lake: Bucket, key: str) -> dict[str, Any] | None:
    body = lake.read(key)
    if body is None:
        return None
    lines = (line for line in body.decode().splitlines() if line.startswith('{"commitInfo"'))
    info: dict[str, Any] = next((json.loads(line)["commitInfo"] for line in lines), {})
    return info
