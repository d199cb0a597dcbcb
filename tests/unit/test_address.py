"""Addresses, wherever they come from: what a credential may be sent to, and what it may not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headwater.config import HttpSource
from headwater.config.address import LOOPBACK, checked_url, is_forbidden, is_host, may_answer
from headwater.config.environment import SourceOverride
from headwater.config.http_auth import ClientCredentials, LongLivedToken, OAuth
from headwater.config.kafka_source import Plaintext
from headwater.errors import FatalSourceError
from headwater.sources.jdbc.address import Address
from headwater.sources.jdbc.mysql import MySql
from headwater.sources.jdbc.postgresql import PostgreSql
from headwater.sources.kafka.cluster import client_options
from headwater.sources.kafka.registry import open_registry

GOOD = (
    "https://api.example.com",
    "https://api.example.com:8443/v1",
    "https://10.0.0.5:8081",
    "https://[2001:db8::1]/",
    "http://127.0.0.1:4566/x",
    "http://localhost:80",
    "http://[::1]:8080",
)
BAD = (
    "http://api.example.com",
    "file:///etc/passwd",
    "ftp://api.example.com",
    "https://user@api.example.com",
    "https://user:pw@api.example.com",
    "https://api.example.com\\@evil.example",
    "https://api.example.com/#x",
    "https://api exa.mple",
    "https://api.example.com/\n",
    "https://",
    "https://[",
    "https://api.example.com:99999",
    "https://169.254.169.254/latest",
    "https://169.254.170.2/v2/credentials",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/latest",
    "https://[::ffff:169.254.169.254]/latest",
    "https://[64:ff9b::a9fe:a9fe]/latest",
    "https://2852039166/latest",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "http://127.0.0.1.evil.example/",
    "http://127.1/",
    "http://localhost.evil.example/",
    "https://\u24d0pi.example.com/",
    "javascript:alert(1)",
)
HTTP_SOURCE: dict[str, Any] = {
    "kind": "http",
    "name": "shop",
    "base_url": "https://api.example.com",
    "rate": {"calls": 1},
    "streams": {
        "a": {"table": "t", "path": "/a", "raw": ["id"], "read": {"kind": "whole"}, "paging": {"kind": "none"}}
    },
}


def declared(place: str, url: str) -> Any:
    """Declares a URL at one of the places that have one."""
    match place:
        case "base_url":
            return HttpSource.model_validate({**HTTP_SOURCE, "base_url": url})
        case "override":
            return TypeAdapter(SourceOverride).validate_python({"base_url": url})
        case "oauth":
            return OAuth.model_validate({"kind": "oauth", "token_url": url})
        case "client_credentials":
            return ClientCredentials.model_validate({"kind": "client_credentials", "token_url": url})
        case "long_lived":
            return LongLivedToken.model_validate({"kind": "long_lived", "token_url": url, "grant_type": "x"})
        case _:
            with open_registry("kafka", {"registry_url": url}):
                return None


PLACES = ("base_url", "override", "oauth", "client_credentials", "long_lived", "registry")


# What has no host is a path under base_url, where one may stand.
WRONG = [
    (place, url) for place in PLACES for url in BAD if "//" in url or place in {"base_url", "override", "registry"}
]


@pytest.mark.parametrize(("place", "url"), WRONG)
def test_an_address_that_may_not_be_asked_is_refused_wherever_it_is_written(place: str, url: str) -> None:
    with pytest.raises((ValidationError, FatalSourceError)):
        declared(place, url)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("url", GOOD)
def test_any_other_is_taken(place: str, url: str) -> None:
    declared(place, url)


@pytest.mark.parametrize("path", ["https://evil.example/a", "//evil.example/a", "\\\\evil.example"])
def test_a_stream_s_path_leads_nowhere_but_below_its_source(path: str) -> None:
    stream = {**HTTP_SOURCE["streams"]["a"], "path": path}
    with pytest.raises(ValidationError, match="no path under base_url"):
        HttpSource.model_validate({**HTTP_SOURCE, "streams": {"a": stream}})


@given(st.ip_addresses(v=4, network="169.254.0.0/16") | st.ip_addresses(v=6, network="fe80::/10"))
def test_no_link_local_address_is_asked_however_it_is_written(ip: IPv4Address | IPv6Address) -> None:
    written = [str(ip)]
    if isinstance(ip, IPv4Address):
        packed = int(ip)
        written += [f"::ffff:{ip}", str(IPv6Address((0x64FF9B << 96) | packed)), str(packed), hex(packed)]
        written += [str(IPv6Address((0x2002 << 112) | (packed << 80)))]
    assert not any(is_host(text) for text in written)
    assert is_forbidden(str(ip))
    assert not may_answer("metadata.google.internal", str(ip))


@given(st.text(min_size=4, max_size=20))
def test_whatever_a_text_is_it_is_refused_by_name_or_is_a_url_without_a_user(text: str) -> None:
    for url in (text, f"https://{text}", f"https://api.example.com{text}"):
        said = refusal(url)
        if said is None:
            assert url.startswith(("https://", "http://"))
            assert "@" not in url.partition("://")[2].partition("/")[0]
        else:
            assert text not in said


def refusal(url: str) -> str | None:
    try:
        checked_url(url)
    except ValueError as error:
        return str(error)
    return None


def test_a_name_that_leads_to_this_machine_answers_only_as_this_machine() -> None:
    assert may_answer("localhost", "127.0.0.1")
    assert may_answer("api.example.com", "93.184.216.34")
    assert may_answer("registry.internal", "10.1.2.3")
    assert not may_answer("api.example.com", "127.0.0.1")
    assert not may_answer("api.example.com", "::1")
    assert not may_answer("api.example.com", "::ffff:127.0.0.1")


SECRET = {"host": "db.example", "port": "5432", "dbname": "shop", "username": "reader", "password": "canary-of-reader"}


@pytest.mark.parametrize("engine", [PostgreSql(), MySql()], ids=["postgresql", "mysql"])
@given(part=st.sampled_from(["host", "port", "dbname"]), more=st.text("?&#/;=@:,()'\"\\ a1", min_size=1, max_size=12))
@example(part="host", more="::1")
def test_no_part_of_a_database_s_address_is_read_as_more_than_it_is(
    engine: PostgreSql | MySql, part: str, more: str
) -> None:
    # `::1` may be drawn, which is this machine's own: nothing has to be verified there.
    honest = engine.database({**SECRET, "host": "localhost"} if more in LOOPBACK and part == "host" else SECRET).url
    try:
        url = engine.database({**SECRET, part: f"x{more}" if part == "dbname" else more}).url
    except FatalSourceError as refused:
        assert repr(part) in str(refused)  # noqa: PT017 - the way out names the part
        return
    place, *parameters = honest.split("?")
    # Whatever it is, it stands where the honest one does.
    assert (url.count("/"), url.split("?")[1:], "@" in url) == (place.count("/"), parameters, False)


@pytest.mark.parametrize("lacks", ["host", "port", "dbname"])
def test_a_part_that_a_database_s_secret_lacks_is_named(lacks: str) -> None:
    with pytest.raises(FatalSourceError, match=f"'{lacks}' is none. hint"):
        Address.of({name: value for name, value in SECRET.items() if name != lacks})


def test_beyond_this_machine_every_connection_is_encrypted_and_its_server_verified() -> None:
    assert "sslmode=verify-full" in PostgreSql().database(SECRET).url
    assert "sslMode=VERIFY_IDENTITY" in MySql().database(SECRET).url
    for local in ("127.0.0.1", "localhost", "::1"):
        assert "sslmode" not in PostgreSql().database({**SECRET, "host": local}).url.lower()
    for away in ("127.0.0.2", "localhost.evil.example", "db"):
        assert "sslMode=VERIFY_IDENTITY" in MySql().database({**SECRET, "host": away}).url


def test_a_database_s_repr_has_no_password() -> None:
    assert "canary" not in repr(PostgreSql().database(SECRET))


@pytest.mark.parametrize("servers", ["b-1.example:9092", "127.0.0.1:9092,b-1.example:9092", "127.0.0.2:9092", "::1"])
def test_kafka_is_spoken_to_in_the_clear_on_this_machine_alone(servers: str) -> None:
    with pytest.raises(FatalSourceError, match="plaintext is for brokers on this machine"):
        client_options("kafka", Plaintext(), {"bootstrap_servers": servers})
    here = "127.0.0.1:9092, localhost:9093,[::1]:9094"
    assert client_options("kafka", Plaintext(), {"bootstrap_servers": here})["security.protocol"] == "PLAINTEXT"
