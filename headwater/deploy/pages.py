"""The pages that are generated: `make docs` writes them all, and `make check` names those that are out of date.

`python -m headwater.deploy.pages` writes, with `--check` it only looks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headwater.config import json_schemas
from headwater.deploy.api_page import api_page
from headwater.deploy.cost.page import cost_page
from headwater.deploy.countries import countries_module, phone_plans_module
from headwater.deploy.dbt_sources import dbt_sources
from headwater.deploy.dictionary_page import dictionary_page
from headwater.deploy.lineage_page import lineage_page
from headwater.deploy.module_pages import module_pages
from headwater.deploy.openapi import openapi
from headwater.deploy.project import Declared
from headwater.deploy.schedule_page import schedule_page
from headwater.deploy.sources_page import sources_page
from headwater.deploy.types_page import types_page
from headwater.errors import HeadwaterError


def pages(root: Path) -> dict[Path, str]:
    """Generates every page from config/ and terraform/ below `root`, and the tables that libraries know, by its path."""
    declared = Declared(root)
    api = openapi(declared)
    schemas = {
        root / "config" / "schema" / f"{name}.schema.json": json.dumps(schema, indent=1) + "\n"
        for name, schema in json_schemas().items()
    }
    docs = {
        root / "docs" / "sources.md": sources_page(declared),
        root / "docs" / "cost.md": cost_page(declared),
        root / "docs" / "lineage.md": lineage_page(declared),
        root / "docs" / "types.md": types_page(),
        root / "docs" / "data-dictionary.md": dictionary_page(declared),
        root / "docs" / "schedule.md": schedule_page(declared),
        root / "docs" / "api-reference.md": api_page(api),
        root / "docs" / "openapi.json": json.dumps(api, indent=1, ensure_ascii=False) + "\n",
    }
    tables = {
        root / "headwater" / "countries.py": countries_module(),
        root / "headwater" / "phone_plans.py": phone_plans_module(),
    }
    models = {root / "dbt" / "models" / "sources" / "gold.yml": dbt_sources(declared)}
    return schemas | docs | tables | models | module_pages(root / "terraform")


def out_of_date(generated: dict[Path, str]) -> list[Path]:
    """Lists the pages that are missing or differ from what is generated."""
    return [path for path, text in generated.items() if not path.exists() or path.read_text() != text]


def left_over(root: Path, generated: dict[Path, str]) -> list[Path]:
    """Lists the pages of Terraform modules that no longer exist."""
    return sorted(set((root / "terraform" / "modules").glob("*/README.md")) - generated.keys())


def main(root: Path, *arguments: str) -> int:
    """Writes the pages that are out of date, or with `--check` names them and returns 1."""
    generated = pages(root)
    stale, gone = out_of_date(generated), left_over(root, generated)
    if "--check" in arguments:
        names = ", ".join(str(path.relative_to(root)) for path in (*stale, *gone))
        print(f"out of date: {names}. hint: make docs" if names else f"generated pages: {len(generated)} up to date")  # noqa: T201
        return int(bool(names))
    for path in stale:
        path.write_text(generated[path])
    for path in gone:
        path.unlink()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(__file__).resolve().parents[2], *sys.argv[1:]))
    except HeadwaterError as error:
        sys.exit(f"{type(error).__name__}: {error}")
