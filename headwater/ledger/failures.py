"""What failed in a job run, by stream: a job takes several streams, and fails once for all that failed of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headwater.ledger.bucket import Bucket


@dataclass(frozen=True)
class Failures:
    """The failures of one run, below `_failures/<run>/` in the raw bucket."""

    bucket: Bucket
    run_id: str

    def _key(self, stage: str, source: str) -> str:
        return f"_failures/{self.run_id}/{stage}/{source}.json"

    def write(self, stage: str, source: str, job_run_id: str, streams: Mapping[str, Mapping[str, str]]) -> None:
        """Says which streams of a source failed in a job run, each with `Error` and `Cause`; a later job run says it anew."""
        told = {"job_run_id": job_run_id, "streams": streams}
        self.bucket.write(self._key(stage, source), json.dumps(told).encode())

    def read(self, stage: str, source: str, job_run_id: str | None) -> dict[str, dict[str, str]] | None:
        """Reads which streams of a source failed in a job run; None when it could not say, as one that was killed."""
        told = json.loads(self.bucket.read(self._key(stage, source)) or b"{}")
        if job_run_id is None or told.get("job_run_id") != job_run_id:
            return None
        streams: dict[str, dict[str, str]] = told["streams"]
        return streams
