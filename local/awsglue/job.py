"""The job's frame: init names it and opens its bookmark, commit moves the bookmark."""

from __future__ import annotations

from collections.abc import Mapping

from .bookmarks import Bookmark, open_bookmark
from .context import GlueContext


class Job:
    """One run of a Glue job."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.glue_context = glue_context
        self._bookmark: Bookmark | None = None

    def init(self, job_name: str, args: Mapping[str, str] | None = None) -> None:  # noqa: ARG002 - Glue's signature
        """Names the job and opens its bookmark; the bookmark's options come from the command line."""
        self._bookmark = open_bookmark(job_name)

    def isInitialized(self) -> bool:  # noqa: N802 - Glue's name
        """True after init."""
        return self._bookmark is not None

    def commit(self) -> None:
        """Moves the job's bookmark past everything that this run has read; without init nothing happens."""
        if self._bookmark is not None:
            self._bookmark.commit()
