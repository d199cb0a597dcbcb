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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/gotchas.md", "docs/runbook.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_a_gotcha_has_its_day_and_a_place_that_copes() -> None:
    assert len(GOTCHAS) >= 20
    for met, *_, where in GOTCHAS:
        assert date.fromisoformat(met)
        assert [path for path in re.findall(r"`([^`]+)`", where) if not (ROOT / path).exists()] == []
        assert "`" in where or "](" in where
