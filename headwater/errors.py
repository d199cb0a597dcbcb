"""Every error Headwater raises, grouped by who must act.

HeadwaterError
├── ConfigError            edit a file in config/, sql/ or an argument
├── SourceError
│   ├── RetriableSourceError   wait: the source said try again later
│   │   └── ThrottledError         the source's rate limit, with the wait it asked for
│   │       └── QuotaUsedUpError       a quota that comes back later than any run could wait for; not tried again
│   └── FatalSourceError       a person must act at the source (credentials, permission, contract)
│       ├── ExpiredTokenError      a short-lived token has run out; the client renews it by itself, once
│       ├── ExpiredCursorError     a cursor has run out while its pages were read; they are read again from the first
│       ├── ClosedAccountError     the source does not serve one of the accounts; the others are read all the same
│       ├── LostOffsetsError       a topic no longer has what lies after the position; a person says where to go on
│       ├── PagingError            the source's paging would never end or leaves its host
│       └── SchemaDriftError       the rows have become of another shape than any table could take
├── LedgerError            another writer holds or has taken this place; run again
├── QualityError           the data's owner must decide (release or discard)
└── LoadError              the warehouse refused the load
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """The root of all errors that Headwater raises on purpose."""


class ConfigError(HeadwaterError):
    """A declared value is unknown, missing or contradictory; the message names file and path."""


class SourceError(HeadwaterError):
    """A source did not answer as its contract says."""


class RetriableSourceError(SourceError):
    """The source failed in a way that time mends."""


class ThrottledError(RetriableSourceError):
    """The source's rate limit is used up; `retry_after` is the wait in seconds that it asked for, if it did."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaUsedUpError(ThrottledError):
    """A long quota, such as a day's, is used up: another try within the run would be in vain."""


class FatalSourceError(SourceError):
    """The source refuses in a way that only a person can mend."""


class ExpiredTokenError(FatalSourceError):
    """A token has run out, and was not taken back: a new one is all it takes."""


class ExpiredCursorError(FatalSourceError):
    """A cursor has run out while its pages were read: what was asked must be asked anew."""


class ClosedAccountError(FatalSourceError):
    """The source does not serve an account any more, or not yet."""


class SchemaDriftError(FatalSourceError):
    """The source's rows have another shape than its tables can take."""


class LostOffsetsError(FatalSourceError):
    """A topic has lost records that were not read yet, or was made anew; nothing is skipped until a person says so."""


class PagingError(FatalSourceError):
    """Paging repeats itself or points away from the configured origin."""


class LedgerError(HeadwaterError):
    """A lease or a batch number belongs to another writer."""


class QualityError(HeadwaterError):
    """A batch is held back by its verdict."""


class LoadError(HeadwaterError):
    """The warehouse refused a load; its tables are as they were."""
