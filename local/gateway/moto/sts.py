"""STS: sessions that end by the gateway's clock."""

from __future__ import annotations

from moto.sts import models

from local.gateway.moto import clock


def install() -> None:
    """Has a session's end come from the gateway's clock."""
    clock.ask(models, "utcnow")
