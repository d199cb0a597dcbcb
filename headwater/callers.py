"""Who calls an API of ours: each caller has a key, kept in Secrets Manager under the caller's name."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


@dataclass
class Fresh(Generic[_Value]):
    """A cache whose values live for some seconds, so that a warm function does not read them for each request."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, _Value]] = field(default_factory=dict)

    def get(self, name: str, read: Callable[[], _Value]) -> _Value:
        """Returns the kept value; reads it again once it is too old."""
        now = self.clock()
        if name not in self._kept or now - self._kept[name][0] > self.seconds:
            self._kept[name] = (now, read())
        return self._kept[name][1]


def caller_of(key: str, keys: Mapping[str, str]) -> str | None:
    """The name of the caller whose key this is; None when it is nobody's."""
    caller = None
    digest = hashlib.sha256(key.encode()).digest()
    # Every key is compared, in the same time, wherever the right one stands.
    for name, known in keys.items():
        if hmac.compare_digest(digest, hashlib.sha256(known.encode()).digest()) and known:
            caller = name
    return caller
