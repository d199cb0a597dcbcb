"""SQS: an answer whose text moto 5.2.5 changes, and times of the gateway's clock."""

from __future__ import annotations

import json
from typing import Any

from moto.sqs import models
from moto.sqs.models import Queue

from local.gateway.moto import clock


def install() -> None:
    """Returns a queue's redrive policy in the text that it was given in, and hides messages by the gateway's clock."""
    clock.ask(models, "unix_time", "unix_time_millis")
    _write_redrive_policy_as_it_came()


def _write_redrive_policy_as_it_came() -> None:
    # Compact, as SDKs and Terraform send it: they compare the text.
    describe = Queue.attributes.fget

    def attributes(self: Queue) -> dict[str, Any]:
        told: dict[str, Any] = describe(self)
        if self.redrive_policy:
            told["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
        return told

    Queue.attributes = property(attributes)
