"""Glue job bookmarks: what each job has committed, run by run, with reset and rewind.

A commit names the version that it builds on. Two runs that started from the same version cannot both commit.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.glue.exceptions import EntityNotFoundException
from moto.glue.models import glue_backends
from moto.glue.responses import GlueResponse

from local.gateway.iam.authority import Authority
from local.gateway.settings import GatewaySettings


class VersionMismatchError(Exception):
    """A bookmark was moved by another run since this run read it."""


@dataclass(frozen=True)
class Entry:
    """One state of a job's bookmark: the position of every transformation context, and which run committed it."""

    job: str
    version: int
    run: int
    attempt: int
    run_id: str | None
    previous_run_id: str | None
    states: dict[str, Any]

    def as_glue(self) -> dict[str, Any]:
        """Renders the JobBookmarkEntry of the Glue API."""
        entry = {
            "JobName": self.job,
            "Version": self.version,
            "Run": self.run,
            "Attempt": self.attempt,
            "RunId": self.run_id,
            "PreviousRunId": self.previous_run_id,
            "JobBookmark": json.dumps(self.states, sort_keys=True),
        }
        return {key: value for key, value in entry.items() if value is not None}

    def as_document(self) -> dict[str, Any]:
        """Renders what the job's runtime reads: version and states."""
        return {"version": self.version, "run_id": self.run_id, "states": self.states}


class BookmarkStore:
    """Every job's entries, oldest first; the last one counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, list[Entry]] = {}

    def current(self, job: str) -> Entry:
        """Returns the entry that counts; version 0 without states before the first commit."""
        entries = self._entries.get(job)
        return entries[-1] if entries else Entry(job, 0, 0, 0, None, None, {})

    def of_run(self, job: str, run_id: str) -> Entry:
        """Returns the newest entry that a run committed; EntityNotFoundException when it never did."""
        for entry in reversed(self._entries.get(job, [])):
            if entry.run_id == run_id:
                return entry
        raise EntityNotFoundException(f"Job bookmark of run {run_id} of job {job} not found.")

    def commit(self, job: str, run_id: str, attempt: int, base_version: int, states: dict[str, Any]) -> Entry:
        """Moves a job's bookmark; VersionMismatchError when it is no longer the version that the run read."""
        with self._lock:
            current = self.current(job)
            if current.version != base_version:
                raise VersionMismatchError(
                    f"Continuation update failed due to version mismatch. "
                    f"Expected version {base_version} but found version {current.version}"
                )
            same_run = current.run_id == run_id
            entry = Entry(
                job=job,
                version=current.version + 1,
                run=current.run if same_run else current.run + 1,
                attempt=attempt,
                run_id=run_id,
                previous_run_id=current.previous_run_id if same_run else current.run_id,
                states={**current.states, **states},
            )
            self._entries.setdefault(job, []).append(entry)
            return entry

    def reset(self, job: str, run_id: str | None) -> Entry:
        """Rewinds to what a run had committed, so that everything after it is read again; without a run, to nothing."""
        with self._lock:
            current = self.current(job)
            target = self.of_run(job, run_id) if run_id else Entry(job, 0, 0, 0, None, None, {})
            entry = Entry(
                job=job,
                version=current.version + 1,
                run=target.run,
                attempt=0,
                run_id=target.run_id,
                previous_run_id=target.previous_run_id,
                states=target.states,
            )
            self._entries.setdefault(job, []).append(entry)
            return entry


def may_keep(settings: GatewaySettings, authority: Authority, job: str, *, writes: bool) -> bool:
    """Decides whether Glue may read or commit a job's bookmark in the job's name, with the key that its security configuration has."""
    backend = glue_backends[settings.account_id][settings.region]
    definition = backend.jobs.get(job)
    if definition is None:
        return True
    role, acts = str(definition.role), ["glue_bookmark"]
    named = backend.security_configurations.get(definition.security_configuration or "")
    if named is None:
        return authority.act(acts[0], role)
    key = str(named.configuration["JobBookmarksEncryption"]["KmsKeyArn"])
    acts.append("glue_bookmark_write" if writes else "glue_bookmark_read")
    return all(authority.act(act, role, bookmarks_key=key) for act in acts)


def install() -> BookmarkStore:
    """Answers GetJobBookmark and ResetJobBookmark."""
    store = BookmarkStore()

    def get_job_bookmark(self: GlueResponse) -> ActionResult:
        job, run_id = self.parameters["JobName"], self.parameters.get("RunId")
        entry = store.of_run(job, run_id) if run_id else store.current(job)
        if entry.version == 0:
            raise EntityNotFoundException(f"Continuation for job {job} not found.")
        return ActionResult({"JobBookmarkEntry": entry.as_glue()})

    def reset_job_bookmark(self: GlueResponse) -> ActionResult:
        job, run_id = self.parameters["JobName"], self.parameters.get("RunId")
        if store.current(job).version == 0:
            raise EntityNotFoundException(f"Continuation for job {job} not found.")
        return ActionResult({"JobBookmarkEntry": store.reset(job, run_id).as_glue()})

    GlueResponse.get_job_bookmark = get_job_bookmark
    GlueResponse.reset_job_bookmark = reset_job_bookmark
    return store
