"""The report's page in a real browser: at a desk and on a phone, by day and by night, and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from local.report import write_report
from tests.support.report_sample import sample

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
)
DESK, PHONE = 1280, 390
REPORTS = {"passed": sample(), "failed": sample(failed=True), "thirteen_sources": sample(13)}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium chromium-driver)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    for name, report in REPORTS.items():
        write_report(report, folder / name)
    return folder


def show(
    browser: webdriver.Chrome, page: Path, width: int = DESK, scheme: str = "light", media: str = "screen"
) -> None:
    """Opens a page as a screen of that many CSS pixels, or paper, would show it."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.get((page / "report.html").as_uri())


def boxes(browser: webdriver.Chrome, selector: str, within: str = "document") -> list[dict[str, Any]]:
    """Measures the elements that match, in CSS pixels; a hidden one has no width."""
    script = f"""return [...{within}.querySelectorAll(arguments[0])].map(e => {{
        const box = e.getBoundingClientRect();
        return {{text: e.textContent.trim(), stage: e.dataset.stage, failed: e.classList.contains('failed'),
                 left: box.left, right: box.right, top: box.top, bottom: box.bottom, width: box.width}};
    }})"""
    found: list[dict[str, Any]] = browser.execute_script(script, selector)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_fits_and_logs_no_error(
    browser: webdriver.Chrome, pages: Path, name: str, width: int, scheme: str
) -> None:
    show(browser, pages / name, width, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.documentElement.clientWidth") <= width
    wide = [
        box["text"][:40]
        for box in boxes(browser, "header *, h2, h3, p, .lane, .lane *, .axis span")
        if box["right"] > width
    ]
    assert wide == []


def test_light_and_dark_follow_the_reader(browser: webdriver.Chrome, pages: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        show(browser, pages / "passed", scheme=scheme)
        colours.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(253, 253, 251)", "rgb(20, 23, 26)"]


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", REPORTS)
def test_stages_are_drawn_where_they_ran(browser: webdriver.Chrome, pages: Path, name: str, width: int) -> None:
    show(browser, pages / name, width)
    for number, run in enumerate(REPORTS[name]["runs"], start=1):
        section = f"document.getElementById('run-{number}')"
        tracks = boxes(browser, ".track", section)
        sources = {stage["source"] for stage in run["stages"]}
        assert len(tracks) == len(sources)
        assert len({(track["left"], track["right"]) for track in tracks}) == 1
        bars = boxes(browser, ".bar", section)
        assert len(bars) == len(run["stages"])
        for bar in bars:
            assert tracks[0]["left"] - 0.5 <= bar["left"] < bar["right"] <= tracks[0]["right"] + 0.5
            assert bar["width"] >= 3
        for source in sources - {"-"}:
            top = _top_of(browser, section, source)
            lane = [bar for bar in bars if bar["top"] == top]
            assert [bar["stage"] for bar in lane] == ["Extract", "Check", "Silver"]
            assert lane[0]["right"] <= lane[1]["left"] + 3
            assert lane[1]["right"] <= lane[2]["left"] + 3
            seconds = next(s["seconds"] for s in run["stages"] if (s["stage"], s["source"]) == ("Silver", source))
            scale = (tracks[0]["right"] - tracks[0]["left"]) / run["seconds"]
            assert lane[2]["width"] == pytest.approx(seconds * scale, abs=3)


def _top_of(browser: webdriver.Chrome, section: str, source: str) -> float:
    script = f"""const lanes = [...{section}.querySelectorAll('.lane')];
        const lane = lanes.find(one => one.querySelector('b').textContent === arguments[0]);
        return lane.querySelector('.bar').getBoundingClientRect().top"""
    return float(browser.execute_script(script, source))


def test_a_failed_stage_is_marked_by_pattern_and_by_word(browser: webdriver.Chrome, pages: Path) -> None:
    show(browser, pages / "failed")
    assert [bar["stage"] for bar in boxes(browser, ".bar.failed")] == ["Silver"]
    assert [item["text"] for item in boxes(browser, ".lane li.bad")] == ["✕ Silver 9.3 s FAILED"]
    assert "repeating-linear-gradient" in browser.find_element(By.CSS_SELECTOR, ".bar.failed").value_of_css_property(
        "background-image"
    )


def test_axis_labels_do_not_touch(browser: webdriver.Chrome, pages: Path) -> None:
    show(browser, pages / "passed", PHONE)
    for number in (1, 2, 3):
        labels = boxes(browser, ".axis span", f"document.getElementById('run-{number}')")
        assert len(labels) >= 3
        assert all(left["right"] < right["left"] for left, right in pairwise(labels))


def test_tables_show_the_numbers_to_the_reader(browser: webdriver.Chrome, pages: Path) -> None:
    show(browser, pages / "passed")
    for label, texts in {
        "Runs": ("History load", "660,006", "645,309"),
        "Proofs": ("4,512,880.17 in 312 groups", "✓ holds"),
        "Quarantine": ("status_known", "120"),
        "Gold": ("business_metrics", "13,140"),
        "Rows of History load": ("rds_postgres.orders", "60,000", "58,547", "✓ balance"),
        "Failed checks of History load": ("spend_mean_plausible", "! failed"),
    }.items():
        region = browser.find_element(By.CSS_SELECTOR, f"[role=region][aria-label='{label}']")
        assert [text for text in texts if text not in region.text] == []


def test_long_tables_start_folded_and_open_on_demand(browser: webdriver.Chrome, pages: Path) -> None:
    show(browser, pages / "thirteen_sources")
    table = browser.find_element(By.CSS_SELECTOR, "[aria-label='Rows of History load']")
    assert not table.is_displayed()
    browser.find_element(By.XPATH, "//section[@id='run-1']//summary[contains(., 'streams')]").click()
    assert table.is_displayed()
    assert "stock_movements_by_warehouse_and_day" in table.text


def test_paper_shows_what_the_screen_folds_away(browser: webdriver.Chrome, pages: Path) -> None:
    show(browser, pages / "thirteen_sources", width=760, scheme="dark", media="print")
    folded = "[...document.querySelectorAll('details:not([open]) table')]"
    assert browser.execute_script(f"return {folded}.length") > 5
    assert browser.execute_script(f"return {folded}.every(table => table.checkVisibility())")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [box["text"] for box in boxes(browser, "table") if box["right"] > 760] == []
