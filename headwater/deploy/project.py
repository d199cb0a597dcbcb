"""The declared project, read from the files of a checkout: config/ and sql/gold/."""

from __future__ import annotations

from pathlib import Path

from headwater.config import Project, read_project
from headwater.deploy.gold_sql import gold_table, problems, refuse, silver_columns


def load_project(root: Path, environment: str) -> Project:
    """Loads config/ and sql/gold/ below `root` for one environment; ConfigError names file and path, or file and line."""
    texts = {path.stem: path.read_text() for path in sorted((root / "sql" / "gold").glob("*.sql"))}
    project = read_project(root, environment, {table: gold_table(table, text) for table, text in texts.items()})
    silver = silver_columns(project)
    refuse([problem for table, text in texts.items() for problem in problems(table, text, silver)])
    return project
