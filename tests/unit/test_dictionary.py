"""The data dictionary, the load schedule and the API's reference say all that is declared, and nothing that is not."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from headwater.config.environment import Clock
from headwater.deploy.api_page import api_page
from headwater.deploy.dictionary_page import dictionary_page
from headwater.deploy.freshness import fresh, in_words
from headwater.deploy.gold_file import GoldFile
from headwater.deploy.openapi import openapi
from headwater.deploy.project import Declared
from headwater.deploy.schedule_page import schedule_page
from headwater.errors import ConfigError
from tests.support.declared import checkout, project
from tests.support.paths import ROOT


@cache
def dictionary() -> str:
    return dictionary_page(checkout())


def columns_of(heading: str) -> list[str]:
    """The columns that the dictionary lists below a heading."""
    section = dictionary().split(f"\n### {heading}\n")[1].split("\n### ")[0].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", section, re.MULTILINE)


def test_every_table_and_column_is_in_the_dictionary() -> None:
    for name, gold in project("prod").gold.items():
        assert columns_of(f"gold.{name}") == list(gold.columns)
    for name, table in project("prod").tables.items():
        assert columns_of(f"silver.{name}") == list(table.types)
    for name, identities in project("prod").identities.items():
        assert columns_of(f"silver.{name}") == list(identities.table.types)
    assert columns_of("etl.runs")[-1] == "message"
    assert {"stage", "rows_rejected", "rejected", "messages"} <= {*columns_of("etl.run_audit")}
    assert {"message", "failed_rows"} <= {*columns_of("etl.quality_results")}


def line_of(heading: str, column: str) -> list[str]:
    """The cells of a column below a heading."""
    section = dictionary().split(f"\n### {heading}\n")[1].split("\n### ")[0]
    [line] = [line for line in section.splitlines() if line.startswith(f"| `{column}`")]
    return line.strip("| ").split(" | ")


def test_a_column_has_type_unit_meaning_source_and_checks() -> None:
    assert line_of("silver.ad_performance", "clicks")[1:] == [
        "`bigint`",
        "",
        "",
        "`facebook_ads.ads_insights.clicks`, `google_ads.ad_performance.metrics_clicks`",
        "at most column impressions: quarantines the row",
    ]
    assert line_of("silver.ad_performance", "ad_id")[0] == "`ad_id` **key**"
    assert line_of("silver.customers", "email")[0] == "`email` *hidden*"
    assert line_of("silver.customer_identities", "linked_by")[0] == "`linked_by` *hidden*"
    assert line_of("gold.marketing_performance", "cost_reporting")[1:3] == ["`DECIMAL(18, 2)`", "reporting currency"]


def test_a_unit_stands_before_the_note_and_may_be_left_out() -> None:
    text = "-- t: x\n-- Grain: a\n-- Owner: o\n-- Distribution: AUTO\n-- Sort key: a\n-- a DATE: day\n-- b DOUBLE PRECISION [s]: long\n"
    file = GoldFile("t", f"{text}-- affected\nSELECT 1\n-- rows\nSELECT 1")
    assert file.problems == []
    assert [(column.type, column.unit, column.note) for column in file.columns.values()] == [
        ("DATE", None, "day"),
        ("DOUBLE PRECISION", "s", "long"),
    ]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 4 * * ? *", "every day at 04:00 UTC"),
        ("40 1/4 * * ? *", "every 4 hours from 01:40 UTC"),
        ("30 8-20/4 * * ? *", "every 4 hours from 08:30 to 20:30 UTC"),
        ("40 * * * ? *", "every day, 40 minutes past each hour"),
        ("0 2 ? * SUN *", "Sundays at 02:00 UTC"),
        ("0 2 1 * ? *", "`0 2 1 * ? *` UTC, 0.0 times a day"),
        ("0/5 * * * ? *", "`0/5 * * * ? *` UTC, 288.0 times a day"),
    ],
)
def test_a_schedule_is_said_in_words(cron: str, words: str) -> None:
    assert in_words(Clock(cron=cron)) == words


def test_what_is_fresh_follows_the_runs_that_read_its_sources() -> None:
    assert fresh(project("prod"), ["google_ads"]) == "every day at 04:00 Europe/Dublin"
    assert "from 08:30" in fresh(project("prod"), ["facebook_ads"])
    assert fresh(project("dev"), ["google_ads"]) == "when a run is started"
    page = schedule_page(checkout())
    assert all(
        f"`{source.name}.{stream}`" in page for source in project("prod").sources.values() for stream in source.streams
    )


def test_the_reference_has_every_query_with_its_parameters() -> None:
    page = api_page(openapi(checkout()))
    for name, query in project("prod").queries.items():
        section = page.split(f"## GET /queries/{name}\n")[1].split("\n## ")[0]
        assert all(f"| `{parameter}` |" in section for parameter in query.parameters)


def test_a_comment_on_what_no_migration_makes_is_refused(tmp_path: Path) -> None:
    for folder in ("config", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "sql" / "redshift" / "migrations" / "999_wrong.sql").write_text("COMMENT ON TABLE etl.nothing IS 'x';")
    with pytest.raises(ConfigError, match=r"a comment on nothing\., which no migration makes"):
        dictionary_page(Declared(tmp_path))
