"""Column lineage: each column is followed to the fields that it is made of, and back, whatever queries lie between."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.lineage import lineage as library_lineage

from headwater import cli
from headwater.config.lineage import Graph, Lineage
from headwater.config.sql_type import SqlType
from headwater.deploy.gold_sql import DIALECT, silver_columns
from headwater.deploy.lineage import lineage_of, of_query
from tests.support.declared import project
from tests.support.paths import ROOT

TABLES: dict[str, dict[str, SqlType]] = {
    "orders": {"id": "bigint", "total": "decimal(18,2)", "day": "date"},
    "rates": {"day": "date", "rate": "decimal(18,8)"},
}


@cache
def found() -> Lineage:
    return lineage_of(project(), ROOT)


def test_roas_is_followed_to_the_fields_of_both_platforms() -> None:
    assert Graph(found()).upstream("gold.marketing_performance.roas").ends == {
        "facebook_ads.ads_insights.action_values",
        "facebook_ads.ads_insights.spend",
        "facebook_ads.ads_insights.account_currency",
        "google_ads.ad_performance.metrics_conversions_value",
        "google_ads.ad_performance.metrics_cost_micros",
        "google_ads.ad_performance.customer_currency_code",
        "fx_rates.rates.rate",
    }


def test_a_field_is_followed_to_gold_and_to_the_views_over_it() -> None:
    graph = Graph(found())
    assert "gold.marketing_performance.roas" in graph.downstream("google_ads.ad_performance.metrics_cost_micros").ends
    assert "analytics.customer_recency.recency_days" in graph.downstream("rds_postgres.orders.ordered_at").ends


def test_what_is_upstream_of_a_column_has_it_downstream() -> None:
    graph = Graph(found())
    for name in graph.names:
        for end in graph.upstream(name).ends:
            assert name in {other for _, other in graph.downstream(end).walk()}


def test_what_filters_joins_or_groups_decides_the_rows_and_is_no_part_of_a_column() -> None:
    graph = Graph(found())
    status = "silver.orders.status"
    assert status in graph.decided_by("gold.business_metrics")
    assert "gold.customer_analytics" in graph.decides(status)
    assert graph.downstream(status).branches == ()


def test_what_an_increment_computes_anew_decides_no_rows() -> None:
    sql = "SELECT id, total FROM orders WHERE id IN (SELECT id FROM affected) AND day > '2024-01-01'"
    query = of_query(sql, {**TABLES, "affected": {"id": "bigint"}}, {})
    assert query.rows == {"orders.day"}


def test_every_gold_column_has_the_origins_that_sqlglots_own_lineage_finds() -> None:
    silver = silver_columns(project())
    for name, table in project().gold.items():
        shared = {shared: query.rows for shared, query in table.shared.items()}
        # A query that reads another comes after it, and is put in place of its name before it.
        expanded = exp.expand(
            exp.maybe_parse(table.rows, dialect=DIALECT),
            {shared: exp.maybe_parse(text, dialect=DIALECT) for shared, text in shared.items()},
            dialect=DIALECT,
        )
        known = {**silver, "affected": dict.fromkeys(table.grain, "string")}
        columns = library_lineage(None, expanded, {one: dict(types) for one, types in known.items()}, dialect=DIALECT)
        for column, node in columns.items():
            leaves = {
                f"silver.{leaf.expression.name}.{leaf.name.rpartition('.')[2]}"
                for leaf in node.walk()
                if isinstance(leaf.expression, exp.Table)
            }
            assert set(found().gold[name][column]) == leaves, (name, column)


class Drawn(NamedTuple):
    """A query whose columns are named x0, x1 …, and what each is made of, known since it was drawn so."""

    sql: str
    origins: list[frozenset[str]]


@st.composite
def queries(draw: st.DrawFn, depth: int = 3) -> Drawn:
    """Queries within queries: selections, unions, joins, common table expressions, windows and scalar subqueries."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        table = draw(st.sampled_from(list(TABLES)))
        columns = draw(st.lists(st.sampled_from(list(TABLES[table])), min_size=2, max_size=2))
        selected = ", ".join(f"{column} AS x{place}" for place, column in enumerate(columns))
        return Drawn(f"SELECT {selected} FROM {table}", [frozenset({f"{table}.{column}"}) for column in columns])
    one = draw(queries(depth - 1))
    form = draw(st.sampled_from(["sum", "union", "join", "with", "window", "scalar", "star"]))
    if form == "star":
        return Drawn(f"SELECT * FROM ({one.sql}) AS q", one.origins)
    if form == "sum":
        both = one.origins[0] | one.origins[1]
        return Drawn(f"SELECT q.x0 + sum(q.x1) AS x0, x1 FROM ({one.sql}) AS q GROUP BY x0, x1", [both, one.origins[1]])
    if form == "window":
        both = one.origins[0] | one.origins[1]
        sql = f"SELECT x1 AS x0, row_number() OVER (PARTITION BY x0 ORDER BY x1) AS x1 FROM ({one.sql}) AS q"
        return Drawn(sql, [one.origins[1], both])
    other = draw(queries(depth - 1))
    if form == "union":
        together = [mine | theirs for mine, theirs in zip(one.origins, other.origins, strict=True)]
        return Drawn(f"({one.sql}) UNION ALL ({other.sql})", together)
    if form == "join":
        sql = f"SELECT a.x1 AS x0, b.x0 AS x1 FROM ({one.sql}) AS a LEFT JOIN ({other.sql}) AS b ON a.x0 = b.x1"
        return Drawn(sql, [one.origins[1], other.origins[0]])
    if form == "with":
        sql = f"WITH a AS ({one.sql}), b AS ({other.sql}) SELECT coalesce(a.x0, b.x0) AS x0, b.x1 FROM a CROSS JOIN b"
        return Drawn(sql, [one.origins[0] | other.origins[0], other.origins[1]])
    sql = f"SELECT x0, (SELECT max(s.x1) FROM ({other.sql}) AS s) AS x1 FROM ({one.sql}) AS q"
    return Drawn(sql, [one.origins[0], other.origins[1]])


@settings(max_examples=150, deadline=None)
@given(queries())
def test_columns_are_followed_through_whatever_queries_lie_in_one_another(drawn: Drawn) -> None:
    assert list(of_query(drawn.sql, TABLES, {}).columns.values()) == drawn.origins


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["headwater", "lineage", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def declared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.desk.lineage.project_of", project)


@pytest.mark.usefixtures("declared_once")
def test_the_command_line_shows_both_ways(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = told(capsys, monkeypatch, "silver.ad_performance.cost", "--env", "dev")
    assert "made of" in out
    assert "goes into" in out
    assert "facebook_ads.ads_insights.spend" in out
    assert "gold.marketing_performance.roas" in out


@pytest.mark.usefixtures("declared_once")
def test_a_table_tells_of_all_its_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = json.loads(told(capsys, monkeypatch, "gold.business_metrics", "--env", "dev", "--json"))
    assert {one["column"] for one in columns} == {
        f"gold.business_metrics.{column}" for column in project().gold["business_metrics"].columns
    }
    [revenue] = [one for one in columns if one["column"].endswith(".revenue")]
    assert revenue["made_of"]["silver.fx_rates.rate"] == {"fx_rates.rates.rate": {}}
    assert "silver.orders.status" in revenue["rows_decided_by"]
