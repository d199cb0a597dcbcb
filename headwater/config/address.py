"""Addresses: which URL, host and port may be asked at all, wherever they were written."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
"""Names of this machine, to which alone a connection may be neither encrypted nor verified."""

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
# Of names that end so, C libraries make an address of four bytes: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"(?i)(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?")
# Where machines of AWS answer who they are and what they may: the rest of such services have link-local addresses.
_METADATA = ip_network("fd00:ec2::/32")
_TRANSLATED = ip_network("64:ff9b::/96")


def is_host(text: str) -> bool:
    """True for the name of a host, or an IP address as it is usually written; nothing that a URL or a driver could read as more."""
    if ":" in text or _NUMBER.fullmatch(text):
        try:
            return not is_forbidden(text)
        except ValueError:
            return False
    return len(text) < 254 and _HOST.fullmatch(text) is not None


def is_forbidden(address: str) -> bool:
    """True for an IP address that is nobody's host: link-local ones, among them those of metadata services, and such.

    ValueError for what is no IP address.
    """
    ip = _ip(address)
    if ip.is_loopback:
        return False
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved or ip in _METADATA


def may_answer(host: str, address: str) -> bool:
    """True when the IP address to which the name of a host has led may be asked: a name may lead anywhere, whoever owns it."""
    return not is_forbidden(address) and (host in LOOPBACK or not _ip(address).is_loopback)


def _ip(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _TRANSLATED else ip)
    return ip


def checked_url(text: str) -> str:
    """Returns an address that may be asked; ValueError says what is wrong with it, and never what it is."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        raise ValueError("is no address") from None
    if "\\" in text or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("has a blank, a backslash or a character that is not printed")
    if "@" in url.netloc:
        raise ValueError("has a user or a password in it, which belong into the secret")
    if url.fragment or not is_host(host):
        raise ValueError("names no host that may be asked")
    if url.scheme != "https" and not (url.scheme == "http" and host in LOOPBACK):
        raise ValueError("must begin with https://, but for this machine's own, such as http://127.0.0.1:8080")
    return text


def _path(text: str) -> str:
    if "//" in text.partition("?")[0] or "\\" in text:
        raise ValueError("is no path under base_url, such as /v1/orders")
    return text


def _path_or_url(text: str) -> str:
    return checked_url(text) if "//" in text else _path(text)


Url = Annotated[str, Field(pattern=r"^https?://[^/@]+(/.*)?$"), AfterValidator(checked_url)]
UrlPath = Annotated[str, AfterValidator(_path)]
PathOrUrl = Annotated[str, AfterValidator(_path_or_url)]
