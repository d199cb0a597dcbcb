"""How much each consumer has asked: one object for each time, made only if it is not there, so that no count is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.ledger.bucket import Bucket

# Below the results of Athena, which expire after some days, and these with them.
PREFIX = "athena/api/counts/"


@dataclass(frozen=True)
class Quota:
    """What one call takes of its consumer's limits; `call` is an id that no other call has."""

    bucket: Bucket
    consumer: str
    call: str

    def take(self, window: str, limit: int) -> bool:
        """Counts once more within a window, such as a day; False when the limit is reached."""
        prefix = f"{PREFIX}{self.consumer}/{window}/"
        taken = sum(1 for _ in self.bucket.keys(prefix))
        while taken < limit:
            taken += 1
            if self.bucket.create(f"{prefix}{taken:05d}", self.call.encode()):
                return True
        return False
