"""The sources of the dbt project: every gold table as the warehouse has it, with its columns, tests of its grain, and freshness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from headwater.config.gold import GoldTable
from headwater.deploy.project import Declared

_HEAD = "# Generated from sql/gold/ and config/environments/prod.yaml by `make docs`; edit those, not this file.\n"
# A line as long as the longest note: a note that is broken is hard to search for.
_WIDTH = 1000


def dbt_sources(declared: Declared) -> str:
    """Writes dbt's YAML of the sources `gold`, for environment prod."""
    project = declared.project("prod")
    hours = project.environment.alerts.fresh_hours
    source = {
        "name": "gold",
        "description": "What the pipeline loads into the warehouse.",
        "schema": "analytics",
        # Nothing is loaded where nothing has changed, so that an old table is worth a look, and no failure.
        "config": {"freshness": {"warn_after": {"count": hours, "period": "hour"}}},
        "tables": [_table(name, table) for name, table in project.gold.items()],
    }
    document = {"version": 2, "sources": [source]}
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _table(name: str, table: GoldTable) -> Mapping[str, Any]:
    grain = list(table.grain)
    tests = {"data_tests": [{"unique_together": {"arguments": {"columns": grain}}}]}
    return {
        "name": name,
        "description": _plain(f"{table.purpose} Owner is {table.owner}."),
        "config": {"loaded_at_query": f"select max(loaded_at) from etl.load_ledger where table_name = '{name}'"},
        "columns": [
            {
                "name": column,
                "data_type": declared.type,
                "description": _plain(f"{f'[{declared.unit}] ' if declared.unit else ''}{declared.note}"),
                **({"data_tests": ["not_null"]} if column in grain else {}),
            }
            for column, declared in table.columns.items()
        ],
        **tests,
    }


def _plain(text: str) -> str:
    """The text as dbt shows it, which takes double braces for Jinja."""
    return text.replace("{", "(").replace("}", ")")
