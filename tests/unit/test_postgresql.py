"""How PostgreSQL is spoken to, where no server is needed to see it."""

from __future__ import annotations

from headwater.sources.jdbc.postgresql import PostgreSql

SECRET = {"host": "db", "port": "5432", "dbname": "shop", "username": "reader", "password": "p"}


def test_a_connection_brings_no_options_and_its_settings_are_said_once_it_is_there() -> None:
    # RDS Proxy refuses who brings options.
    database = PostgreSql().database(SECRET)
    assert database.url.partition("?")[0] == "jdbc:postgresql://db:5432/shop"
    assert "options" not in database.url
    assert database.options == {"url": database.url, "user": "reader", "password": "p"}
    assert "SET statement_timeout = " in database.opening
    assert "SET TIME ZONE 'UTC'" in database.opening
