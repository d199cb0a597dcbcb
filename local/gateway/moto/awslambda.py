"""Lambda: what moto 5.2.5 forgets."""

from __future__ import annotations

from typing import Any

from moto.awslambda.models import LambdaFunction


def install() -> None:
    """Keeps where a function's failed events go."""
    _keep_dead_letter_config()


def _keep_dead_letter_config() -> None:
    create, describe, update = (
        LambdaFunction.__init__,
        LambdaFunction.get_configuration,
        LambdaFunction.update_configuration,
    )

    def init(self: LambdaFunction, account_id: str, spec: dict[str, Any], *args: Any, **named: Any) -> None:
        self.dead_letter_config = spec.get("DeadLetterConfig")
        create(self, account_id, spec, *args, **named)

    def get_configuration(self: LambdaFunction, *args: Any, **named: Any) -> dict[str, Any]:
        told: dict[str, Any] = describe(self, *args, **named)
        return told | ({"DeadLetterConfig": self.dead_letter_config} if self.dead_letter_config else {})

    def update_configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        self.dead_letter_config = config_updates.get("DeadLetterConfig", self.dead_letter_config)
        told: dict[str, Any] = update(self, config_updates)
        return told

    LambdaFunction.__init__ = init
    LambdaFunction.get_configuration = get_configuration
    LambdaFunction.update_configuration = update_configuration
