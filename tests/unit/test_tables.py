"""A silver table has one owner: streams that fit it load, and one that does not is named with its file, its path and what is known."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headwater.config import InsertWrite, JdbcSource, Project, RelationStream, SnowflakeStream, Table
from headwater.config.relation import raw_name
from headwater.deploy.project import load_project
from headwater.errors import ConfigError, FatalSourceError
from headwater.sources.relation import double_quoted, selected
from tests.support.paths import ROOT

Document = dict[str, Any]
COLUMNS = [f"c{number}" for number in range(6)]


def source(streams: Document) -> Document:
    return {
        "kind": "http",
        "name": "shop",
        "base_url": "https://api.example.com",
        "rate": {"calls": 1},
        "streams": streams,
    }


@st.composite
def tables(draw: st.DrawFn, name: str) -> Document:
    """A table with any key, version and way to write."""
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=2, unique=True))
    column = st.sampled_from(columns)
    table: Document = {
        "table": name,
        "owner": "Shop",
        "note": "Rows.",
        "columns": {c: {"type": "string"} for c in columns},
    }
    table["key"] = draw(st.lists(column, min_size=1, unique=True))
    if draw(st.booleans()):
        table["version"] = draw(column)
    kinds = ["merge", "insert", "replace", *(["scd2"] if "version" in table else [])]
    match draw(st.sampled_from(kinds)):
        case "replace":
            table["write"] = {"kind": "replace", "account": draw(column), "day": draw(column)}
        case kind:
            table["write"] = {"kind": kind}
    return table


@st.composite
def streams(draw: st.DrawFn, table: Document) -> Document:
    """A stream that fills a table's columns by expressions, by fields of their own names, or not at all where it may."""
    told = Table.model_validate(table).told
    filled: dict[str, str | None] = {}
    raw = ["day"]
    for name in table["columns"]:
        match draw(st.sampled_from(["field", "expression", "null"])):
            case "null" if name not in told:
                filled[name] = None
            case "expression":
                filled[name] = "upper(day)"
            case _:
                raw.append(draw(st.sampled_from([name, name.upper()])))
    read = {"kind": "window", "field": "day", "history_days": 1}
    return {"table": table["table"], "path": "/rows", "read": read, "raw": raw, "columns": filled}


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Document]:
    """Documents by their path below config/: some tables, and a source with some streams for each."""
    documents: dict[str, Document] = {}
    declared = {}
    for number in range(draw(st.integers(1, 3))):
        table = draw(tables(f"t{number}"))
        documents[f"tables/t{number}"] = table
        for feeding in range(draw(st.integers(1, 2))):
            declared[f"s{number}_{feeding}"] = draw(streams(table))
    return {**documents, "sources/shop": source(declared)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("declared")
    shutil.copytree(ROOT / "config" / "environments", made / "config" / "environments")
    return made


def load(root: Path, documents: dict[str, Document]) -> Project:
    for folder in ("sources", "tables"):
        shutil.rmtree(root / "config" / folder, ignore_errors=True)
        (root / "config" / folder).mkdir()
    for path, document in documents.items():
        (root / "config" / f"{path}.yaml").write_text(json.dumps(document))
    return load_project(root, "local")


@given(documents=projects())
@settings(max_examples=50)
def test_streams_that_fit_their_tables_load(root: Path, documents: dict[str, Document]) -> None:
    project = load(root, documents)
    assert {f"tables/{name}" for name in project.tables} == documents.keys() - {"sources/shop"}


# Each plants one disagreement, and tells the file, the path and what the message must say.
Plant = Callable[[dict[str, Document], str, st.DataObject], tuple[str, str, str]]


def _undeclared(documents: dict[str, Document], name: str, _: st.DataObject) -> tuple[str, str, str]:
    documents["sources/shop"]["streams"][name]["table"] = "nowhere"
    return "sources/shop", f"streams.{name}.table", "no table nowhere; known: t0"


def _unfed(documents: dict[str, Document], _: str, __: st.DataObject) -> tuple[str, str, str]:
    documents["tables/lonely"] = {**documents["tables/t0"], "table": "lonely"}
    return "tables/lonely", "", "no stream feeds this table; fed: t0"


def _stray(documents: dict[str, Document], name: str, _: st.DataObject) -> tuple[str, str, str]:
    stream = documents["sources/shop"]["streams"][name]
    stream["columns"]["stray"] = "upper(day)"
    return "sources/shop", f"streams.{name}.columns.stray", f"not a column of table {stream['table']}; known: c"


def _parser(documents: dict[str, Document], name: str, _: st.DataObject) -> tuple[str, str, str]:
    stream = documents["sources/shop"]["streams"][name]
    stream["parsers"] = {"v2": {"columns": {"stray": "upper(day)"}}}
    return "sources/shop", f"streams.{name}.parsers.v2.columns.stray", "not a column of table"


def _by_field(documents: dict[str, Document], name: str) -> list[str]:
    stream = documents["sources/shop"]["streams"][name]
    return [column for column in documents[f"tables/{stream['table']}"]["columns"] if column not in stream["columns"]]


def _no_field(documents: dict[str, Document], name: str, data: st.DataObject) -> tuple[str, str, str]:
    fed = _by_field(documents, name)
    assume(fed)
    lost = data.draw(st.sampled_from(fed))
    stream = documents["sources/shop"]["streams"][name]
    stream["raw"] = [field for field in stream["raw"] if field.lower() != lost]
    return "sources/shop", f"streams.{name}.raw", f"no field for {lost} of table {stream['table']}; known: day"


def _no_field_of_a_parser(documents: dict[str, Document], name: str, data: st.DataObject) -> tuple[str, str, str]:
    fed = _by_field(documents, name)
    assume(fed)
    documents["sources/shop"]["streams"][name]["parsers"] = {"v2": {"raw": ["day"]}}
    return "sources/shop", f"streams.{name}.parsers.v2.raw", f"no field for {', '.join(fed)} of"


def _untold(documents: dict[str, Document], name: str, data: st.DataObject) -> tuple[str, str, str]:
    stream = documents["sources/shop"]["streams"][name]
    table = documents[f"tables/{stream['table']}"]
    told = data.draw(st.sampled_from(sorted(Table.model_validate(table).told)))
    stream["columns"][told] = None
    return "sources/shop", f"streams.{name}.columns.{told}", f"null, but it is table {table['table']}'s "


def _no_days(documents: dict[str, Document], name: str, _: st.DataObject) -> tuple[str, str, str]:
    stream = documents["sources/shop"]["streams"][name]
    table = documents[f"tables/{stream['table']}"]
    table["write"] = {"kind": "replace", "account": table["key"][0], "day": table["key"][0]}
    stream["read"] = {"kind": "whole"}
    return "sources/shop", f"streams.{name}.table", "needs rows of whole days"


def _own_key(documents: dict[str, Document], name: str, data: st.DataObject) -> tuple[str, str, str]:
    stream = documents["sources/shop"]["streams"][name]
    said = data.draw(st.sampled_from(["key", "version", "write"]))
    stream[said] = documents[f"tables/{stream['table']}"]["key"]
    return (
        "sources/shop",
        f"streams.{name}.{said}",
        "belongs to the silver table: config/tables/<table>.yaml says it now",
    )


def _own_type(documents: dict[str, Document], name: str, _: st.DataObject) -> tuple[str, str, str]:
    documents["sources/shop"]["streams"][name]["columns"]["c0"] = {"type": "string", "from": "day"}
    return "sources/shop", f"streams.{name}.columns.c0", "belongs to the silver table"


def _key(documents: dict[str, Document], _: str, __: st.DataObject) -> tuple[str, str, str]:
    documents["tables/t0"]["key"] = ["gone"]
    return "tables/t0", "key", "no column gone"


def _history(documents: dict[str, Document], _: str, __: st.DataObject) -> tuple[str, str, str]:
    documents["tables/t0"]["write"] = {"kind": "scd2"}
    documents["tables/t0"].pop("version", None)
    return "tables/t0", "write", "scd2 needs a version"


def _ownerless(documents: dict[str, Document], _: str, __: st.DataObject) -> tuple[str, str, str]:
    del documents["tables/t0"]["owner"]
    return "tables/t0", "owner", "is missing"


PLANTS: list[Plant] = [
    *(_undeclared, _unfed, _stray, _parser, _no_field, _no_field_of_a_parser, _untold, _no_days, _own_key, _own_type),
    *(_key, _history, _ownerless),
]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__.strip("_"))
@given(documents=projects(), data=st.data())
@settings(max_examples=20)
def test_one_disagreement_is_named_with_file_and_path(
    root: Path, plant: Plant, documents: dict[str, Document], data: st.DataObject
) -> None:
    documents = copy.deepcopy(documents)
    name = data.draw(st.sampled_from(sorted(documents["sources/shop"]["streams"])))
    file, path, said = plant(documents, name, data)
    with pytest.raises(ConfigError) as refused:
        load(root, documents)
    assert "\n" not in str(refused.value)
    told = rf"config/{file}\.yaml:\d+: {re.escape(path)}{': ' if path else ''}.*{re.escape(said)}"
    assert re.match(told, str(refused.value)), refused.value


# Databases


def relation(**changes: Any) -> SnowflakeStream:
    declared = {"table": "t", "relation": "b2b.orders", "raw": ["id", "order"], "columns": {}}
    return SnowflakeStream.model_validate(
        {**declared, "read": {"kind": "watermark", "column": "updated_at"}, **changes}
    )


def there(*names: str) -> dict[str, str]:
    return {name.lower(): name for name in names}


def test_what_reading_needs_is_read_beside_what_is_declared() -> None:
    sql = selected(relation(), double_quoted, there("ID", "ORDER", "UPDATED_AT", "SECRET"))
    assert sql == '(SELECT "ID", "ORDER", "UPDATED_AT" FROM b2b.orders) AS selected'


def test_all_is_the_relation_itself_and_a_condition_stands_alone_between_its_parentheses() -> None:
    assert selected(relation(raw="all"), double_quoted, {}) == "b2b.orders"
    sql = selected(relation(raw="all", where="a = 1 OR b = 2 -- or so"), double_quoted, {})
    assert sql == "(SELECT * FROM b2b.orders WHERE (a = 1 OR b = 2 -- or so\n)) AS selected"


def test_a_declared_column_that_is_gone_is_named_with_its_relation() -> None:
    with pytest.raises(FatalSourceError, match=r"b2b\.orders has no column order; known: id, updated_at\. hint: "):
        selected(relation(), double_quoted, there("ID", "UPDATED_AT"))


@given(st.text(min_size=1))
def test_a_quoted_name_ends_where_it_ends(name: str) -> None:
    quoted = double_quoted(name)
    assert quoted[0] == quoted[-1] == '"'
    assert re.fullmatch(r'([^"]|"")*', quoted[1:-1])
    assert quoted[1:-1].replace('""', '"') == name


@given(st.text(min_size=1, max_size=40))
def test_a_raw_row_has_a_name_of_each_column_that_a_delta_table_takes(name: str) -> None:
    assert re.fullmatch(r"[^\s,;{}()=`.\"]+", raw_name(name))
    assert raw_name(raw_name(name)) == raw_name(name)
    assert raw_name("a_b-c's") == "a_b-c's"
    assert raw_name('Net Weight, "kg" (1.5)') == "Net_Weight___kg___1_5_"


@pytest.mark.parametrize("raw", [["a b", "A_B"], ["a.b", "a b"]])
def test_columns_that_would_have_one_name_in_raw_rows_are_refused(raw: list[str]) -> None:
    with pytest.raises(ValueError, match="twice, in whatever case"):
        relation(raw=raw)


@pytest.mark.parametrize("raw", [[], "none", [""], ["x" * 128]])
def test_what_names_no_column_is_refused(raw: Any) -> None:
    with pytest.raises(ValueError, match="raw"):
        relation(raw=raw)


@pytest.mark.parametrize("raw", [["id", "ID"], ["id", "Updated_At"]])
def test_columns_that_differ_by_case_alone_are_refused(raw: list[str]) -> None:
    with pytest.raises(ValueError, match="twice, in whatever case"):
        relation(raw=raw)


def test_a_condition_on_a_change_log_is_refused(project: Project) -> None:
    declared = project.sources["rds_postgres"].model_dump(mode="json", by_alias=True)
    declared["streams"]["loyalty_accounts"]["where"] = "tier = 'gold'"
    with pytest.raises(ValueError, match="where: the change log tells every change, and a row that no longer meets"):
        JdbcSource.model_validate(declared)


def test_a_log_orders_versions_by_its_own_number(project: Project) -> None:
    stream = project.sources["rds_postgres"].streams["loyalty_accounts"]
    assert isinstance(stream, RelationStream)
    table = project.tables["loyalty_accounts"]
    assert list(stream.disagreements(table)) == []
    fixed = table.model_copy(update={"write": InsertWrite(kind="insert")})
    assert [place for place, _ in stream.disagreements(fixed)] == ["read"]
    other = table.model_copy(update={"version": "joined_at"})
    assert ("read", "log needs the version of table loyalty_accounts to be a column made of _lsn") in list(
        stream.disagreements(other)
    )


def test_a_tombstone_cannot_erase_a_row_that_never_changes(project: Project) -> None:
    stream = project.sources["kafka"].streams["events"]
    table = project.tables["stream_events"]
    assert list(stream.disagreements(table)) == []
    fixed = table.model_copy(update={"write": InsertWrite(kind="insert")})
    assert [place for place, _ in stream.disagreements(fixed)] == ["tombstones"]
