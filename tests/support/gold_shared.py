"""Examples of the queries of sql/shared/: rows of what they read, and the rows that come of them, worked out here and not by SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from string import Template
from typing import Any

from pyspark.sql import SparkSession

from headwater.config.gold import SharedQuery
from headwater.deploy.gold_sql import silver_columns
from tests.support import declared
from tests.support.gold_cases import VALUES, Rows, frame, side_by_side

_DAY = date(2024, 5, 1)
_FX = [
    # Of a day, and of the day after it: the newest serves, and none longer than ten days.
    *({"date": _DAY, "base": "EUR", "quote": quote, "rate": rate} for quote, rate in (("USD", "1.1"), ("GBP", "0.88"))),
    {"date": _DAY + timedelta(1), "base": "EUR", "quote": "USD", "rate": "1.2"},
    # A currency alone: nothing says what it is worth in dollars.
    {"date": date(2024, 7, 1), "base": "EUR", "quote": "GBP", "rate": "0.8"},
]


def _rates() -> Iterator[Mapping[str, Any]]:
    per_euro = {(row["date"], row["quote"]): Decimal(str(row["rate"])) for row in _FX}
    per_euro |= {(row["date"], "EUR"): Decimal(1) for row in _FX}

    def as_of(day: date, currency: str) -> tuple[Decimal, date] | None:
        newest = (day - timedelta(age) for age in range(11))
        return next(((per_euro[each, currency], each) for each in newest if (each, currency) in per_euro), None)

    for day in (date(2024, 4, 1) + timedelta(n) for n in range(150)):
        for currency in ("EUR", "GBP", "USD"):
            own, dollars = as_of(day, currency), as_of(day, "USD")
            if own is not None:
                rate = dollars and round(dollars[0] / own[0], 16)
                yield {
                    "date": day,
                    "currency": currency,
                    "rate": rate,
                    "quoted_on": dollars and min(own[1], dollars[1]),
                }


_ORDER = {"customer_id": 1, "store_id": 2, "campaign_id": 3, "currency": "USD"}
_SOLD = _ORDER | {"order_id": 1, "amount": "10.00", "sold_on": "2024-05-01"}
_SALE = _SOLD | {"rate": 1}
_LINE = {"order_id": 1, "product_id": 4, "quantity": 5, "sales_value": "0.03"}
_AT_NOON = {"status": "completed", "total_amount": "10.00", "ordered_at": "2024-05-01 16:00:00"}
SHARED: dict[str, tuple[Mapping[str, Rows], Rows]] = {
    "rates": ({"fx_rates": _FX}, [*_rates()]),
    "sold_orders": (
        {
            "orders": [
                _ORDER | _AT_NOON | {"order_id": 1},
                # Still the last of April in New York.
                _ORDER | _AT_NOON | {"order_id": 2, "ordered_at": "2024-05-01 03:59:59"},
                _ORDER | _AT_NOON | {"order_id": 3, "ordered_at": "2024-05-01 04:00:00"},
                _ORDER | _AT_NOON | {"order_id": 4, "status": "returned"},
                _ORDER | _AT_NOON | {"order_id": 5, "status": "cancelled"},
                _ORDER | _AT_NOON | {"order_id": 6, "status": None},
                _ORDER | _AT_NOON | {"order_id": 7, "deleted_at": "2024-05-02 16:00:00"},
                _ORDER | _AT_NOON | {"order_id": 8, "status": "returned", "deleted_at": "2024-05-02 16:00:00"},
            ]
        },
        [_SOLD, _SOLD | {"order_id": 2, "sold_on": "2024-04-30"}, _SOLD | {"order_id": 3}],
    ),
    "touched_orders": (
        {
            "changed_sold_orders": [_SOLD, _SOLD | {"sold_on": "2024-05-02"}],
            "changed_rates": [{"date": "2024-05-01", "currency": "EUR"}, {"date": "2024-05-03", "currency": "EUR"}],
            "sold_orders": [
                _SOLD | {"order_id": 2},
                # The rate of the euro moves that of every currency but the dollar, in which all is reported.
                _SOLD | {"order_id": 3, "currency": "GBP"},
                _SOLD | {"order_id": 4, "currency": "GBP", "sold_on": "2024-05-02"},
                _SOLD | {"order_id": 5},
            ],
        },
        [
            {"order_id": number, "customer_id": 1, "store_id": 2, "sold_on": day}
            for number, day in ((1, "2024-05-01"), (1, "2024-05-02"), (3, "2024-05-01"))
        ],
    ),
    "sales": (
        {
            "sold_orders": [
                _SOLD,
                _SOLD | {"order_id": 2, "currency": "EUR"},
                _SOLD | {"order_id": 3, "currency": "EUR", "sold_on": "2024-05-02"},
                _SOLD | {"order_id": 4, "currency": "GBP"},
                _SOLD | {"order_id": 5, "currency": None},
                _SOLD | {"order_id": 6, "amount": None},
            ],
            "rates": [
                {"date": "2024-05-01", "currency": "EUR", "rate": "1.1", "quoted_on": "2024-04-30"},
                {"date": "2024-05-01", "currency": "USD", "rate": "7", "quoted_on": "2024-05-01"},
            ],
        },
        [
            _SALE | {"revenue": "10.00"},
            _SALE | {"order_id": 2, "currency": "EUR", "rate": "1.1", "rate_date": "2024-04-30", "revenue": "11.00"},
            _SALE | {"order_id": 3, "currency": "EUR", "sold_on": "2024-05-02", "rate": None},
            _SALE | {"order_id": 4, "currency": "GBP", "rate": None},
            _SALE | {"order_id": 5, "currency": None, "rate": None},
            _SALE | {"order_id": 6, "amount": None},
        ],
    ),
    "sold_items": (
        {
            "sales": [_SALE | {"rate": "1.4"}, _SALE | {"order_id": 2, "rate": None}],
            "order_items": [
                _LINE,
                _LINE,
                _LINE | {"order_id": 2},
                _LINE | {"quantity": None},
                # Of an order that does not count.
                _LINE | {"order_id": 3},
            ],
        },
        [
            {
                "product_id": 4,
                "order_id": number,
                "customer_id": 1,
                "sold_on": "2024-05-01",
                "units": units,
                "revenue": revenue,
            }
            for number, units, revenue in ((1, 5, "0.04"), (1, 5, "0.04"), (2, 5, None), (1, None, "0.04"))
        ],
    ),
}
"""What each reads, and what comes of it; a column that is left out is null. Days are New York's, and money is reported in USD."""


class Shared:
    """A shared query, computed from the rows of its example."""

    def __init__(self, spark: SparkSession, name: str) -> None:
        self.spark, self.name = spark, name
        self._inputs, self._outputs = SHARED[name]
        self._queries: dict[str, SharedQuery] = {}
        for table in declared.project().gold.values():
            self._queries |= table.shared

    @property
    def sql(self) -> str:
        """Its text."""
        return self._queries[self.name].rows

    @cached_property
    def _types(self) -> dict[str, dict[str, str]]:
        """Columns of what there is to read, as Spark finds them, which has a view of each from now on."""
        known = {name: dict(columns) for name, columns in silver_columns(declared.project()).items()}
        read = {name for query in self._queries.values() for name in query.inputs}
        for name in [name for name in known if name in read]:
            self._name(name, known[name])
        for name in sorted(self._queries, key=list(self._queries).index):
            schema = self._query(self._queries[name].rows).schema
            known[name] = {field.name: field.dataType.simpleString() for field in schema}
            self._name(name, known[name])
        return known

    def _name(self, name: str, columns: Mapping[str, str]) -> None:
        for view in (name, f"changed_{name}"):
            frame(self.spark, self._inputs.get(view, ()), columns).createOrReplaceTempView(view)

    def _query(self, sql: str) -> Any:
        return self.spark.sql(Template(sql).substitute(VALUES))

    @property
    def columns(self) -> dict[str, str]:
        """Its own columns."""
        return self._types[self.name]

    @cached_property
    def expected(self) -> Counter[Any]:
        """The rows that should come of its example."""
        return Counter(map(tuple, frame(self.spark, self._outputs, self.columns).collect()))

    def rows(self, queries: Mapping[str, str]) -> dict[str, Counter[Any]]:
        """The rows that come of its example by each of several texts."""
        assert self._types
        return side_by_side({name: self._query(sql) for name, sql in queries.items()})
