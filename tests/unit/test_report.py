"""The demo's report says what the run said, in one page that leans on nothing."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from local.report import duration, flows, problems, render_html, time_line, write_report
from tests.support.report_sample import START, sample

TEMPLATE = Path(__file__).parents[2] / "local" / "report.html.j2"
VOID = {"meta", "link", "wbr", "br"}


class Page(HTMLParser):
    """The page's words and tags, its key figures, its tables as rows of cell texts by label; a stray end tag fails."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.figures: dict[str, str] = {}
        self.words = ""
        self._label = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if found.get("role") == "region":
            self._label = found["aria-label"] or ""
            self.tables[self._label] = []
        if tag == "tr":
            self.tables[self._label].append([])
        if tag in {"th", "td"}:
            self.tables[self._label][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if "dt" in self.open:
            self.figures[data] = ""
        if "dd" in self.open:
            self.figures[list(self.figures)[-1]] += data
        if {"th", "td"} & set(self.open):
            self.tables[self._label][-1][-1] += data

    def row(self, label: str, *starts: str) -> list[str]:
        [found] = [row for row in self.tables[label] if row[: len(starts)] == list(starts)]
        return found


def page(report: dict[str, Any]) -> Page:
    return Page(render_html(report))


def test_both_files_are_written_and_hold_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "demo"
    report = sample()
    write_report(report, folder)
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report
    assert (folder / "report.html").read_text(encoding="utf-8") == render_html(report)


def test_the_headline_tells_time_rows_runs_and_proofs() -> None:
    found = page(sample())
    assert "✓ The books balance and every proof holds" in found.words
    assert found.figures == {
        "Total time": "13 min 01 s",
        "Runs that went well": "3 of 3",
        "Rows extracted": "671,562",
        "Rows written to silver": "656,612",
        "Rows quarantined": "180",
        "Proofs that hold": "4 of 4",
    }


def test_every_table_shows_its_numbers() -> None:
    found = page(sample())
    assert found.row("Runs", "History load")[1:6] == ["✓ SUCCEEDED", "08:56:03", "177.1", "660,006", "645,309"]
    assert found.row("Proofs", "Revenue by month and category, redshift")[1:3] == [
        "✓ holds",
        "4,512,880.17 in 312 groups",
    ]
    assert found.row("Quarantine", "orders", "status_known") == ["orders", "status_known", "120", "120", "✓ matches"]
    assert found.row("Quarantine", "ads_insights")[2] == "\u2013"
    assert found.row("Gold", "marketing_performance") == ["marketing_performance", "13,140", "13,140"]
    assert found.row("Stages of History load", "Silver", "rds_postgres")[2:] == [
        *["✓ SUCCEEDED", "08:56:26", "21.8"],
        *["280,000", "273,707", "133"],
    ]
    assert found.row("Rows of History load", "rds_postgres.orders") == [
        *["rds_postgres.orders", "1", "60,000", "58,547", "0", "1,200", "120", "133", "✓ balance"],
        "status_known 66, total_amount_complete 67",
    ]
    assert found.row("Failed checks of History load", "spend_mean_plausible")[2:6] == [
        "1",
        "warn",
        "! failed",
        "48.3191",
    ]
    assert len(found.tables["Passed checks of History load"]) == 1 + 8


def test_failed_halts_come_before_failed_warnings() -> None:
    report = sample()
    checks = report["runs"][0]["checks"]
    checks[-1] |= {"check": "rates_key_unique", "level": "halt", "passed": False}
    [_, first, second] = page(report).tables["Failed checks of History load"]
    assert (first[0], first[4]) == ("rates_key_unique", "✕ failed")
    assert (second[0], second[4]) == ("spend_mean_plausible", "! failed")


def test_a_failed_run_a_failed_proof_and_a_missed_defect_are_each_a_problem() -> None:
    report = sample(failed=True)
    found = page(report)
    assert "✕ Failed: do not trust these numbers" in found.words
    assert [problem.section for problem in problems(report)] == ["run-2", "proofs", "quarantine"]
    assert found.tables["Proofs"][1][1] == "✕ fails"
    assert found.tables["Quarantine"][1][4] == "✕ differs"
    assert found.row("Stages of After 3 days", "Silver", "facebook_ads")[2] == "✕ FAILED"


def test_a_batch_that_does_not_balance_is_named_with_the_rows_it_lacks() -> None:
    report = sample()
    report["runs"][1]["books"][0]["silver_inserted"] -= 3
    found = page(report)
    assert found.row("Rows of After 3 days", "rds_postgres.customers")[8] == "✕ batch 2: 3 missing"
    assert "After 3 days: rds_postgres.customers does not balance, batch 2: 3 missing" in found.words


def test_faults_of_two_batches_do_not_cancel_out() -> None:
    [first, second, *_] = (sample()["runs"][0]["books"][0] | {"batch": batch} for batch in (1, 2, 3))
    first["unchanged"] += 5
    second["unchanged"] -= 5
    [flow] = flows([first, second])
    assert flow.faults == ("batch 1: 5 too many", "batch 2: 5 missing")
    assert flow.batches == "1\u20132"


@pytest.mark.parametrize("flag", ["balanced", "proven"])
def test_a_report_that_calls_itself_wrong_is_never_shown_as_passed(flag: str) -> None:
    report = sample() | {flag: False}
    assert len(problems(report)) == 1
    assert "Failed" in page(report).words


def test_text_from_the_run_is_escaped() -> None:
    report = sample()
    report["runs"][0]["run_id"] = '"><script>alert(1)</script>'
    report["runs"][0]["checks"][0]["message"] = "<img src=x onerror=alert(1)>"
    report["runs"][0]["stages"][0]["stage"] = '" onmouseover="alert(1)'
    report["proofs"][0]["found"] = "1 < 2 & 3"
    found = page(report)
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "1 < 2 & 3" in found.words


def test_the_page_needs_nothing_but_itself() -> None:
    html = render_html(sample(13, failed=True))
    assert not re.search(r"https?:|//\w|@import|@font-face|url\(", html)
    found = Page(html)
    assert not {"script", "iframe", "img", "object"} & {tag for tag, _ in found.tags}
    references = {
        value for _, attributes in found.tags for name, value in attributes.items() if name in {"href", "src"}
    }
    assert {value for value in references if value and not value.startswith("#")} == {"data:,", "report.json"}


def test_links_lead_to_sections_and_ids_are_unique() -> None:
    found = page(sample(failed=True))
    ids = [value for _, attributes in found.tags for name, value in attributes.items() if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for _, attributes in found.tags if (value := attributes.get("href") or "").startswith("#")}
    assert links <= set(ids)


def test_every_header_cell_has_a_scope_and_every_tag_is_closed() -> None:
    found = page(sample(failed=True))
    assert not found.open
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in found.tags if tag == "th")
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in found.tags}


def test_a_report_in_which_nothing_ran_still_renders() -> None:
    report = sample() | {"runs": [], "books": [], "quarantine": [], "proofs": [], "gold": [], "balanced": False}
    assert "No proof was made." in page(report).words


def test_stages_lie_on_the_time_line_where_they_ran() -> None:
    run = sample()["runs"][0]
    line = time_line(run)
    assert [lane.source for lane in line.lanes] == ["rds_postgres", "facebook_ads", "fx_rates", "-"]
    [extract, check, silver] = line.lanes[0].bars
    assert extract.left == pytest.approx(100 * 2 / 177.1, rel=0.01)
    assert extract.width == pytest.approx(100 * 15.75 / 177.1, rel=0.01)
    assert extract.left + extract.width < check.left < silver.left
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.001 for lane in line.lanes for bar in lane.bars)
    assert [label for _, label in line.ticks] == ["0 s", "1 min", "2 min"]


def test_a_retry_that_overlaps_gets_a_row_of_its_own() -> None:
    run = sample()["runs"][0]
    stage = next(s for s in run["stages"] if s["stage"] == "Silver")
    run["stages"].append(stage | {"state": "TIMEOUT"})
    lane = time_line(run).lanes[0]
    assert lane.rows == 2
    assert [bar.row for bar in lane.bars if bar.stage == "Silver"] == [0, 1]


def test_a_stage_that_outlives_its_run_stays_on_the_time_line() -> None:
    run = sample()["runs"][0]
    run |= {"ended": run["started"]}
    run["stages"][0]["started"] = (START - timedelta(seconds=1)).isoformat()
    bars = [bar for lane in time_line(run).lanes for bar in lane.bars]
    assert min(bar.left for bar in bars) == 0
    assert max(bar.left + bar.width for bar in bars) == pytest.approx(100)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (3.24, "3.2 s"),
        (42.0, "42 s"),
        (59.97, "1 min"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (86400, "24 h"),
    ],
)
def test_durations_are_worded(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def _colours() -> dict[str, tuple[str, str]]:
    return {
        name: (a, b)
        for name, a, b in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", TEMPLATE.read_text(encoding="utf-8"))
    }


def _luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("name", "least"),
    [(name, 4.5) for name in ("ink", "muted", "link", "good", "warn", "bad")]
    + [(name, 3.0) for name in ("extract", "check", "silver", "gold", "load", "other")],
)
def test_colours_stand_out_from_the_paper(name: str, least: float, scheme: int) -> None:
    """WCAG 2.2 asks 4.5 of text and 3 of graphics."""
    darker, lighter = sorted(_luminance(_colours()[which][scheme]) for which in (name, "paper"))
    assert (lighter + 0.05) / (darker + 0.05) >= least
