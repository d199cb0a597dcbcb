"""The demo's report, as one JSON file and one page: what ran, where every row went, and what proves the numbers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

# A row that was extracted ends in exactly one of these.
OUTCOMES = ("silver_inserted", "silver_updated", "unchanged", "duplicates", "quarantined", "discarded")
_TICK_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_MOST_TICKS = 5
# A label further right than this would stick out of the page.
_LAST_TICK = 94.0


@dataclass(frozen=True)
class Bar:
    """One stage on the time line; `left` and `width` are percentages of the run's time."""

    stage: str
    state: str
    row: int
    left: float
    width: float
    seconds: float

    @property
    def ok(self) -> bool:
        """True when the stage succeeded."""
        return self.state == "SUCCEEDED"


@dataclass(frozen=True)
class Lane:
    """The stages of one source; stages that overlap, as a retry may, stand in rows below each other."""

    source: str
    bars: tuple[Bar, ...]

    @property
    def rows(self) -> int:
        """Counts the rows that the bars need."""
        return 1 + max(bar.row for bar in self.bars)


@dataclass(frozen=True)
class TimeLine:
    """One run's lanes, and the seconds between two ticks; `step` is that in percent of the run's time."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    step: float


@dataclass(frozen=True)
class Flow:
    """What became of the rows of one stream in one run; `faults` names each batch that does not balance."""

    source: str
    stream: str
    batches: str
    counts: Mapping[str, int]
    reasons: Mapping[str, int]
    faults: tuple[str, ...]

    @property
    def shares(self) -> list[tuple[str, float]]:
        """Lists the outcomes that had rows, each with its percentage of all outcomes."""
        total = sum(self.counts[outcome] for outcome in OUTCOMES)
        return [(name, 100 * self.counts[name] / total) for name in OUTCOMES if self.counts[name]]


@dataclass(frozen=True)
class Problem:
    """One reason not to trust the numbers, and the id of the section that shows it."""

    text: str
    section: str


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Writes report.json and report.html to a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render_html(report), encoding="utf-8")


def render_html(report: dict[str, Any]) -> str:
    """Renders the report as one HTML page without scripts that refers to nothing but the report.json beside it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "day": _day, "clock": _clock, "breakable": _breakable}
    books = [book for run in report["runs"] for book in run["books"]]
    return environment.get_template("report.html.j2").render(
        report=report,
        problems=problems(report),
        totals=_sums(books),
        outcomes=OUTCOMES,
        engines=sorted({row["engine"] for row in report["gold"]}),
        gold=_gold(report["gold"]),
        runs=[
            {
                **run,
                "id": f"run-{number}",
                "totals": _sums(run["books"]),
                "time_line": time_line(run),
                "flows": flows(run["books"]),
                "failed_checks": sorted(
                    (c for c in run["checks"] if not c["passed"]), key=lambda c: c["level"] != "halt"
                ),
                "passed_checks": [check for check in run["checks"] if check["passed"]],
            }
            for number, run in enumerate(report["runs"], start=1)
        ],
    )


def problems(report: Mapping[str, Any]) -> list[Problem]:
    """Lists every reason not to trust the numbers; none means that the demo passed.

    The report's own `balanced` and `proven` are never overruled: either one being false is a problem by itself.
    """
    found: list[Problem] = []
    for number, run in enumerate(report["runs"], start=1):
        if not run["well"]:
            found.append(Problem(f"{run['label']}: the run ended as {run['status']}", f"run-{number}"))
        found += [
            Problem(f"{run['label']}: {flow.source}.{flow.stream} does not balance, {fault}", f"run-{number}")
            for flow in flows(run["books"])
            for fault in flow.faults
        ]
    if not report["balanced"] and not found:
        found.append(Problem("The books are not closed, or do not balance", "runs"))
    unproven = [
        Problem(f"{p['name']}: expected {p['expected']}, found {p['found']}", "proofs")
        for p in report["proofs"]
        if not p["ok"]
    ]
    unproven += [
        Problem(
            f"{row['table']}, {row['reason']}: {row['quarantined']:,} quarantined, {row['planted'] or 0:,} planted",
            "quarantine",
        )
        for row in report["quarantine"]
        if not row["matches"]
    ]
    if not report["proven"] and not unproven:
        unproven.append(Problem("The numbers are not proven", "proofs"))
    return found + unproven


def time_line(run: Mapping[str, Any]) -> TimeLine:
    """Lays the stages of a run out in time: one lane for each source, in order of its first stage."""
    spans = sorted(
        ((datetime.fromisoformat(s["started"]), datetime.fromisoformat(s["ended"]), s) for s in run["stages"]),
        key=lambda span: span[0],
    )
    # Glue's clock and the state machine's may disagree by a moment; no bar may start before its run or end after it.
    begin = min([datetime.fromisoformat(run["started"]), *(started for started, _, _ in spans)])
    end = max([datetime.fromisoformat(run["ended"]), *(ended for _, ended, _ in spans)])
    total = max((end - begin).total_seconds(), 0.1)
    lanes: dict[str, list[Bar]] = defaultdict(list)
    free_from: dict[str, list[datetime]] = defaultdict(list)
    for started, ended, stage in spans:
        source = stage["source"]
        row = next((n for n, free in enumerate(free_from[source]) if free <= started), len(free_from[source]))
        free_from[source][row : row + 1] = [ended]
        left = 100 * (started - begin).total_seconds() / total
        width = 100 * (ended - started).total_seconds() / total
        lanes[source].append(Bar(stage["stage"], stage["state"], row, left, width, stage["seconds"]))
    step = next((s for s in _TICK_SECONDS if total / s <= _MOST_TICKS), total)
    ticks = [(100 * n * step / total, duration(n * step)) for n in range(_MOST_TICKS + 1)]
    return TimeLine(
        # What the whole run does together frames what each source does, so it comes last.
        lanes=tuple(
            Lane(source, tuple(bars)) for source, bars in sorted(lanes.items(), key=lambda lane: lane[0] == "-")
        ),
        ticks=tuple((left, label) for left, label in ticks if left <= _LAST_TICK),
        step=100 * step / total,
    )


def flows(books: Iterable[Mapping[str, Any]]) -> list[Flow]:
    """Adds up the books of each stream, in the order in which the streams first appear."""
    streams: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for book in books:
        streams[(book["source"], book["stream"])].append(book)
    return [
        Flow(
            source=source,
            stream=stream,
            batches=_batches(sorted(book["batch"] for book in batches)),
            counts=_sums(batches),
            reasons=_reasons(batches),
            faults=tuple(fault for book in batches if (fault := _fault(book))),
        )
        for (source, stream), batches in streams.items()
    ]


def duration(seconds: float) -> str:
    """Formats a time in seconds: 3.2 s, 42 s, 2 min 05 s, 1 h 02 min."""
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest:02d} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes:02d} min" if minutes else "")


def _sums(books: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(book[name] for book in books) for name in ("extracted", *OUTCOMES, "deleted")}


def _reasons(books: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    reasons: dict[str, int] = defaultdict(int)
    for book in books:
        for reason, rows in book["reasons"].items():
            reasons[reason] += rows
    return {reason: rows for reason, rows in sorted(reasons.items()) if rows}


def _batches(numbers: Sequence[int]) -> str:
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}\u2013{numbers[-1]}"
    return ", ".join(str(number) for number in numbers)


def _fault(book: Mapping[str, Any]) -> str:
    missing = book["extracted"] - sum(book[outcome] for outcome in OUTCOMES)
    if missing:
        return f"batch {book['batch']}: {abs(missing):,} {'missing' if missing > 0 else 'too many'}"
    return "" if book["balances"] else f"batch {book['batch']}"


def _gold(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    tables: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        tables[row["table"]][row["engine"]] = row["rows"]
    return dict(tables)


def _day(moment: str) -> str:
    found = datetime.fromisoformat(moment)
    return f"{found.day} {found:%B %Y, %H:%M} UTC"


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%H:%M:%S}"


def _breakable(name: str) -> Markup:
    """Lets a long identifier break after its dots and underscores instead of anywhere."""
    return escape(name).replace("_", Markup("_<wbr>")).replace(".", Markup(".<wbr>"))
