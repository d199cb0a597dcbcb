"""Kinesis: iterators that expire, times of the gateway's clock, and shards that are split and merged as AWS does it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kinesis import models, utils
from moto.kinesis.exceptions import InvalidArgumentError
from moto.kinesis.models import Shard, Stream

from local.gateway.clock import CLOCK
from local.gateway.moto import clock

_VALID_SECONDS = 300


def install() -> None:
    """Lets an iterator live for five minutes, and records stay in the shard into which they were put."""
    _reshard()
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


def _reshard() -> None:
    """Closes gaps of moto's, which puts a closed shard's records once more into its children, and new ones into itself."""

    def split_shard(self: Stream, shard_to_split: str, new_starting_hash_key: str) -> None:
        shard, middle = self.shards[shard_to_split], int(new_starting_hash_key)
        _refuse_closed(shard)
        if not shard.starting_hash < middle < shard.ending_hash:
            raise InvalidArgumentError(f"NewStartingHashKey {middle} is not within shard {shard.shard_id}")
        shard.is_open = False
        for first, last in ((shard.starting_hash, middle - 1), (middle, shard.ending_hash)):
            _add(self, Shard(len(self.shards), first, last, parent=shard.shard_id))

    def merge_shards(self: Stream, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
        shards = [self.shards[shard_to_merge], self.shards[adjacent_shard_to_merge]]
        left, right = sorted(shards, key=lambda shard: shard.starting_hash)
        for shard in shards:
            _refuse_closed(shard)
        if left.ending_hash + 1 != right.starting_hash:
            raise InvalidArgumentError(f"Shards {left.shard_id} and {right.shard_id} are not adjacent")
        left.is_open = right.is_open = False
        parent, adjacent = (shard.shard_id for shard in shards)
        _add(self, Shard(len(self.shards), left.starting_hash, right.ending_hash, parent, adjacent))

    def get_shard_for_key(self: Stream, partition_key: str, explicit_hash_key: str) -> Shard | None:
        digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).hexdigest()
        key = int(explicit_hash_key) if explicit_hash_key else int(digest, 16)
        shards = [shard for shard in self.shards.values() if shard.is_open]
        return next((shard for shard in shards if shard.starting_hash <= key <= shard.ending_hash), None)

    Stream.split_shard, Stream.merge_shards = split_shard, merge_shards
    Stream.get_shard_for_key = get_shard_for_key


def _add(stream: Stream, shard: Shard) -> None:
    stream.shards[shard.shard_id] = shard


def _refuse_closed(shard: Shard) -> None:
    if not shard.is_open:
        raise InvalidArgumentError(
            f"Shard {shard.shard_id} has already been merged or split, and thus is not eligible for merging or splitting."
        )
