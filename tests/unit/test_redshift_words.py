"""Redshift's reserved words, which the stand-in refuses as bare names as Redshift does."""

from __future__ import annotations

import pytest

from local.gateway.redshift.lexemes import RedshiftError
from local.gateway.redshift.sql import _RESERVED, translate

RESERVED = sorted(_RESERVED)
# What is a value as well is a column to nobody: PostgreSQL refuses it where it gets that far.
VALUES = {
    *("any", "current_date", "current_time", "current_timestamp", "current_user", "current_user_id", "false", "like"),
    *("localtime", "localtimestamp", "null", "select", "session_user", "sysdate", "true", "user"),
}


def test_redshift_reserves_what_its_page_lists() -> None:
    assert {"aes128", "partition", "snapshot", "tag", "timestamp", "user", "without"} <= set(RESERVED)
    assert not {"type", "date", "name", "start", "value", "id"} & set(RESERVED)


@pytest.mark.parametrize("word", sorted({*RESERVED} - VALUES))
def test_a_reserved_word_is_no_bare_name_and_in_quotes_it_is(word: str) -> None:
    with pytest.raises(RedshiftError, match="syntax error"):
        translate(f"CREATE TABLE t ({word} INT)")
    assert translate(f'CREATE TABLE t ("{word}" INT)').sql


@pytest.mark.parametrize(
    "sql", ["SELECT 1 AS tag", "SELECT open FROM t", "CREATE TABLE snapshot (a INT)", "UPDATE t SET raw = 1"]
)
def test_a_reserved_word_is_no_bare_name_anywhere(sql: str) -> None:
    with pytest.raises(RedshiftError, match="reserved word"):
        translate(sql)
