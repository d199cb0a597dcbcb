"""Budgets: a call that moto 5.2.5 lacks."""

from __future__ import annotations

from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult


def install() -> None:
    """Adds the call that lists whom a budget's notification goes to."""
    BudgetsResponse.describe_subscribers_for_notification = _subscribers


def _subscribers(self: BudgetsResponse) -> ActionResult:
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    asked = self._get_param("Notification")
    told = [kept.subscribers for kept in budget.notifications if asked.items() <= kept.details.items()]
    return ActionResult({"Subscribers": told[0] if told else []})
