"""Where a database is, by its secret: nothing of which may be read as more than a host, a port and a database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from headwater.config.address import LOOPBACK, is_host
from headwater.errors import FatalSourceError

_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class Address:
    """A host, a port and a database."""

    host: str
    port: str
    dbname: str

    @classmethod
    def of(cls, secret: Mapping[str, str]) -> Address:
        """Reads it from a secret in the form that RDS keeps it; FatalSourceError names what is missing or is more than it should be."""
        address = cls(*(str(secret.get(name) or "") for name in ("host", "port", "dbname")))
        for name, holds in {
            "host": is_host(address.host),
            "port": _PORT.fullmatch(address.port),
            "dbname": address.dbname.isprintable() and address.dbname,
        }.items():
            if not holds:
                raise FatalSourceError(
                    f"the secret's {name!r} is none. hint: correct it; docs/secrets.md says what it holds"
                )
        return address

    @property
    def is_local(self) -> bool:
        """True on this machine, where alone a connection need not be encrypted."""
        return self.host in LOOPBACK

    @property
    def path(self) -> str:
        """What stands behind `jdbc:<engine>://`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{quote(self.dbname, safe='')}"
