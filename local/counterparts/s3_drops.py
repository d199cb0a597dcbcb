"""The partners who drop files into the landing bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg

from headwater.deploy.entrances import Entrances
from local.counterparts import Place, WorldView
from local.counterparts.entrance import aws, is_seeded, local_project


class S3Drops:
    """The counterpart of source `s3_drops`.

    Its events get lost: the rule that starts runs is off while it delivers, so that whoever moves the world on says himself when
    the pipeline runs, and the listing by modification time has to find every file. A file that anybody else drops starts a run.
    """

    source = "s3_drops"

    def __init__(self, place: Place) -> None:
        self._place = place

    def start(self) -> None:
        """Looks whether the bucket is still there: a gateway that was started anew has none, and it is filled again."""
        is_seeded(self._place, self.source)

    def stop(self) -> None:
        """The bucket ends with the gateway."""

    def endpoints(self) -> Mapping[str, str]:
        """Tells which bucket partners drop files into."""
        return {"s3_drops": f"s3://{local_project().environment.bucket('landing')}/{self.source}/"}

    def secret(self) -> None:
        """Nobody needs one."""

    def override(self) -> Mapping[str, Any]:
        """Environment local says it all."""
        return {}

    def seed(self, world: WorldView) -> None:  # noqa: ARG002 - the world's files are as its clock says
        """Uploads every file so far."""
        self._deliver(date.min)

    def advance(self, world: WorldView, since: date) -> None:  # noqa: ARG002 - likewise
        """Uploads what was dropped since; nothing before the first deploy, after which everything is uploaded."""
        if is_seeded(self._place, self.source):
            self._deliver(since)

    def _deliver(self, since: date) -> None:
        s3 = aws(self._place, "s3")
        landing = local_project().environment.bucket("landing")
        with psycopg.connect(self._place.world_dsn) as connection, self._unheard():
            for key, body in connection.execute(
                "select key, body from drops.files where since >= %s order by number", [since]
            ):
                s3.put_object(Bucket=landing, Key=key, Body=bytes(body))

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        events = aws(self._place, "events")
        [rule] = Entrances(local_project()).drop_rules()
        events.disable_rule(Name=rule.name)
        try:
            yield
        finally:
            events.enable_rule(Name=rule.name)
