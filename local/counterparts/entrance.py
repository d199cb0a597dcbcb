"""The base of counterparts that deliver through the pipeline's own entrances at the gateway."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headwater.config import Project
from headwater.deploy.project import load_project
from local.counterparts.counterpart import Counterpart

_ROOT = Path(__file__).resolve().parents[2]


class ThroughEntrance(Counterpart):
    """A counterpart whose data ends with the gateway: after a restart it is filled again."""

    def start(self) -> None:
        """Checks whether what was delivered is still there."""
        self._is_seeded()

    def deliver(self, since: date | None, until: date) -> None:  # noqa: ARG002 - the world has nothing later
        """Sends what happened; nothing but history before the first deploy, after which everything is sent."""
        if since is None or self._is_seeded():
            self._send(since or date.min)

    def _send(self, since: date) -> None:
        """Sends what happened from a day on."""
        raise NotImplementedError

    def _aws(self, service: str) -> Any:
        """A client of the stack's gateway, whatever the process's own environment says."""
        connect: Any = boto3.client
        return connect(
            service,
            endpoint_url=self._place.aws_endpoint,
            region_name=local_project().environment.region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - the gateway accepts anything
            config=Config(retries={"total_max_attempts": 2}),
        )

    def _is_seeded(self) -> bool:
        """True when the source's history is at the gateway."""
        marker = self._place.home / f"{self.source}.seeded"
        if not marker.exists():
            return False
        try:
            self._aws("s3").head_bucket(Bucket=local_project().environment.bucket("raw"))
        except (ClientError, BotoCoreError):
            marker.unlink()
            return False
        return True


@lru_cache(maxsize=1)
def local_project() -> Project:
    """The declared project of environment local, whose entrances these are."""
    return load_project(_ROOT, "local")
