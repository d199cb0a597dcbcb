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
_SOLD = _ORDER | {"order_id": 1, "ordered_at": "2024-05-01 16:00:00", "amount": "10.00", "sold_on": "2024-05-01"}
_SALE = _SOLD | {"rate": 1}
_NEW = {"customer_id": 1, "campaign_id": 3, "sold_on": "2024-05-01"}
_VISIT = {"customer_id": 1, "page_views": 2, "conversions": 3, "conversion_value": "10.00"}
_FIRM = {"order_id": 1, "customer_id": 2, "currency": "EUR", "amount": "10.00"}
_NOON, _NIGHT, _MORNING = (f"2024-05-01 {time}" for time in ("16:00:00", "03:59:59", "04:00:00"))
_EVENT = {"customer_id": 1, "occurred_at": _NOON}
_FACEBOOK = {
    "account_id": "4R7",
    "event_name": "UTM Visited",
    "occurred_at": _NOON,
    "utm_source": "facebook",
    "utm_medium": "paid",
}
_CONTACT = {"contact_id": 5, "source": "PAID_SOCIAL", "created_at": _NOON, "is_current": "true"}
_TOUCH = {"touched_at": _NOON, "channel": "paid_social"}
_SHOWN = {"platform": "google", "account_id": "1", "campaign_id": "2", "currency": "EUR", "impressions": 3, "clicks": 4}
_SHOWN |= {"date": "2024-05-01", "cost": "5.000001", "conversions": "6.500000", "conversion_value": "7.000001"}
_LINE = {"order_id": 1, "product_id": 4, "quantity": 5, "sales_value": "0.03"}
_AT_NOON = {"status": "completed", "total_amount": "10.00", "ordered_at": "2024-05-01 16:00:00"}


def _segments(table: str, *dimensions: str) -> tuple[Mapping[str, Rows], Rows]:
    """Two rows alike of a table that tells what was shown by some dimensions, and one for each of them."""
    told = _SHOWN | {dimension: f"some {dimension}" for dimension in dimensions}
    segments = [_SHOWN | {"dimension": dimension, "segment": f"some {dimension}"} for dimension in dimensions]
    return {table: [told, told]}, segments * 2


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
        [
            _SOLD,
            _SOLD | {"order_id": 2, "ordered_at": "2024-05-01 03:59:59", "sold_on": "2024-04-30"},
            _SOLD | {"order_id": 3, "ordered_at": "2024-05-01 04:00:00"},
        ],
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
    "newcomers": (
        {
            "sales": [
                _SALE | {"ordered_at": _NOON, "revenue": "10.00"},
                # Earlier, though told later and of a greater number.
                _SALE
                | {
                    "order_id": 2,
                    "ordered_at": _NIGHT,
                    "sold_on": "2024-04-30",
                    "campaign_id": None,
                    "revenue": "2.00",
                },
                # At the same moment: the number decides, and not the order in which they are told.
                _SALE | {"order_id": 4, "customer_id": 7, "ordered_at": _NOON, "campaign_id": 6, "revenue": "1.00"},
                _SALE | {"order_id": 3, "customer_id": 7, "ordered_at": _NOON, "revenue": None},
                _SALE | {"order_id": 5, "customer_id": None},
                _SALE | {"order_id": 6, "customer_id": 8, "ordered_at": None, "sold_on": None},
            ]
        },
        [_NEW | {"sold_on": "2024-04-30", "campaign_id": None, "revenue": "2.00"}, _NEW | {"customer_id": 7}],
    ),
    "touched_buyers": (
        {
            "touched_orders": [
                {"order_id": 1, "customer_id": 1, "sold_on": "2024-05-01"},
                {"order_id": 2, "sold_on": "2024-05-02"},
            ],
            "sold_orders": [
                _SOLD | {"order_id": 3, "sold_on": "2024-05-03"},
                _SOLD | {"order_id": 4, "sold_on": "2024-05-03"},
                _SOLD | {"order_id": 5, "customer_id": 2, "sold_on": "2024-05-04"},
            ],
        },
        [
            {"customer_id": customer, "sold_on": f"2024-05-0{day}"}
            for customer, day in ((1, 1), (None, 2), (1, 3), (1, 3))
        ],
    ),
    "ad_spend": (
        {"ad_performance": [{"date": "2024-05-01", "platform": "google", "currency": "EUR", "cost": "1.000001"}] * 2},
        [{"date": "2024-05-01", "platform": "google", "currency": "EUR", "cost": "1.000001"}] * 2,
    ),
    "ad_cost": (
        {
            "ad_spend": [
                {"date": f"2024-05-0{day}", "platform": platform, "currency": currency, "cost": cost}
                for day, platform, currency, cost in (
                    *((1, "google", "EUR", "10.00"), (1, "google", "USD", "0.50"), (1, "google", "USD", "0.25")),
                    *((1, "facebook", "USD", "3.00"), (2, "google", "USD", "4.00")),
                    *((3, "google", "USD", "4.00"), (3, "google", "XAU", "4.00"), (4, "google", "EUR", "4.00")),
                )
            ],
            "rates": [
                {"date": "2024-05-01", "currency": "EUR", "rate": "1.1"},
                {"date": "2024-05-01", "currency": "USD", "rate": "7"},
            ],
        },
        [
            {"date": f"2024-05-0{day}", "platform": platform, "cost": cost}
            for day, platform, cost in (
                *((1, "google", "11.75"), (1, "facebook", "3.00"), (2, "google", "4.00")),
                *((3, "google", None), (4, "google", None)),
            )
        ],
    ),
    "campaigns": (
        {"ad_campaigns": [{"platform": "google", "account_id": "1", "campaign_id": "3", "name": "Spring"}]},
        [{"platform": "google", "campaign_id": "3"}],
    ),
    "visits": (
        {
            "customer_behavior": [
                _VISIT | {"session_id": 1, "started_at": _NIGHT},
                _VISIT | {"session_id": 2, "started_at": _MORNING},
                _VISIT | {"session_id": 3, "started_at": _NOON, "deleted_at": _NOON},
            ]
        },
        [_VISIT | {"currency": "USD", "visited_on": day} for day in ("2024-04-30", "2024-05-01")],
    ),
    "valued_visits": (
        {
            "visits": [
                _VISIT | {"currency": currency, "visited_on": day}
                for currency, day in (("USD", "2024-05-01"), ("EUR", "2024-05-01"), ("EUR", "2024-05-02"))
            ],
            "rates": [
                {"date": "2024-05-01", "currency": "EUR", "rate": "1.1"},
                {"date": "2024-05-01", "currency": "USD", "rate": "7"},
            ],
        },
        [
            _VISIT | {"visited_on": day, "conversion_value": value}
            for day, value in (("2024-05-01", "10.00"), ("2024-05-01", "11.00"), ("2024-05-02", None))
        ],
    ),
    "touched_visitors": (
        {
            "changed_visits": [_VISIT, _VISIT, _VISIT | {"customer_id": 2}],
            "changed_rates": [{"date": f"2024-0{month}-01", "currency": "EUR"} for month in (5, 6)],
            "visits": [
                _VISIT | {"customer_id": 3, "currency": "GBP", "visited_on": "2024-05-01"},
                _VISIT | {"customer_id": 4, "currency": "GBP", "visited_on": "2024-05-02"},
                _VISIT | {"customer_id": 5, "currency": "USD", "visited_on": "2024-05-01"},
            ],
        },
        [{"customer_id": number} for number in (1, 1, 2, 3)],
    ),
    "visit_touches": (
        {
            "customer_behavior": [
                {"customer_id": 1, "started_at": _NOON, "channel": "paid_social"},
                {"customer_id": 2, "started_at": _NOON, "channel": "email", "deleted_at": _NOON},
            ]
        },
        [_TOUCH | {"record": "shop:1"}],
    ),
    "app_touches": (
        {
            "app_events": [
                _FACEBOOK | {"identity": "user-1", "object_id": "d1"},
                _FACEBOOK | {"object_id": "d1"},
                _FACEBOOK | {"object_id": "d2", "event_name": "Charged"},
                *(
                    _FACEBOOK | {"object_id": f"{source}-{medium}", "utm_source": source, "utm_medium": medium}
                    for source, medium in (
                        *(("facebook", medium) for medium in ("email", "referral", "sms", "push", "organic")),
                        *((source, "paid") for source in ("instagram", "google", "bing", "elsewhere")),
                        (None, None),
                    )
                ),
            ]
        },
        [
            _TOUCH | {"record": f"clevertap:4R7:{record}", "channel": channel}
            for record, channel in (
                *(("user-1", "paid_social"), ("d1", "paid_social")),
                *((f"facebook-{medium}", medium) for medium in ("email", "referral", "sms", "push")),
                *(("facebook-organic", "organic_search"), ("instagram-paid", "paid_social")),
                *((f"{source}-paid", "paid_search") for source in ("google", "bing")),
                ("elsewhere-paid", "other"),
            )
        ]
        + [_TOUCH | {"channel": "other", "record": "clevertap:4R7:None-None"}],
    ),
    "contact_touches": (
        {
            "crm_contacts": [
                _CONTACT,
                _CONTACT | {"is_current": "false"},
                _CONTACT | {"source": None},
                *(
                    _CONTACT | {"source": source}
                    for source in ("DIRECT_TRAFFIC", "EMAIL_MARKETING", "REFERRALS", "SOCIAL_MEDIA", "OFFLINE")
                ),
            ]
        },
        [
            _TOUCH | {"record": "hubspot:5", "channel": channel}
            for channel in ("paid_social", "direct", "email", "referral", "organic_social", "offline")
        ],
    ),
    "persons": (
        {
            "customer_identities": [
                {"source": "shop", "record_id": "5", "person_id": "a", "is_current": "true"},
                {"source": "shop", "record_id": "5", "person_id": "b", "is_current": "false"},
            ]
        },
        [{"source": "shop", "record_id": "5", "record": "shop:5", "person_id": "a"}],
    ),
    "wholesale_orders": (
        {
            "b2b_orders": [
                _FIRM | {"ordered_at": _NIGHT},
                _FIRM | {"order_id": 2, "ordered_at": _MORNING},
                _FIRM | {"order_id": 3, "ordered_at": _NOON, "deleted_at": _NOON},
            ]
        },
        [_FIRM | {"sold_on": "2024-04-30"}, _FIRM | {"order_id": 2, "sold_on": "2024-05-01"}],
    ),
    "app_users": (
        {"app_profiles": [{"account_id": "4R7", "profile_key": "user-1", "launches": 3}]},
        [{"record": "clevertap:4R7:user-1", "launches": 3}],
    ),
    "app_activity": (
        {
            "app_events": [
                _EVENT | {"event_name": "Charged", "object_id": "d1", "session_id": 2},
                _EVENT | {"event_name": "Charged", "object_id": "d1"},
            ]
        },
        [_EVENT | {"stream": "app_events", "event": "Charged", "session": session} for session in ("d1:2", None)],
    ),
    "browser_activity": (
        {
            "stream_events": [
                _EVENT | {"name": "purchase", "session_id": "s"},
                _EVENT | {"session_id": "s", "deleted_at": _NOON},
            ]
        },
        [_EVENT | {"stream": "stream_events", "event": "purchase", "session": "s"}],
    ),
    "site_activity": (
        {"web_events": [_EVENT | {"event_type": "checkout", "session_id": "s"}]},
        [_EVENT | {"stream": "web_events", "event": "checkout", "session": "s"}],
    ),
    "store_activity": (
        {"pushed_events": [_EVENT | {"event_type": "survey"}]},
        [_EVENT | {"stream": "pushed_events", "event": "survey"}],
    ),
    "purchases": (
        {
            "sales": [
                _SALE | {"revenue": "10.00"},
                _SALE | {"order_id": 2, "customer_id": 2, "revenue": "10.00"},
                _SALE | {"order_id": 3, "customer_id": None, "revenue": None},
            ],
            "persons": [
                {"record": record, "person_id": person}
                for record, person in (("shop:1", "a"), ("shop:7", "b"), ("hubspot:2", "c"))
            ],
        },
        [
            {"order_id": order, "ordered_at": _NOON, "sold_on": "2024-05-01", "revenue": revenue, "who": who}
            for order, revenue, who in ((1, "10.00", "a"), (2, "10.00", "shop:2"), (3, None, None))
        ],
    ),
    "touches": (
        {
            f"{what}_touches": [_TOUCH | {"record": f"{what}:{number}"} for number in (1, 2, 2)]
            for what in ("visit", "app", "contact")
        }
        | {
            "persons": [
                {"record": record, "person_id": person}
                for record, person in (("visit:1", "a"), ("app:1", "b"), ("contact:1", "c"), ("visit:3", "d"))
            ]
        },
        [
            _TOUCH | {"who": who}
            for who in ("a", "b", "c", *(f"{what}:2" for what in ("visit", "app", "contact") for _ in "ab"))
        ],
    ),
    "touched_purchases": (
        {
            # Those of the person 30 days before and after are reached to the second, and those of nobody else.
            "changed_visit_touches": [{"record": "shop:1", "touched_at": _NOON}] * 2,
            "changed_app_touches": [{"record": "clevertap:2", "touched_at": _NOON}] * 2,
            "changed_contact_touches": [{"record": f"hubspot:{number}", "touched_at": _NOON} for number in (3, 9)],
            "persons": [{"record": "shop:1", "person_id": "a"}, {"record": "hubspot:4", "person_id": "hubspot:3"}],
            "purchases": [
                {"who": who, "ordered_at": moment, "sold_on": f"2024-06-{number:02}"}
                for number, (who, moment) in enumerate(
                    (
                        *(("a", "2024-05-01 16:00:00"), ("a", "2024-05-31 16:00:00")),
                        *(("a", "2024-05-01 15:59:59"), ("a", "2024-05-31 16:00:01"), ("b", "2024-05-02 16:00:00")),
                        *(("clevertap:2", "2024-05-02 16:00:00"), ("hubspot:3", "2024-05-02 16:00:00")),
                    ),
                    1,
                )
            ],
        },
        [{"sold_on": f"2024-06-0{number}"} for number in (1, 1, 2, 2, 6, 6, 7)],
    ),
    "touched_firms": (
        {
            "changed_wholesale_orders": [_FIRM, _FIRM, _FIRM | {"customer_id": 3}],
            "changed_rates": [{"date": f"2024-0{month}-01", "currency": "EUR"} for month in (5, 6)],
            "wholesale_orders": [
                _FIRM | {"customer_id": 4, "currency": "GBP", "sold_on": "2024-05-01"},
                _FIRM | {"customer_id": 5, "currency": "GBP", "sold_on": "2024-05-02"},
                _FIRM | {"customer_id": 6, "currency": "USD", "sold_on": "2024-05-01"},
            ],
        },
        [{"customer_id": number} for number in (2, 2, 3, 4)],
    ),
    "ad_person_segments": _segments("ad_demographics", "age", "gender"),
    "ad_country_segments": _segments("ad_countries", "country"),
    "ad_group_age_segments": _segments("ad_group_ages", "age"),
    "ad_group_gender_segments": _segments("ad_group_genders", "gender"),
    "campaign_country_segments": _segments("campaign_countries", "country"),
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
        return side_by_side({name: self._query(sql) for name, sql in queries.items()}, self.sql)
