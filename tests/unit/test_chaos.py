"""What a seed draws is the same each time, is understood by the gateway, and takes turns among all that can go wrong."""

from __future__ import annotations

from local.gateway.faults import Fault
from tests.chaos.draw import OURS, STAGES, WRITES, Sequence

PREFIX = "headwater-chaos"
DRAWN = [Sequence.of(seed, PREFIX) for seed in range(200)]
FAULTS = [fault for sequence in DRAWN for faults, _ in sequence.runs for fault in faults]


def test_a_seed_draws_the_same_each_time() -> None:
    assert [Sequence.of(seed, PREFIX) for seed in range(200)] == DRAWN


def test_every_fault_is_understood_by_the_gateway() -> None:
    asked = [fault for fault in FAULTS if fault["action"] not in OURS]
    assert all(Fault.parse(fault).action == fault["action"] for fault in asked)


def test_whatever_can_go_wrong_is_drawn() -> None:
    assert {fault["action"] for fault in FAULTS} == {"kill", "error", "drop_reply", "deny", "throttle", *OURS}
    killed = {fault["job"] for fault in FAULTS if fault["action"] == "kill"}
    assert killed == {f"{PREFIX}-{stage}" for stage in STAGES}
    assert all(any(what in str(fault.get("path")) for fault in FAULTS) for what in WRITES)
    assert any(fault.get("path") == "sns[.]Publish" for fault in FAULTS)
    assert any(beside for sequence in DRAWN for _, beside in sequence.runs)
