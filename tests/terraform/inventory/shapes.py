"""One form for what both sides tell: settings by their path in Terraform's schema, each a text or a JSON document."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.terraform.runner import SCHEMAS

Settings = dict[str, str]
Inventory = dict[str, dict[str, Settings]]
"""Settings by path, by name, by Terraform's type."""
Block = Mapping[str, Any]

# What steers Terraform, or a deletion, and stands in no answer of AWS.
_STEERING = {
    "arn",
    "bypass_policy_lockout_safety_check",
    "deletion_window_in_days",
    "filename",
    "force_destroy",
    "id",
    "name_prefix",
    "publish",
    "recovery_window_in_days",
    "region",
    "source",
    "timeouts",
}


def blocks() -> dict[str, Block]:
    """Reads the block of each type of resource from the schemas of the stand-in."""
    found: dict[str, Block] = {}
    for path in SCHEMAS:
        [schema] = json.loads(_text(path))["provider_schemas"].values()
        found |= {kind: said["block"] for kind, said in schema.get("resource_schemas", {}).items()}
    return found


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def settings(block: Block, told: Mapping[str, Any]) -> Settings:
    """Keeps of what is told what can be set, without what is empty, flat by path."""
    kept = {name: value for name, value in told.items() if name not in _STEERING}
    return dict(_flat("", _settable(block, kept)))


def _settable(block: Block, told: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, said in block.get("attributes", {}).items():
        if (said.get("optional") or said.get("required")) and name in told:
            kept[name] = told[name]
    for name, nested in block.get("block_types", {}).items():
        if value := told.get(name):
            inner = value if isinstance(value, list) else [value]
            kept[name] = [_settable(nested["block"], one) for one in inner]
    return kept


def plain(value: Any) -> Any:
    """Gives a value one form: documents parsed, lists in order, one alone for a list of one, scalars as text, without what is empty."""
    if isinstance(value, str) and value.startswith("{"):
        # Not all that begins so is a document: patterns of metric filters do as well.
        with suppress(json.JSONDecodeError):
            value = json.loads(value)
    if isinstance(value, Mapping):
        kept = {key: plain(inner) for key, inner in value.items()}
        return {key: inner for key, inner in sorted(kept.items()) if inner not in _EMPTY}
    if isinstance(value, list | tuple):
        inner = sorted((made for one in value if (made := plain(one)) not in _EMPTY), key=json.dumps)
        return inner[0] if len(inner) == 1 else inner
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


_EMPTY: tuple[Any, ...] = ("", [], {})


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    elif (made := plain(value)) not in _EMPTY:
        yield path, made if isinstance(made, str) else json.dumps(made, sort_keys=True)


def snake(told: Any) -> Any:
    """Writes the names in an answer of AWS as Terraform writes them; a map's own keys stay as they are."""
    if isinstance(told, list):
        return [snake(one) for one in told]
    if not isinstance(told, dict):
        return told
    return {_snake(name): inner if name in _MAPS else snake(inner) for name, inner in told.items()}


_MAPS = {"DefaultArguments", "Variables"}
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _snake(name: str) -> str:
    return _WORD.sub("_", name).lower()
