"""What the counterparts share that deliver through the pipeline's own entrances at the gateway."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from headwater.config import Project, load_project
from local.counterparts import Place

_ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def local_project() -> Project:
    """The declared project of environment local, whose entrances these are."""
    return load_project(_ROOT, "local")


def aws(place: Place, service: str) -> Any:
    """A client of the stack's gateway, whatever the process's own environment says."""
    connect: Any = boto3.client
    return connect(
        service,
        endpoint_url=place.aws_endpoint,
        region_name=local_project().environment.region,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - the gateway accepts anything
        config=Config(retries={"total_max_attempts": 2}),
    )


def is_seeded(place: Place, source: str) -> bool:
    """Tells whether a source's history is at the gateway; a gateway that was started anew has forgotten it."""
    marker = place.home / f"{source}.seeded"
    if not marker.exists():
        return False
    try:
        aws(place, "s3").head_bucket(Bucket=local_project().environment.bucket("raw"))
    except (ClientError, BotoCoreError):
        marker.unlink()
        return False
    return True
