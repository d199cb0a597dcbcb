"""The data dictionary: every table and column with its type, unit, meaning, where it comes from, who answers for it, its checks, and
when it is brought up to date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from headwater.config import Policy, Project, Table
from headwater.config.definition import feeding
from headwater.config.gold import GoldTable
from headwater.config.identities import Identities
from headwater.config.lineage import Graph
from headwater.deploy.freshness import fresh
from headwater.deploy.lineage import lineage_of
from headwater.deploy.migrations import statements
from headwater.deploy.project import Declared
from headwater.errors import ConfigError

_HEAD = """# Data dictionary

Generated from config/, sql/gold/ and sql/redshift/ by `make docs`; edit those, not this page.

Gold is in the lake and, with the same columns, in the warehouse's schema `analytics`; silver and quarantine are in the lake. What a
column *comes from* is followed further in [lineage.md](lineage.md); [schedule.md](schedule.md) says when a source is read, and
[business-logic.md](business-logic.md) what the numbers mean. Times are those of prod's schedules. **key** marks the columns that tell
rows apart, *hidden* those that prod's analysts do not see.
"""
_WARN = {"quarantine": "quarantines the row", "halt": "halts the batch", "warn": "warns"}
_NO_ARGUMENTS = {"id", "that", "is_", "level", "may_fail", "least_rows"}
_MADE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?etl\.(\w+) \((.*)\n?\)", re.DOTALL)
_RENAMED = re.compile(r"ALTER TABLE etl\.(\w+) RENAME TO (\w+)")
_ADDED = re.compile(r"ALTER TABLE etl\.(\w+) ADD COLUMN (\w+) (.+)", re.DOTALL)
_SAID = re.compile(r"COMMENT ON (TABLE|COLUMN) etl\.(\w+)(?:\.(\w+))? IS '(.*)'", re.DOTALL)


def dictionary_page(declared: Declared) -> str:
    """Writes the page for environment prod."""
    project = declared.project("prod")
    graph = Graph(lineage_of(project, declared.root))
    lines = [_HEAD, "## Gold", ""]
    for name, gold in project.gold.items():
        lines += _gold(project, graph, name, gold)
    lines += ["## Views of the warehouse", "", *_views(declared.root), "", "## Silver", ""]
    for table in project.tables.values():
        lines += _silver(project, graph, table)
    for identities in project.identities.values():
        lines += _who_is_whom(project, identities)
    return "\n".join(
        [*lines, "## Bronze", "", *_bronze(project), "", "## The warehouse's own", "", *_own(declared.root)]
    )


def _gold(project: Project, graph: Graph, name: str, table: GoldTable) -> Iterator[str]:
    sources = [source for silver in table.inputs for source, _, _ in feeding(project, silver)]
    yield from (f"### gold.{name}", "", f"{_sentence(table.purpose)} In the warehouse: `analytics.{name}`.", "")
    yield from (f"Owner: {table.owner}. Brought up to date: {fresh(project, sources)}.", "")
    yield from ("| column | type | unit | meaning | comes from |", "|---|---|---|---|---|")
    hidden = project.environment.analysts.hidden_columns.get(name, ())
    for column, declared in table.columns.items():
        cells = (_marked(column, table.grain, hidden), f"`{declared.type}`", declared.unit or "", declared.note)
        yield _row(*cells, _origins(graph, f"gold.{name}.{column}"))
    yield ""


def _silver(project: Project, graph: Graph, table: Table) -> Iterator[str]:
    fed = [(source, stream) for source, stream, _ in feeding(project, table.table)]
    yield from (f"### silver.{table.table}", "", table.note, "")
    yield f"Owner: {table.owner}. Written by {table.write.kind}. Brought up to date: {fresh(project, [name for name, _ in fed])}."
    yield f"Fed by {', '.join(f'`{source}.{stream}`' for source, stream in fed)}; refused rows are in `quarantine.{table.table}`."
    policy = project.quality.get(table.table)
    if about := [_check(check) for check in policy.batch if check.is_ == "size"] if policy else []:
        yield f"Of a batch: {', '.join(about)}."
    yield from ("", "| column | type | unit | meaning | comes from | checks |", "|---|---|---|---|---|---|")
    hidden = project.environment.analysts.hidden_columns.get(table.table, ())
    for column, type_ in table.types.items():
        declared = table.columns.get(column)
        note, unit = (declared.note or "", declared.unit or "") if declared else (_ADDED_NOTES[column], "")
        cells = (
            _marked(column, table.key, hidden),
            f"`{type_}`",
            unit,
            note,
            _origins(graph, f"silver.{table.table}.{column}"),
        )
        yield _row(*cells, ", ".join(_checks(policy, column)))
    yield ""


def _who_is_whom(project: Project, identities: Identities) -> Iterator[str]:
    table = identities.table
    members = ", ".join(f"`{name}` ({member.table})" for name, member in identities.members.items())
    links = ", ".join(link.by for link in identities.links)
    sources = [source for member in identities.members.values() for source, _, _ in feeding(project, member.table)]
    yield from (f"### silver.{table.table}", "", table.note, "")
    yield f"Owner: {table.owner}. Computed from other silver tables. Brought up to date: {fresh(project, sources)}."
    yield f"Records of {members}; linked by {links}, the strongest first."
    yield from ("", "| column | type | meaning |", "|---|---|---|")
    hidden = project.environment.analysts.hidden_columns.get(table.table, ())
    for column, type_ in table.types.items():
        yield _row(_marked(column, table.key, hidden), f"`{type_}`", table.columns[column].note or "")
    yield ""


_ADDED_NOTES = {
    "valid_from": "Since when this version is true.",
    "valid_to": "Until when it was; none for the one that still is.",
    "is_current": "Whether it still is.",
}


def _bronze(project: Project) -> Iterator[str]:
    yield "What a source sent, unchanged: JSON's fields as text, a database's columns as they are typed there."
    yield from ("", "| table | fields |", "|---|---|")
    for source in project.sources.values():
        for name, stream in source.streams.items():
            told = ", ".join(f"`{field}`" for field in stream.raw_fields or ()) or "all columns of the relation"
            yield f"| `{source.name}_{name}` | {told} |"


def _views(root: Path) -> Iterator[str]:
    yield from ("| view | what it tells |", "|---|---|")
    for path in sorted((root / "sql" / "redshift" / "views").glob("*.sql")):
        first = path.read_text().partition("\n")[0]
        yield f"| `analytics.{path.stem}` | {_sentence(first.removeprefix(f'-- {path.stem}: '))} |"


def _own(root: Path) -> Iterator[str]:
    """The tables of etl, as the migrations have made them."""
    tables: dict[str, dict[str, str]] = {}
    said: dict[tuple[str, str | None], str] = {}
    for path in sorted((root / "sql" / "redshift" / "migrations").glob("*.sql")):
        for statement in statements(path):
            if made := _MADE.match(statement):
                lines = [line.strip().rstrip(",") for line in made[2].splitlines()]
                tables[made[1]] = {name: type_ for name, _, type_ in (line.partition(" ") for line in lines if line)}
            elif renamed := _RENAMED.match(statement):
                tables[renamed[2]] = tables.pop(renamed[1])
            elif added := _ADDED.match(statement):
                tables[added[1]][added[2]] = added[3]
            elif comment := _SAID.match(statement):
                said[comment[2], comment[3]] = comment[4]
    if unknown := sorted(f"{table}.{column or ''}" for table, column in said if table not in tables):
        raise ConfigError(f"sql/redshift/migrations: a comment on {', '.join(unknown)}, which no migration makes")
    for table, columns in sorted(tables.items()):
        yield from (
            f"### etl.{table}",
            "",
            said.get((table, None), ""),
            "",
            "| column | type | meaning |",
            "|---|---|---|",
        )
        for column, type_ in columns.items():
            yield _row(f"`{column}`", f"`{type_.removesuffix(' NOT NULL')}`", said.get((table, column), ""))
        yield ""


def _marked(column: str, key: Iterable[str], hidden: Iterable[str]) -> str:
    marks = f"{' **key**' if column in key else ''}{' *hidden*' if column in hidden else ''}"
    return f"`{column}`{marks}"


def _origins(graph: Graph, name: str) -> str:
    return ", ".join(f"`{one.name}`" for one in graph.upstream(name).branches)


def _checks(policy: Policy | None, column: str) -> Iterator[str]:
    for check in (*policy.rows, *policy.batch) if policy else ():
        if getattr(check, "that", None) == column:
            yield _check(check)


def _check(check: object) -> str:
    """A check in words: what it asks, and what becomes of a row or a batch that fails it."""
    told = vars(check)
    values = (
        ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in told.items()
        if value is not None and name not in _NO_ARGUMENTS
    )
    asked = " ".join([told["is_"].replace("_", " "), *values])
    return f"{asked}: {_WARN[told.get('level', 'halt')]}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
