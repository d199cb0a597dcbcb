"""Pages that are written by hand name what is there."""

from __future__ import annotations

import re
from datetime import date

import pytest

from tests.support.paths import ROOT

GOTCHAS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs" / "gotchas.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/business-logic.md",
        "docs/dbt.md",
        "docs/gotchas.md",
        "docs/query-api.md",
        "docs/runbook.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_business_logic_lists_every_gold_table_and_says_where_every_rule_stands() -> None:
    text = (ROOT / "docs" / "business-logic.md").read_text()
    for folder in ("gold", "shared"):
        names = {path.stem for path in (ROOT / "sql" / folder).glob("*.sql")}
        assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_a_gotcha_has_its_day_and_a_place_that_copes() -> None:
    assert len(GOTCHAS) >= 20
    for met, *_, where in GOTCHAS:
        assert date.fromisoformat(met)
        assert [path for path in re.findall(r"`([^`]+)`", where) if not (ROOT / path).exists()] == []
        assert "`" in where or "](" in where


def test_the_runbook_has_a_row_for_every_alarm() -> None:
    text = (ROOT / "terraform" / "modules" / "alerts" / "alarms.tf").read_text()
    names = set(re.findall(r'alarm_name\s*=\s*"\$\{var\.prefix\}-(.+)"', text))
    [section] = re.findall(r"## What an alarm says.+?\n## ", (ROOT / "docs" / "runbook.md").read_text(), re.DOTALL)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    # A name that is made for each source is one row for all.
    wanted = {name.replace("${each.key}-", "<source>-") for name in names}
    assert set(re.findall(r"`([^`]+)`", "".join(rows))) == wanted
