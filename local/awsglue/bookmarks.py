"""Job bookmarks: what a run may read, and the positions that its commit moves.

The state of an S3 source is the newest modification time seen and, for the last fifteen minutes before it, every
file by name and ETag: S3's times are seconds, and a multipart upload carries the time of its start. The state of a JDBC
source is the value of the bookmark keys in the last row that was read.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from .utils import getResolvedOptions

Option = Literal["job-bookmark-enable", "job-bookmark-disable", "job-bookmark-pause"]
State = dict[str, Any]
MAX_BAND_SECONDS = 900


class BookmarkConflictError(Exception):
    """Another run of the job moved the bookmark after this run had read it."""


@dataclass(frozen=True, order=True)
class S3File:
    """One object that a source may read."""

    modified: datetime
    uri: str
    etag: str


def has_seen(state: State | None, file: S3File, band: int) -> bool:
    """True if a committed run has read this very version of a file."""
    if not state:
        return False
    newest = datetime.fromisoformat(state["newest"])
    if (newest - file.modified).total_seconds() > band:
        return True
    return bool(state["recent"].get(file.uri) == file.etag)


def state_after(state: State | None, files: Iterable[S3File], band: int) -> State | None:
    """Returns the state once all these files, old and new, have been read."""
    listed = sorted(files)
    if not listed:
        return state
    newest = listed[-1].modified
    if state:
        newest = max(newest, datetime.fromisoformat(state["newest"]))
    recent = {file.uri: file.etag for file in listed if (newest - file.modified).total_seconds() <= band}
    return {"kind": "s3", "newest": newest.isoformat(), "recent": recent}


@dataclass
class Bookmark:
    """A run's view of its job's bookmark.

    `lower` holds what earlier runs have read; `upper`, when given, what this run may read at most.
    """

    job: str
    run_id: str
    attempt: int
    option: Option
    endpoint: str
    version: int = 0
    lower: dict[str, State] = field(default_factory=dict)
    upper: dict[str, State] | None = None
    moved: dict[str, State] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """True if earlier runs limit what this one reads."""
        return self.option != "job-bookmark-disable"

    def move(self, context: str, state: State | None) -> None:
        """Notes how far a transformation context has read; nothing moves before the commit."""
        if self.option == "job-bookmark-enable" and state is not None:
            self.moved[context] = state

    def commit(self) -> None:
        """Moves the bookmark to what this run has read; BookmarkConflictError when another run was first."""
        if self.option != "job-bookmark-enable":
            return
        document = {"run_id": self.run_id, "attempt": self.attempt, "version": self.version, "states": self.moved}
        request = Request(  # noqa: S310 - the gateway's own address
            self._address(), data=json.dumps(document).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urlopen(request) as answer:  # noqa: S310
                self.version = int(json.load(answer)["version"])
        except HTTPError as error:
            with error:
                if error.code == 409:
                    raise BookmarkConflictError(json.load(error)["error"]) from error
                raise

    def fetch(self, run_id: str | None = None) -> dict[str, Any]:
        """Reads the job's current entry, or what one run had committed."""
        query = "" if run_id is None else "?" + urlencode({"run_id": run_id})
        with urlopen(self._address() + query) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
        return document

    def _address(self) -> str:
        return f"{self.endpoint}/_headwater/bookmarks/{quote(self.job, safe='')}"


_current: list[Bookmark] = []


def current() -> Bookmark | None:
    """Returns the bookmark of the job that was initialised last; None before `Job.init` and with bookmarks off."""
    return _current[-1] if _current and _current[-1].active else None


def open_bookmark(job: str) -> Bookmark:
    """Opens the bookmark of a run from its command line."""
    options = getResolvedOptions(sys.argv, [])
    chosen = options.get("job_bookmark_option", "job-bookmark-disable")
    known = {"job-bookmark-enable", "job-bookmark-disable", "job-bookmark-pause"}
    if chosen not in known:
        raise ValueError(f"--job-bookmark-option {chosen}. hint: one of {sorted(known)}")
    bookmark = Bookmark(
        job=job,
        run_id=options.get("JOB_RUN_ID", "jr_local"),
        attempt=int(os.environ.get("GLUE_JOB_ATTEMPT", "0")),
        option=chosen,  # type: ignore[arg-type]
        endpoint=os.environ["AWS_ENDPOINT_URL"].rstrip("/"),
    )
    if bookmark.active:
        entry = bookmark.fetch(options.get("job_bookmark_from"))
        bookmark.version, bookmark.lower = int(entry["version"]), entry["states"]
        if "job_bookmark_to" in options:
            bookmark.upper = bookmark.fetch(options["job_bookmark_to"])["states"]
    _current.append(bookmark)
    return bookmark
