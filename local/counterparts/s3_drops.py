"""The partners who drop files into the landing bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date

import psycopg

from headwater.deploy.entrances import Entrances
from local.counterparts.entrance import ThroughEntrance, local_project


class S3Drops(ThroughEntrance):
    """The counterpart of source `s3_drops`.

    Its events get lost: the rule that starts runs is off while it delivers, so that whoever moves the world on says himself when
    the pipeline runs, and the listing by modification time has to find every file. A file that anybody else drops starts a run.
    """

    source = "s3_drops"

    def endpoints(self) -> Mapping[str, str]:
        """The bucket that partners drop files into."""
        return {"s3_drops": f"s3://{local_project().environment.bucket('landing')}/{self.source}/"}

    def _send(self, since: date) -> None:
        s3 = self._aws("s3")
        landing = local_project().environment.bucket("landing")
        with psycopg.connect(self._place.world_dsn) as connection, self._unheard():
            for key, body in connection.execute(
                "select key, body from drops.files where since >= %s order by number", [since]
            ):
                s3.put_object(Bucket=landing, Key=key, Body=bytes(body))

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        events = self._aws("events")
        [rule] = Entrances(local_project()).drop_rules()
        events.disable_rule(Name=rule.name)
        try:
            yield
        finally:
            events.enable_rule(Name=rule.name)
