"""Conditional requests: an answer is asked for only if it is another than the one that was read (RFC 9110, section 13).

A validator is known of an answer that was complete in itself and whose rows a batch holds: it stands in the position that
this batch's manifest commits. So 304 can only say that nothing is new, and a run that dies before its manifest leaves the
older validator, to which the source answers in full.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from headwater.errors import HandledSourceError
from headwater.ledger.positions import Validator
from headwater.ledger.raw import to_line

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{1,200}"')
# Who changes an answer twice within its clock's step tells both times alike.
_SETTLED_SECONDS = 60


class NotModifiedError(HandledSourceError):
    """The answer is the one whose validator was sent."""


@dataclass
class Condition:
    """Asks for an answer by what is known of it; `after` is its validator once it has been read, or has not changed.

    `asked` stands for the request and for how rows are made of its answer: a validator of another one is not sent.
    """

    asked: str
    known: Validator | None
    after: Validator | None = field(default=None, init=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request."""
        if self.known is None or self.known.asked != self.asked:
            return {}
        return {"If-None-Match" if self.known.by == "etag" else "If-Modified-Since": self.known.value}

    def unchanged(self) -> None:
        """Keeps what was known."""
        self.after = self.known

    def complete(self, headers: Mapping[str, str]) -> None:
        """Keeps the validator of an answer that no other page follows, if its headers have one."""
        etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
        if _ETAG.fullmatch(etag):
            self.after = Validator(asked=self.asked, by="etag", value=etag)
        elif _settled(modified, headers.get("date", "")):
            self.after = Validator(asked=self.asked, by="modified", value=modified)


def _settled(modified: str, answered: str) -> bool:
    """True when an answer was changed so long before it was given that it cannot have been changed again unseen."""
    try:
        age = parsedate_to_datetime(answered) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return False
    return age.total_seconds() >= _SETTLED_SECONDS


def asked_by(*parts: Any) -> str:
    """A digest of everything that decides which rows an answer gives."""
    return hashlib.sha256(to_line(parts).encode()).hexdigest()[:32]
