"""Rolls out another parser of a stream: which accounts it reads, and what it asks for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

from headwater.config import HttpSource, HttpStream


def rolled_out(source: HttpSource, name: str) -> dict[str, str]:
    """Returns the parser by account, for the accounts in the rollout's share; the order in which accounts join is fixed."""
    rollout = source.rollout.get(name)
    if rollout is None:
        return {}
    order = sorted(source.accounts or ("",), key=lambda account: hashlib.sha256(account.encode()).digest())
    return dict.fromkeys(order[: math.ceil(rollout.share * len(order))], rollout.parser)


def foreign(stream: HttpStream, parsers: Iterable[str | None]) -> frozenset[str]:
    """Declared fields that none of these parsers' rows have."""
    own = {name for parser in parsers for name in (stream.parsers[parser].raw if parser else None) or stream.raw}
    return frozenset(stream.raw_fields) - own


def parsed_by(source: HttpSource, name: str, parser: str) -> HttpSource:
    """The source as it is for the accounts that another parser reads."""
    shape = source.streams[name].parsers[parser]
    changed = {field: getattr(shape, field) for field in ("path", "params", "body", "records", "raw")}
    stream = source.streams[name].model_copy(update={k: value for k, value in changed.items() if value is not None})
    version = source.api_version if shape.api_version is None else shape.api_version
    return source.model_copy(update={"streams": {**source.streams, name: stream}, "api_version": version})
