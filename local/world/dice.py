"""Chance that always falls the same way: random numbers drawn from a seed and the name of what they decide."""

from __future__ import annotations

import random
from hashlib import blake2b


def dice(*parts: object) -> random.Random:
    """A generator that depends on nothing but `parts`, the same in every process."""
    return random.Random(_name(parts))


def draw(sides: int, *parts: object) -> int:
    """One whole number from 0 up to, not including, `sides`; cheaper than `dice` where one number is enough."""
    return int.from_bytes(blake2b(_name(parts).encode(), digest_size=8).digest(), "big") % sides


def _name(parts: tuple[object, ...]) -> str:
    return "|".join(str(part) for part in parts)
