"""The verdict of a batch, from its check results and the shape of its rows."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.config import Drift, Policy
from headwater.config.policy import Size
from headwater.ledger.entries import CheckResult, Manifest, VerdictName
from headwater.ledger.positions import BoundedPosition
from headwater.log import shortened

_MOST_TOLD = 20
_SHOWN = 300


def judge_drift(manifest: Manifest, drift: Drift) -> CheckResult | None:
    """Judges how a batch's rows differ in shape from those before; None when they do not.

    Warns where drifting rows go to quarantine and where the tables evolve; halts a strict stream. What is not read halts nothing.
    """
    changes = (*manifest.drift, *manifest.beside)
    if not changes and not manifest.left_out:
        return None
    told = [shortened(str(change), _SHOWN) for change in changes[:_MOST_TOLD]]
    if len(changes) > _MOST_TOLD:
        told.append(f"and {len(changes) - _MOST_TOLD} more")
    if manifest.left_out:
        told.append(
            f"{manifest.left_out} values of fields for which there was no room are in raw alone. hint: headwater source "
            f"forget-fields {manifest.source}.{manifest.stream}"
        )
    message = "; ".join(told)
    return CheckResult(
        check="schema",
        level="halt" if drift == "strict" and (manifest.drift or manifest.left_out) else "warn",
        passed=False,
        value=float(len(changes)),
        message=message,
    )


def check_size(policy: Policy | None, rows: int) -> tuple[CheckResult, ...]:
    """Runs the checks of a batch that are about its number of rows alone."""
    sizes = [check for check in (policy.of_batch(0) if policy else ()) if isinstance(check, Size)]
    return tuple(
        CheckResult(check=check.id, level=check.level, passed=check.holds(rows), value=float(rows)) for check in sizes
    )


def judge_dates(manifest: Manifest) -> CheckResult | None:
    """Warns of rows of the source that its watermark does not order: dated later than its own clock, or not at all."""
    position = manifest.position_after
    if not isinstance(position, BoundedPosition) or not position.outside.count:
        return None
    return CheckResult(
        check="dated",
        level="warn",
        passed=False,
        failed_rows=position.outside.count,
        message=f"{position.outside.count} rows of the source are dated later than its own clock, or not at all",
    )


def worst(checks: Iterable[CheckResult]) -> VerdictName:
    """The worst level among failed check results; pass when none failed."""
    failed = {result.level for result in checks if not result.passed}
    return "halt" if "halt" in failed else "warn" if "warn" in failed else "pass"
