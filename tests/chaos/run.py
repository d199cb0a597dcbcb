"""Runs drawn sequences of faults: `make chaos SEEDS=25`, or `python -m tests.chaos.run 25 --first 7` from seed 7 on.

Each seed moves the world on by a day, lets the runs that it draws meet their faults, clears these, and runs once more, unrepaired.
Then every table of the lake and the warehouse has to be that of a twin that met none, every load made once, every book balanced.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from headwater.client import run_input
from local import world
from local.stack import Stack
from tests.chaos.draw import OURS, Sequence
from tests.chaos.strikes import Strike, cut, fill_disk, free_disks
from tests.e2e.pipeline import Faults, Pipeline, own_stack
from tests.e2e.story import HOUSEHOLDS
from tests.e2e.twins import twin

NAME = "chaos"


def main() -> int:
    """Runs the seeds one after the other on one stack; returns 0 when each has come to the same as the twin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    asked = parser.parse_args()
    wrong = drawn = hits = 0
    with (
        tempfile.TemporaryDirectory() as home,
        own_stack(Path(home), HOUSEHOLDS, frozenset({"rds_postgres"})) as stack,
    ):
        struck, control = twin(stack, NAME), twin(stack, "control")
        for seed in range(asked.first, asked.first + asked.seeds):
            began = time.monotonic()
            world.advance(stack.rds_dsn, 1, seed)
            sequence = Sequence.of(seed, f"headwater-{NAME}")
            ended = [_run(struck, faults, beside=beside) for faults, beside in sequence.runs]
            drawn += sum(len(faults) for faults, _ in sequence.runs)
            hits += sum(number for _, number in ended)
            last = struck.run()
            control.run_well()
            differs = [last.cause] if last.status != "SUCCEEDED" else differences(struck, control)
            wrong += bool(differs)
            told = "; ".join(run for run, _ in ended)
            verdict = f"DIFFERS: {differs}" if differs else "same"
            print(f"seed {seed}: {told} -> {verdict} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
            if differs:
                # What differs once differs for ever: the seeds after it would tell nothing.
                print(f"again: python -m tests.chaos.run 1 --first {seed}\n{sequence}")  # noqa: T201
                break
    print(f"{asked.seeds} seeds, {wrong} wrong; of {drawn} faults {hits} struck")  # noqa: T201
    return int(wrong > 0)


def _run(pipeline: Pipeline, faults: tuple[dict[str, Any], ...], *, beside: bool) -> tuple[str, int]:
    """Runs under some faults, perhaps beside another run; says how that ended, and how many of the faults struck."""
    stack, armed = pipeline.stack, Faults(pipeline.stack)
    own = {number: _strike(stack, fault) for number, fault in enumerate(faults) if fault["action"] in OURS}
    for number, fault in enumerate(faults):
        if number not in own:
            armed.arm(**fault)
    for strike in own.values():
        strike.start()
    other = pipeline.client.start(run_input((), None, None, stack.clock())) if beside else None
    ended = [pipeline.run().status]
    if other:
        ended.append(pipeline.client.wait(other).status)
    for strike in own.values():
        strike.end()
    free_disks(stack)
    # In the order in which they were armed.
    fired = iter(armed.each_fired())
    struck = [own[number].fired if number in own else next(fired) for number in range(len(faults))]
    armed.clear()
    told = ", ".join(f"{fault['action']} {times}" for fault, times in zip(faults, struck, strict=True))
    return f"{told}: {' and '.join(ended)}", sum(times > 0 for times in struck)


def _strike(stack: Stack, fault: dict[str, Any]) -> Strike:
    if fault["action"] == "cut":
        return Strike(lambda: cut(stack))
    return Strike(lambda: fill_disk(stack, fault["job"]))


def differences(struck: Pipeline, control: Pipeline) -> list[str]:
    """Lists the tables in which a pipeline differs from its twin, loads that were made twice, and books that do not balance."""
    ours, theirs = struck.content(), control.content()
    names = sorted(ours.keys() | theirs.keys())
    found = [
        f"{name}: {ours.get(name)}, not {theirs.get(name)}" for name in names if ours.get(name) != theirs.get(name)
    ]
    twice = "SELECT load_id FROM etl.load_ledger GROUP BY load_id HAVING COUNT(*) > 1"
    loads = struck.client.query("redshift", twice).rows
    found += [f"load {load_id} was made twice" for (load_id,) in loads]
    for ledger in struck.client.opened.streams():
        books = ledger.books(1, ledger.extracted_up_to())
        found += [
            f"{ledger.source}.{ledger.stream} batch {number}: no book that balances"
            for number, book in enumerate(books, 1)
            if book is None or not book.balances
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
