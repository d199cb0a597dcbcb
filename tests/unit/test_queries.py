"""Declared queries: what may be declared, and how values are bound, which never changes the text that Athena gets."""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlglot
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlglot import exp

from headwater.config import Query
from headwater.config.documents import problems_of
from headwater.config.query import _PIECES, DateParameter, IntegerParameter, TextParameter
from headwater.deploy.project import Declared
from headwater.validate.queries import of_queries, of_saved_query
from headwater.validate.understanding import mistakes
from local.gateway.athena.sql import understand
from tests.support.declared import project
from tests.support.paths import ROOT

TEXT = {"type": "text", "note": "any", "default": "x"}
DECLARED: dict[str, Any] = {
    "query": "q",
    "note": "n",
    "owner": "o",
    "reads": ["business_metrics"],
    "parameters": {"word": TEXT},
    "sql": "SELECT month FROM business_metrics WHERE category = :word",
}


def declared(**changes: Any) -> Query:
    return Query.model_validate({**DECLARED, **changes})


def wrong(**changes: Any) -> list[str]:
    """What is wrong with a declaration, as `headwater validate` tells it."""
    with pytest.raises(ValidationError) as refused:
        declared(**changes)
    return [f"{'.'.join(map(str, place))}: {said}" for place, said in problems_of(refused.value)]


def parameter(**changes: Any) -> dict[str, Any]:
    return {"parameters": {"word": {**TEXT, **changes}}}


WHOLE = {"type": "integer", "note": "n", "least": 0, "most": 9}
DAY = {"type": "date", "note": "n", "least": "2018-01-01", "most": "2018-12-31"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sql": "SELECT 1 FROM t WHERE a = :wrod"}, "no parameter wrod, did you mean word?"),
        ({"parameters": {"word": TEXT, "idle": TEXT}}, "parameters.idle: is nowhere in the SQL"),
        ({"parameters": {"page": TEXT}, "sql": "SELECT 1 WHERE 1 = :page"}, "takes format and page for itself"),
        (parameter(type="uuid"), "no type uuid"),
        (parameter(longest=501), "less than or equal to 500"),
        (parameter(longest=1, default="xy"), "parameters.word.text.default: must be one line of at most 1"),
        (parameter(one_of=["a", "b"]), "parameters.word.text.default: must be one of a, b"),
        ({"parameters": {"word": {**WHOLE, "default": 10}}}, "default: must be from 0 to 9"),
        ({"parameters": {"word": {**WHOLE, "least": 10}}}, "least: 10 is above most, 9"),
        ({"parameters": {"word": {"type": "integer", "note": "n"}}}, "parameters.word.integer.least: is missing"),
        ({"parameters": {"word": {**DAY, "default": "2019-01-01"}}}, "must be from 2018-01-01 to 2018-12-31"),
        ({"reads": []}, "at least 1 item"),
    ],
)
def test_a_declaration_that_is_wrong_is_refused(changes: dict[str, Any], said: str) -> None:
    assert [problem for problem in wrong(**changes) if said in problem]


def test_a_name_within_texts_quotes_and_comments_is_no_parameter() -> None:
    sql = "SELECT ':word' || '''::word' AS \":word\", /* :word */ x -- :word\nFROM t WHERE x = :word AND y=:word"
    query = declared(sql=sql)
    assert query.used == ["word", "word"]
    assert query.text == sql.replace("x = :word", "x = ?").replace("y=:word", "y=?")
    assert query.values({"word": "it's"}) == ["'it''s'", "'it''s'"]


VALUES = {
    "text": st.text()
    | st.sampled_from(["' OR 1=1 --", "''", "?", ":category", "\\'", "'; DROP TABLE t; --", "NULL", "all", "\\"]),
    "integer": st.integers(0, 10**6).map(str),
    "date": st.dates(date(2000, 1, 1), date(2100, 1, 1)).map(str),
}


@given(st.sampled_from(list(project().queries.values())), st.data())
def test_no_value_ever_changes_the_text_or_is_more_than_a_value_in_it(query: Query, data: st.DataObject) -> None:
    given = {name: data.draw(VALUES[parameter.type], name) for name, parameter in query.parameters.items()}
    try:
        values = query.values(given)
    except ValueError:
        # Refused: test_values_are_read_strictly says what is.
        return
    for name, literal in zip(query.used, values, strict=True):
        assert len(literal) <= 1024
        [found] = sqlglot.parse_one(f"SELECT {literal}", read="trino").selects
        assert isinstance(found, exp.Literal)
        assert found.this == given[name] if found.is_string else int(found.this) == int(given[name])
    anything = understand(query.text, "gold", ["'a'"] * len(values))
    assert shape(understand(query.text, "gold", values).query) == shape(anything.query)


def shape(tree: Any) -> list[str]:
    """The kinds of a statement's parts, in order, whatever its values are."""
    found = tree.transform(lambda node: exp.Literal.string("v") if isinstance(node, exp.Literal) else node)
    return [type(node).__name__ for node in found.walk()]


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        (
            TextParameter(type="text", note="", longest=3),
            {"abc": "'abc'", "": "''", "'": "''''", "ü漢": "'ü漢'", " ": "' '"},
            ["abcd", "a\n", "\x00", "\x85"],
        ),
        (TextParameter(type="text", note="", one_of=("a", "b")), {"a": "'a'"}, ["c", "A", "a ", ""]),
        (
            IntegerParameter(type="integer", note="", least=-5, most=10**17),
            {"7": "7", "-5": "-5", "007": "7"},
            ["", "-6", "1.0", "1e3", " 1", "+1", "٣", "1_0", "1" * 19, "NULL", "7--"],
        ),
        (
            DateParameter(type="date", note="", least=date(2018, 1, 1), most=date(2018, 12, 31)),
            {"2018-02-28": "'2018-02-28'"},
            ["2018-02-30", "2017-12-31", "20180228", "2018-02-28T00:00", "", "today"],
        ),
    ],
)
def test_values_are_read_strictly(declared: Any, good: dict[str, str], bad: list[str]) -> None:
    assert {text: declared.bound(text) for text in good} == good
    for text in [*bad, None]:
        with pytest.raises(ValueError, match="must be"):
            declared.bound(text)


PROJECT = project("prod")
GOLD = {
    name: {column: declared.spark_type for column, declared in table.columns.items()}
    for name, table in PROJECT.gold.items()
}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SELECT month", "SELEC month", "sql: must be one SELECT"),
        ("SELECT month", "INSERT INTO business_metrics SELECT month", "sql: must be one SELECT"),
        ("SELECT month", "DELETE FROM business_metrics; SELECT month", "sql: must be one SELECT"),
        ("SELECT month, category", "SELECT month, categori", "sql: Column 'categori' could not be resolved"),
        ("FROM business_metrics", "FROM busines_metrics", "sql: no gold table busines_metrics, did you mean"),
        ("FROM business_metrics", "FROM silver.customers", "sql: no gold table silver.customers"),
        ("FROM business_metrics", "FROM customer_analytics", "sql: reads customer_analytics, and `reads` says"),
        ("reads: [business_metrics]", "reads: [customers]", "reads.0: no gold table customers"),
        ("revenue, orders", ":category AS revenue, orders", "sql: has a parameter outside of WHERE"),
        ("= :category)", "= ?)", "sql: has a question mark of its own"),
        ("ORDER BY", "AND month < current_date ORDER BY", "sql: CURRENT_DATE answers otherwise each time"),
        ("ORDER BY", "AND month < now() ORDER BY", "answers otherwise each time"),
        ("revenue, orders", "sum(revenue), orders", "each column needs a name of its own"),
        ("revenue, orders", "revenue AS month, orders", "sql: selects month: each column needs a name of its own"),
    ],
)
def test_what_is_wrong_with_a_query_is_told_once(old: str, new: str, said: str) -> None:
    text = (ROOT / "config" / "queries" / "monthly_revenue.yaml").read_text()
    assert old in text
    query = Query.model_validate(yaml.safe_load(text.replace(old, new, 1)))
    found = of_queries(PROJECT.model_copy(update={"queries": {"q": query}}), GOLD, set())
    [told] = [f"{'.'.join(map(str, place[2:]))}: {problem}" for place, problem in found]
    assert said in told


def test_validate_says_where_it_is(tmp_path: Path) -> None:
    for folder in ("config", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path, old, new in (
        ("environments/prod", "[monthly_revenue]", "[monthly_revenu]"),
        ("queries/monthly_revenue", "SELECT month", "SELECT moth"),
    ):
        file = tmp_path / "config" / f"{path}.yaml"
        file.write_text(file.read_text().replace(old, new, 1))
    saved = tmp_path / "sql" / "athena" / "revenue_by_month.sql"
    saved.write_text(saved.read_text().replace("FROM business_metrics", "FROM busines_metrics"))
    of_consumer, of_query, of_saved = sorted(mistakes(Declared(tmp_path)))
    assert re.match(
        r"config/environments/prod.yaml:\d+: query_api.consumers.wall_screen.queries.0: no query", of_consumer
    )
    assert re.match(r"config/queries/monthly_revenue.yaml:\d+: sql: Column 'moth' could not be resolved", of_query)
    assert of_saved.startswith("sql/athena/revenue_by_month.sql:1: no gold table busines_metrics, did you mean")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-- All.\nSELECT month FROM business_metrics", []),
        ("SELECT month FROM business_metrics", ["must open with `-- ` and what it answers"]),
        ("-- All.\nDROP TABLE business_metrics", ["must be one SELECT that is readable as Athena's SQL"]),
        ("-- All.\nSELECT moth FROM business_metrics", ["Column 'moth' could not be resolved"]),
    ],
)
def test_a_saved_query_says_what_it_answers_and_reads_gold(text: str, said: list[str]) -> None:
    found = list(of_saved_query(text, GOLD))
    assert len(found) == len(said)
    assert all(problem.startswith(start) for problem, start in zip(found, said, strict=True))


def test_every_declared_name_is_found_by_sqlglot_where_ours_finds_it() -> None:
    for query in project().queries.values():
        holes = list(sqlglot.parse_one(query.sql, read="athena").find_all(exp.Placeholder))
        assert sorted(hole.name for hole in holes) == sorted(query.used)
        assert _PIECES.search(query.text.replace("'all'", "")) is None
