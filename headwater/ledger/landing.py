"""The landing bucket: where files arrive from outside, and which of them are finished."""

from __future__ import annotations

ARRIVALS = "arrivals"
"""Folder of a stream's ledger where `start_on_drop` registers the files of S3's events."""
_UNFINISHED = (".tmp", "_tmp", ".part", ".partial", ".filepart", ".crdownload")


def is_data(key: str, size: int) -> bool:
    """True when a file holds data: no marker, not hidden, not unfinished, not empty."""
    names = key.lower().split("/")
    hidden = any(name.startswith(("_", ".")) for name in names)
    return size > 0 and bool(names[-1]) and not hidden and not names[-1].endswith(_UNFINISHED)
