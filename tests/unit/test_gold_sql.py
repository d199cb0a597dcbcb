"""The file of a gold table: what is read of it, and that each mistake is told once, in its line, before anything runs."""

from __future__ import annotations

import re

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import GoldColumn
from headwater.config.definition import definition_of
from headwater.deploy.ddl import create_table
from headwater.deploy.gold_sql import gold_table, problems, silver_columns
from headwater.deploy.shared_sql import shared_columns, shared_queries
from headwater.errors import ConfigError
from tests.support.declared import project
from tests.support.paths import ROOT

SILVER = {
    "orders": {"order_id": "bigint", "customer_id": "bigint", "total": "decimal(14,2)", "ordered_at": "timestamp"},
    "customers": {"customer_id": "bigint", "city": "string", "valid_from": "timestamp", "is_current": "boolean"},
    "order_items_2": {"order_id": "bigint", "quantity": "int", "tags": "array<string>"},
}
TEXT = """\
-- by_city: what each city has ordered.
-- Grain: city
-- Owner: shop analytics
-- Distribution: KEY (city)
-- Sort key: city, orders
-- city VARCHAR(64): where the customer lives
-- orders BIGINT: how many
-- pieces_7d BIGINT: how many pieces; of seven days
-- affected
SELECT DISTINCT customers.city
FROM changed_orders AS orders
INNER JOIN customers ON customers.customer_id = orders.customer_id
-- rows
WITH per_order AS (
    -- A comment with an apostrophe's sake.
    SELECT order_id, sum(quantity) AS pieces FROM order_items_2 GROUP BY order_id
)

SELECT
    customers.city,
    count(*) AS orders,
    CAST(sum(per_order.pieces) AS BIGINT) AS pieces_7d
FROM orders
LEFT JOIN per_order ON per_order.order_id = orders.order_id
INNER JOIN customers ON customers.customer_id = orders.customer_id AND customers.is_current
WHERE city IN (SELECT city FROM affected) AND '${reporting_currency}' = 'USD'
GROUP BY customers.city
"""


def told(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in problems("by_city", text, SILVER)]


def test_a_file_that_is_right_has_no_problems() -> None:
    assert told(TEXT) == []


def test_what_jobs_need_of_a_file_is_read() -> None:
    gold = gold_table("by_city", TEXT)
    assert (gold.purpose, gold.owner) == ("what each city has ordered.", "shop analytics")
    assert (gold.grain, gold.distribution, gold.sort_key) == (("city",), "KEY (city)", ("city", "orders"))
    assert list(gold.columns) == ["city", "orders", "pieces_7d"]
    assert gold.columns["pieces_7d"] == GoldColumn(type="BIGINT", note="how many pieces; of seven days")
    assert gold.inputs == ("customers", "order_items_2", "orders")
    assert gold.affected.startswith("SELECT DISTINCT customers.city\n")
    assert gold.rows.startswith("WITH per_order")
    assert gold.rows.endswith("GROUP BY customers.city")


@pytest.mark.parametrize(
    ("rows", "inputs"),
    [
        ("SELECT city, count(customers) AS orders FROM order_items_2 GROUP BY city", {"order_items_2"}),
        ("SELECT 'FROM customers' AS city FROM orders -- customers", {"orders"}),
        ("WITH customers AS (SELECT * FROM orders) SELECT * FROM customers", {"orders"}),
        ("SELECT * FROM (SELECT * FROM Customers) AS order_items_2", {"customers"}),
        ("SELECT * FROM orders WHERE EXISTS (SELECT 1 FROM changed_customers)", {"orders", "customers"}),
        ("SELECT * FROM orders UNION ALL SELECT * FROM (SELECT * FROM customers)", {"orders", "customers"}),
        ("SELECT explode(tags) FROM order_items_2 LATERAL VIEW explode(tags) AS orders", {"order_items_2"}),
    ],
)
def test_a_table_is_an_input_when_it_is_read_and_not_when_it_is_named(rows: str, inputs: set[str]) -> None:
    head, _, _ = TEXT.partition("-- affected\n")
    gold = gold_table("by_city", f"{head}-- affected\nSELECT 1 AS city\n-- rows\n{rows}\n")
    assert set(gold.inputs) == inputs


MISTAKES = [
    ("-- by_city: what", "-- by_town: what", 1, "must open with `-- by_city: ` and what the table is for"),
    ("-- Grain: city\n", "", 1, "needs a line `-- Grain: …`"),
    ("-- Owner: shop analytics", "-- Owner:", 3, "needs a line `-- Owner: …`"),
    ("Grain: city", "Grain: town", 2, "Grain: town not among the columns; known: city, orders, pieces_7d"),
    ("KEY (city)", "KEY (town)", 4, "Distribution: town not among the columns; known: city, orders, pieces_7d"),
    ("KEY (city)", "SPREAD", 4, "Distribution is ALL, AUTO, EVEN or KEY (column)"),
    ("Sort key: city, orders", "Sort key: town", 5, "Sort key: town not among the columns"),
    (
        "orders BIGINT: how many\n",
        "orders: how many\n",
        7,
        "column orders lacks its type: write `-- orders TYPE: note`",
    ),
    ("orders BIGINT: how many\n", "orders BIGINT\n", 7, "column orders lacks its note: write `-- orders TYPE: note`"),
    (
        "orders BIGINT: how",
        "orders BIGNIT: how",
        7,
        "column orders: type BIGNIT unknown; known: BIGINT, BOOLEAN, CHAR(length)",
    ),
    ("VARCHAR(64)", "VARCHAR", 6, "column city: type VARCHAR unknown; known: BIGINT"),
    (
        "VARCHAR(64)",
        "VARCHAR(70000)",
        6,
        "column city: type VARCHAR(70000) is out of bounds: the warehouse's VARCHAR has 1 to 65535",
    ),
    (
        "orders BIGINT: how many\n",
        "orders BIGINT: how many\n-- orders BIGINT: again\n",
        8,
        "orders stands in line 7 already",
    ),
    (
        "-- orders BIGINT: how many\n",
        "-- orders BIGINT: how many\nhow many\n",
        8,
        "is neither `-- column TYPE: note` nor one of Grain, Owner",
    ),
    ("-- affected\n", "-- touched\n", 27, "needs `-- affected`, then `-- rows`, with a query each"),
    (
        "SELECT DISTINCT customers.city",
        "SELECT DISTINCT customers.town",
        10,
        "column town unknown: customers has customer_id, city",
    ),
    (
        "SELECT DISTINCT customers.city",
        "SELECT customers.city, customers.customer_id",
        10,
        "affected selects customer_id, which is not in the grain: city",
    ),
    (
        "FROM changed_orders",
        "FROM changed_orderz",
        11,
        "table changed_orderz unknown; known, each also as changed_…: customers, order_items_2, orders",
    ),
    ("FROM order_items_2", "FROM order_items", 16, "table order_items unknown"),
    ("sum(quantity)", "sum(quantities)", 16, "column quantities unknown: order_items_2 has order_id, quantity"),
    ("    count(*) AS orders,", "    count(* AS orders,", 21, "'(' is never closed"),
    ("AS orders,\n", "AS number,\n", 21, "rows selects number where the header names orders"),
    ("-- pieces_7d BIGINT: how many pieces; of seven days\n", "", 21, "rows selects pieces_7d, which the header lacks"),
    ("    count(*) AS orders,\n", "", 7, "the header names orders, which rows does not select"),
    ("sum(per_order.pieces)", "sum(per_order.piece)", 22, "column piece unknown: per_order has order_id, pieces"),
    ("sum(per_order.pieces)", "sum(per_ordr.pieces)", 22, "per_ordr.pieces: per_ordr is no table of this query"),
    (
        "WHERE city IN",
        "WHERE customer_id IN (1) AND city IN",
        26,
        "column customer_id is ambiguous: orders and customers have it",
    ),
    ("(SELECT city FROM affected)", "('Graz')", 14, "rows never reads affected, so each run would compute every row"),
    ("(SELECT city FROM affected)", "(SELECT town FROM affected)", 26, "column town unknown: affected has city"),
    (
        "${reporting_currency}",
        "${currency}",
        26,
        "${currency} is no placeholder; known: ${reporting_currency, business_time_zone, attribution_days}",
    ),
    ("'USD'", "'USD", 26, "Error tokenizing"),
    ("GROUP BY customers.city\n", "GROUP BY customers.city;\nSELECT 1\n", 14, "must be one query"),
    ("SELECT DISTINCT customers.city", "DELETE", 10, ""),
    ("    count(*) AS orders,\n", "    count(*) AS orders,\n    sum(1) AS orders,\n", 22, "selects orders twice"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "message"), MISTAKES)
def test_each_mistake_is_told_once_and_in_its_line(right: str, wrong: str, line: int, message: str) -> None:
    assert TEXT.count(right) >= 1
    [(found_line, found)] = told(TEXT.replace(right, wrong, 1))
    assert (found_line, found[: len(message)]) == (line, message)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT explode(tags) AS city FROM order_items_2",
        "SELECT city FROM order_items_2 LATERAL VIEW explode(tags) t AS city",
        "SELECT city FROM (SELECT inline(array(struct(1 AS city))) FROM orders)",
        "SELECT transform(tags, tag -> upper(tag)) AS city FROM order_items_2",
        "SELECT total + 1 AS more, more + 1 AS city FROM orders",
        "SELECT customer_id AS city FROM orders JOIN customers USING (customer_id)",
        "SELECT city, count(*) AS n FROM customers GROUP BY city HAVING n > 1 ORDER BY n",
        "SELECT city FROM customers k WHERE EXISTS (SELECT 1 FROM orders WHERE orders.customer_id = k.customer_id)",
        "SELECT k.city FROM customers k LEFT ANTI JOIN orders ON orders.customer_id = k.customer_id",
        "WITH k (city) AS (SELECT customer_id FROM orders) SELECT city FROM k",
        "SELECT city FROM VALUES (1), (2) AS t(city)",
        "SELECT city FROM (SELECT customer_id AS city, total FROM orders) PIVOT (sum(total) FOR total IN (1, 2))",
        "SELECT ORDER_ID AS City FROM Orders",
        "SELECT sum(total) OVER w AS city FROM orders WINDOW w AS (PARTITION BY customer_id)",
    ],
)
def test_what_spark_takes_is_not_told(query: str) -> None:
    head, _, rest = TEXT.partition("SELECT DISTINCT")
    _, rows, tail = rest.partition("-- rows\n")
    assert told(f"{head}SELECT city FROM ({query})\n{rows}{tail}") == []


def test_columns_in_another_order_than_the_header_are_told() -> None:
    lines = TEXT.splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    [(line, message)] = told("\n".join(lines))
    assert (line, message) == (14, "rows selects its columns in another order than the header: city, orders, pieces_7d")


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = TEXT.replace("orders BIGINT: how", "orders: how").replace("customers.is_current", "customers.current")
    text = text.replace("SELECT DISTINCT customers.city", "SELECT DISTINCT customers.town")
    assert [line for line, _ in told(text)] == [7, 10, 25]


def test_a_file_that_cannot_be_read_is_refused_with_file_and_line() -> None:
    with pytest.raises(ConfigError, match=r"^sql/gold/by_city\.sql:21: '\(' is never closed"):
        gold_table("by_city", TEXT.replace("count(*)", "count(*"))


REAL = {path.stem: path.read_text() for path in sorted((ROOT / "sql" / "gold").glob("*.sql"))}
SHARED = {path.stem: path.read_text() for path in sorted((ROOT / "sql" / "shared").glob("*.sql"))}
KNOWN, _ = shared_columns(SHARED, shared_queries(SHARED), silver_columns(project()))
COLUMN = re.compile(r"(?<=[a-z]\.)[a-z][a-z_]+")


@settings(max_examples=50)
@given(st.data())
def test_a_misspelt_column_of_any_table_is_told_in_its_line(data: st.DataObject) -> None:
    places = {
        table: [found.end() for found in COLUMN.finditer(text) if found.start() > text.index("-- affected")]
        for table, text in REAL.items()
    }
    table = data.draw(st.sampled_from(sorted(table for table, ends in places.items() if ends)))
    text, at = REAL[table], data.draw(st.sampled_from(places[table]))
    wrong = text[:at] + data.draw(st.sampled_from(["x", "_", "_2"])) + text[at:]
    found = problems(table, wrong, silver_columns(project()), KNOWN)
    # A misspelt column of a subquery is missing where the subquery is read, too.
    assert wrong[:at].count("\n") + 1 in {problem.line for problem in found}


@pytest.mark.parametrize("table", sorted(REAL))
def test_every_gold_table_is_right_and_says_what_its_grain_and_inputs_are(table: str) -> None:
    assert problems(table, REAL[table], silver_columns(project()), KNOWN) == []
    assert set(project().gold[table].grain) <= set(project().gold[table].columns)


@pytest.mark.parametrize(
    ("table", "inputs"),
    [
        ("business_metrics", ("fx_rates", "order_items", "orders", "products")),
        ("customer_analytics", ("customer_behavior", "fx_rates", "orders")),
        ("marketing_performance", ("ad_performance", "fx_rates")),
    ],
)
def test_a_gold_table_waits_for_what_it_reads_alone(table: str, inputs: tuple[str, ...]) -> None:
    assert project().gold[table].inputs == inputs


def test_a_shared_query_is_read_as_a_table_with_its_columns_and_follows_changes_of_one_table() -> None:
    assert shared_columns(SHARED, shared_queries(SHARED), silver_columns(project()))[1] == []
    shared = shared_queries(SHARED)
    activity = {f"{what}_activity" for what in ("app", "browser", "site", "store")}
    touches = {f"{what}_touches" for what in ("visit", "app", "contact")}
    segments = {
        f"{what}_segments"
        for what in ("ad_person", "ad_country", "ad_group_age", "ad_group_gender", "campaign_country")
    }
    assert {name for name, query in shared.items() if query.follows_changes} == {
        *("ad_spend", "app_users", "campaigns", "persons", "rates", "sold_orders", "visits", "wholesale_orders"),
        *(activity | touches | segments),
    }
    names = list(shared)
    assert all(
        names.index(read) < names.index(name) for name in names for read in shared[name].inputs if read in shared
    )
    assert list(KNOWN["changed_rates"]) == list(KNOWN["rates"]) == ["date", "currency", "rate", "quoted_on"]
    assert "changed_sales" not in KNOWN


WRONG_SHARED = [
    ("-- rates: what", "-- rate: what", 1, "must open with `-- rates: ` and what it is"),
    (
        "-- rows\n",
        "",
        30,
        "needs `-- rows` with a query, and then perhaps `-- where nothing feeds its tables` with another",
    ),
    ("FROM fx_rates", "FROM fx_rate", 4, "table fx_rate unknown; known, each also as changed_…: "),
    ("quotes.rate", "quotes.rates", 15, "column rates unknown: quotes has date, currency, rate"),
    (
        "CAST(NULL AS DATE) AS date",
        "CAST(NULL AS DATE) AS day",
        29,
        "has to select what `-- rows` does: date, currency, rate, quoted_on",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "line", "message"), WRONG_SHARED)
def test_what_is_wrong_with_a_shared_query_is_told_in_its_line(right: str, wrong: str, line: int, message: str) -> None:
    texts = {"rates": SHARED["rates"].replace(right, wrong, 1)}
    try:
        _, found = shared_columns(texts, shared_queries(texts), silver_columns(project()))
        told = [str(problem) for problem in found]
    except ConfigError as error:
        told = str(error).splitlines()
    assert [said for said in told if said.startswith(f"sql/shared/rates.sql:{line}: {message}")], told


def test_shared_queries_that_read_each_other_are_refused() -> None:
    texts = {
        "one": "-- one: a\n-- rows\nSELECT 1 AS a FROM other",
        "other": "-- other: b\n-- rows\nSELECT 1 AS a FROM one",
    }
    with pytest.raises(ConfigError, match=r"sql/shared/\w+\.sql: reads itself, by "):
        shared_queries(texts)


def test_a_table_can_do_without_rates_where_nothing_feeds_them_and_without_nothing_else() -> None:
    gold = project().gold["order_values"]
    assert gold.optional == ("fx_rates",)
    without = gold.fed_by({"orders", "order_items"})
    assert without is not None
    assert (without.inputs, without.optional) == (("order_items", "orders"), ())
    assert without.shared["rates"].rows == gold.shared["rates"].unfed
    assert definition_of(without, {}) != definition_of(gold, {})
    assert gold.fed_by({"orders", "fx_rates"}) is None
    assert gold.fed_by({"orders", "order_items", "fx_rates", "customers"}) == gold.model_copy(update={"optional": ()})


def test_a_table_is_made_of_whichever_of_its_streams_are_fed_and_of_none_not_at_all() -> None:
    gold = project().gold["event_activity"]
    assert gold.optional == gold.inputs == ("app_events", "pushed_events", "stream_events", "web_events")
    of_one = gold.fed_by({"web_events", "orders"})
    assert of_one is not None
    assert (of_one.inputs, of_one.shared["site_activity"]) == (("web_events",), gold.shared["site_activity"])
    assert of_one.shared["app_activity"].rows == gold.shared["app_activity"].unfed
    assert gold.fed_by({"orders"}) is None


@pytest.mark.parametrize("platform", ["facebook_ads", "google_ads"])
def test_whom_campaigns_reached_is_told_of_the_platforms_that_there_are(platform: str) -> None:
    fed = {stream.table for stream in project().sources[platform].streams.values()}
    gold = project().gold["campaign_demographics"].fed_by(fed)
    assert gold is not None
    assert set(gold.inputs) == fed & set(project().gold["campaign_demographics"].inputs)


def test_a_setting_is_in_the_definition_of_those_tables_that_use_it_alone() -> None:
    values = {"reporting_currency": "USD", "business_time_zone": "UTC", "attribution_days": "30"}
    changed = {
        setting: {
            name
            for name, gold in project().gold.items()
            if definition_of(gold, values) != definition_of(gold, values | {setting: "other"})
        }
        for setting in values
    }
    assert changed["attribution_days"] == {"channel_attribution"}
    assert changed["business_time_zone"] > {"channel_attribution", "regional_sales", "sales_pipeline"}
    assert changed["reporting_currency"] == project().gold.keys() - {"event_activity"}
    assert "marketing_performance" not in changed["business_time_zone"]


def test_the_warehouse_has_what_the_header_says() -> None:
    assert create_table("by_city", gold_table("by_city", TEXT)) == (
        "CREATE TABLE IF NOT EXISTS analytics.by_city (\n"
        "    city VARCHAR(64) NOT NULL,\n"
        "    orders BIGINT,\n"
        "    pieces_7d BIGINT\n"
        ") DISTKEY (city) SORTKEY (city, orders)"
    )
    spread = gold_table("by_city", TEXT.replace("KEY (city)", "ALL"))
    assert create_table("by_city", spread).endswith("\n) DISTSTYLE ALL SORTKEY (city, orders)")


@pytest.mark.parametrize("table", sorted(REAL))
def test_every_table_of_the_warehouse_is_one_statement_of_redshift(table: str) -> None:
    [made] = sqlglot.parse(create_table(table, project().gold[table]), read="redshift")
    assert made is not None
    assert [column.name for column in made.find_all(sqlglot.exp.ColumnDef)] == list(project().gold[table].columns)


@pytest.mark.parametrize(
    ("type_", "spark"),
    [
        ("BIGINT", "bigint"),
        ("CHAR(3)", "string"),
        ("DECIMAL(18, 2)", "decimal(18,2)"),
        ("DOUBLE PRECISION", "double"),
        ("INTEGER", "int"),
        ("VARCHAR(64)", "string"),
    ],
)
def test_each_type_of_the_warehouse_has_one_in_the_lake(type_: str, spark: str) -> None:
    assert GoldColumn(type=type_, note="…").spark_type == spark


@pytest.mark.parametrize(
    "rows",
    [
        "SELECT city, count(*) AS orders, 1 AS pieces_7d FROM customers LEFT SEMI JOIN affected USING (city) GROUP BY city",
        "SELECT city, count(*) AS orders, 1 AS pieces_7d FROM customers JOIN affected USING (city) GROUP BY ROLLUP (city)",
        "SELECT city, count(*) AS orders, 1 AS pieces_7d FROM customers JOIN affected USING (city) "
        "GROUP BY city GROUPING SETS ((city))",
        "SELECT city, timestampdiff(DAY, min(valid_from), max(valid_from)) AS orders, 1 AS pieces_7d FROM customers "
        "JOIN affected USING (city) GROUP BY city",
        "SELECT a.city, x.orders, 10L AS pieces_7d FROM affected AS a CROSS JOIN explode(array(1, 2)) AS x(orders)",
    ],
)
def test_what_spark_reads_is_read(rows: str) -> None:
    text = f"{TEXT.partition('-- rows')[0]}-- rows\n{rows}\n"
    assert told(text) == []
    gold_table("by_city", text)


@pytest.mark.parametrize(
    ("affected", "said"),
    [
        ("SELECT 'a' AS city", "reads no silver table, so nothing would ever be computed"),
        ("SELECT city FROM lake.customers", "table lake.customers unknown"),
        ("SELECT city FROM customers WHERE map('k') IS NULL", "not readable: arguments are missing"),
        ("SELECT city::string AS city FROM customers", "Spark has no ::. hint: CAST(… AS type)"),
        ("SELECT city FROM customers WHERE city RLIKE 'x$'", "hint: a $ that is meant as one is $$"),
        ("SELECT CAST(city AS text) AS city FROM customers", "type 'text' is unknown"),
    ],
)
def test_what_spark_does_not_read_is_one_line_for_whoever_asks(affected: str, said: str) -> None:
    rows = "SELECT city, 1 AS orders, 2 AS pieces_7d FROM affected"
    text = f"{TEXT.partition('-- affected')[0]}-- affected\n{affected}\n-- rows\n{rows}\n"
    [(line, message)] = told(text)
    assert (line, message[: len(said)] if not said.startswith("hint") else message[-len(said) :]) == (10, said)
    with pytest.raises(ConfigError, match=re.escape(said)):
        gold_table("by_city", text)


@pytest.mark.parametrize("name", ["order", "table", "user", "timestamp", "tag"])
def test_a_reserved_word_of_the_warehouse_names_neither_a_column_nor_a_table(name: str) -> None:
    said = "is a reserved word of the warehouse. hint: another name"
    assert (8, f"column {name} {said}") in told(re.sub(r"\bpieces_7d\b", name, TEXT))
    assert [str(problem) for problem in problems(name, TEXT.replace("by_city", name), SILVER)] == [
        f"sql/gold/{name}.sql:1: table {name} {said}"
    ]
