"""IAM: what moto 5.2.5 answers wrongly."""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult


def install() -> None:
    """Lets requests through that only a connection without TLS would refuse."""
    _count_as_encrypted()


def _count_as_encrypted() -> None:
    # moto looks at no condition of a bucket's policy: the one that refuses connections without TLS would refuse everybody.
    # The gateway listens on 127.0.0.1 alone and counts as encrypted.
    original = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(self: IAMPolicyStatement, *args: Any, **named: Any) -> PermissionResult:
        if self._statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
            return PermissionResult.NEUTRAL
        return original(self, *args, **named)

    IAMPolicyStatement.is_action_permitted = is_action_permitted
