"""Runs mutants and prints what noticed each: `make mutants`, or `python -m tests.mutants.run WORD …` for those that say each word."""

from __future__ import annotations

import sys

from tests.mutants.mutant import Mutant, declared, outcome, unmutated


def _says(mutant: Mutant, words: list[str]) -> bool:
    said = f"{mutant.kept_in} {mutant.name} {mutant.declared.file} {mutant.declared.test} {mutant.declared.needs}"
    return all(word in said for word in words)


def main(words: list[str]) -> int:
    """Runs them one after the other; returns 0 if each was noticed, or its test was skipped on this machine."""
    mutants = [mutant for mutant in declared() if _says(mutant, words)]
    before = unmutated(mutants)
    if before.how in {"broken", "noticed"}:
        print(f"a test fails without any mutant: {before.said}")  # noqa: T201
        return 1
    wrong = 0
    for mutant in mutants:
        found = outcome(mutant)
        wrong += found.how not in {"noticed", "skipped"}
        print(f"{found.how}: {mutant.name}\n    {mutant.declared.test}\n    {_line(found.said)}", flush=True)  # noqa: T201
    print(f"{len(mutants)} mutants, {wrong} wrong")  # noqa: T201
    return int(wrong > 0 or not mutants)


def _line(said: str) -> str:
    return " ".join(said.split())[:300]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
