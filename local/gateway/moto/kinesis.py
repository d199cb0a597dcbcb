"""Kinesis: iterators that expire, and times of the gateway's clock."""

from __future__ import annotations

import base64
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kinesis import models, utils

from local.gateway.clock import CLOCK
from local.gateway.moto import clock

_VALID_SECONDS = 300


def install() -> None:
    """Lets an iterator live for five minutes."""
    clock.ask(models, "utcnow")
    compose, decompose = utils.compose_shard_iterator, utils.decompose_shard_iterator

    def compose_shard_iterator(stream_name: str | None, shard: Any, last_sequence_id: int) -> str:
        made = base64.decodebytes(compose(stream_name, shard, last_sequence_id).encode())
        return base64.encodebytes(made + f":{CLOCK.now()}".encode()).decode()

    def decompose_shard_iterator(shard_iterator: str) -> list[str]:
        parts: list[str] = decompose(shard_iterator)
        made_at = parts.pop()
        if CLOCK.now() - float(made_at) > _VALID_SECONDS:
            raise JsonRESTError("ExpiredIteratorException", "Iterator expired. It is valid for 300 seconds.")
        return parts

    for module in (models, utils):
        vars(module)["compose_shard_iterator"] = compose_shard_iterator
        vars(module)["decompose_shard_iterator"] = decompose_shard_iterator
