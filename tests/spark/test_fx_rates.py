"""Exchange rates that are none go to quarantine one by one, and any other arrives as it is told."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st
from pyspark.sql import SparkSession

from headwater.lake.columns import REASONS
from headwater.lake.tables import text_columns
from headwater.ledger.raw import ADDED, to_line
from headwater.quality.predicates import judge_rows, row_predicates
from headwater.quality.typed import typed
from tests.support.declared import http_source, policy, table
from tests.support.draws import drawn

from .shop import placed

SMALLEST, LARGEST = Decimal("1e-8"), Decimal("1e10")
# A currency may lose six zeros from one day to the next, or have none to lose.
RATES = st.one_of(
    st.none(),
    st.sampled_from([Decimal(0), Decimal("-0.0"), Decimal("0E-9"), SMALLEST, -SMALLEST, LARGEST - SMALLEST]),
    st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-2, max_value=2),
    st.builds(lambda digits, places: Decimal(digits).scaleb(places), st.integers(1, 9999), st.integers(-8, 5)),
)


def test_a_rate_that_is_none_stops_no_other_and_a_currency_may_be_worth_a_million_times_more(
    spark: SparkSession,
) -> None:
    rates = drawn(RATES, 300)
    rows = [
        {"date": "2018-01-02", "base": "EUR", "quote": f"Q{number:03}", "rate": rate}
        for number, rate in enumerate(rates)
    ]
    stream, fed = http_source("fx_rates").streams["rates"], table("fx_rates")
    lines = spark.createDataFrame([(to_line(row),) for row in rows], "value string")
    raw = placed(text_columns(lines, [*stream.raw_fields, *ADDED]))
    judged = judge_rows(typed(stream, fed, raw), row_predicates(stream, fed, policy("fx_rates")), {})
    found = judged.orderBy("quote").select("rate", REASONS).collect()
    assert len(found) == len(rates)
    for rate, row in zip(rates, found, strict=True):
        reasons = [] if rate is not None and rate > 0 else ["rate_complete" if rate is None else "rate_positive"]
        assert (row.rate, row[REASONS]) == (rate, reasons)
