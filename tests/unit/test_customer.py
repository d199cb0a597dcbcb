"""`headwater customer explain` asks for everybody that a record is or was, and for nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
import sqlglot

from headwater.desk.customer import explaining

NOW, ENDED = "NULL", "TIMESTAMP '2024-01-06'"
ROWS = [
    ("shop", "5", "ann", "['email a@x.org', 'customer_id 5']", NOW),
    ("hubspot", "77", "ann", "['email a@x.org']", NOW),
    ("hubspot", "77", "bob", "NULL", ENDED),
    ("shop", "8", "bob", "NULL", NOW),
    ("clevertap", "4R7:it's", "eve", "NULL", NOW),
]


@pytest.fixture
def silver() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE who (source text, record_id text, person_id text, linked_by text[], left_out text[], valid_from timestamp, "
            "valid_to timestamp)"
        )
        for source, record, person, linked, until in ROWS:
            quoted = record.replace("'", "''")
            connection.execute(
                f"INSERT INTO who VALUES ('{source}', '{quoted}', '{person}', {linked}, NULL, TIMESTAMP '2024-01-05', {until})"
            )
        yield connection


@pytest.mark.parametrize(
    ("who", "found"),
    [
        ("ann", [("ann", "hubspot", "77"), ("ann", "shop", "5")]),
        ("shop:5", [("ann", "hubspot", "77"), ("ann", "shop", "5")]),
        ("shop:8", [("bob", "shop", "8"), ("bob", "hubspot", "77")]),
        # What is and what was: who it has been comes along.
        (
            "hubspot:77",
            [("ann", "hubspot", "77"), ("ann", "shop", "5"), ("bob", "shop", "8"), ("bob", "hubspot", "77")],
        ),
        ("clevertap:4R7:it's", [("eve", "clevertap", "4R7:it's")]),
        ("shop:5' OR '1' = '1", []),
        ("shop:6", []),
    ],
)
def test_everybody_that_a_record_is_or_was_is_shown_as_it_is_now_first(
    silver: duckdb.DuckDBPyConnection, who: str, found: list[tuple[str, ...]]
) -> None:
    [sql] = sqlglot.transpile(explaining("who", who), read="athena", write="duckdb")
    assert [row[:3] for row in silver.sql(sql).fetchall()] == found


def test_reasons_are_told_in_words(silver: duckdb.DuckDBPyConnection) -> None:
    [sql] = sqlglot.transpile(explaining("who", "shop:5"), read="athena", write="duckdb")
    assert [row[3] for row in silver.sql(sql).fetchall()] == ["email a@x.org", "email a@x.org, customer_id 5"]
