"""Why the sources of a run failed, one document each: a job that takes several sources fails once, for whichever of them failed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from headwater.ledger.bucket import Bucket


@dataclass(frozen=True)
class Failures:
    """The failures of one run, below `_failures/<run>/` in the raw bucket."""

    bucket: Bucket
    run_id: str

    def _key(self, stage: str, source: str) -> str:
        return f"_failures/{self.run_id}/{stage}/{source}.json"

    def write(self, stage: str, source: str, error: str, cause: str) -> None:
        """Says why a source failed in a stage; what a later attempt says replaces it."""
        self.bucket.write(self._key(stage, source), json.dumps({"Error": error, "Cause": cause}).encode())

    def clear(self, stage: str, source: str) -> None:
        """Says that a source has not failed in a stage, whatever an earlier attempt said."""
        self.bucket.write(self._key(stage, source), b"null")

    def read(self, stage: str, source: str) -> dict[str, str] | None:
        """Reads why a source failed in a stage; None when it did not, or its job could not say."""
        said: dict[str, str] | None = json.loads(self.bucket.read(self._key(stage, source)) or b"null")
        return said
