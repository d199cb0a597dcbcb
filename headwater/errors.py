"""The errors that leave a module, grouped by who must act; one that a module handles itself stands beside what it handles.

HeadwaterError
├── ConfigError            edit a file in config/, sql/ or an argument
├── SourceError
│   ├── RetriableSourceError   wait: the source said try again later
│   │   └── ThrottledError         the source's rate limit, with the wait it asked for
│   │       └── QuotaUsedUpError       a quota that comes back later than any run could wait for; not retried
│   ├── HandledSourceError     the reader acts: it renews, rereads, splits or sets aside; nobody else need do anything
│   │   ├── ExpiredTokenError      a short-lived token has expired; it is renewed, once
│   │   ├── ExpiredCursorError     a cursor has expired while its pages were read; they are read again from the first
│   │   └── ClosedAccountError     the source does not serve one of the accounts; the others are read all the same
│   └── FatalSourceError       a person must act at the source (credentials, permission, contract)
│       ├── LostOffsetsError       a topic lost records after the position; a person says where to resume
│       ├── PagingError            the source's paging repeats itself or leaves its host
│       └── SchemaDriftError       the rows have changed their shape beyond what any table could take
├── LedgerError            another writer holds or has taken this place; run again
│   └── TakenError             another writer's batch has this number; what was written for it counts for nothing
├── BooksError             rows were lost or counted twice on their way; a person must look before anyone trusts the run
├── CrawlError             a crawler ended without success; the catalog may lack what is new, the lake lacks nothing
└── QueryError             the warehouse or Athena refused a statement, or did not finish it in time
    ├── ConflictError          another transaction was in the way of this one; run again
    └── LoadError              the warehouse refused a load; its tables are as they were
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """The root of all errors that Headwater raises on purpose."""


class ConfigError(HeadwaterError):
    """A declared value is unknown, missing or contradictory; the message names file and path."""


class SourceError(HeadwaterError):
    """A source did not answer as its contract says."""


class RetriableSourceError(SourceError):
    """The source failed transiently: a retry may succeed."""


class ThrottledError(RetriableSourceError):
    """The source's rate limit is used up; `retry_after` is the wait in seconds that it asked for, if it did."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaUsedUpError(ThrottledError):
    """A long quota, such as a day's, is used up: a retry within the run cannot succeed."""


class HandledSourceError(SourceError):
    """The source refuses in a way that its reader handles; in an alert, the reader has tried and failed."""


class ExpiredTokenError(HandledSourceError):
    """A token has expired and was not revoked; the reader renews it."""


class ExpiredCursorError(HandledSourceError):
    """A cursor has expired while its pages were read; they are read again from the first."""


class ClosedAccountError(HandledSourceError):
    """The source does not serve an account any more, or not yet."""


class FatalSourceError(SourceError):
    """The source refuses in a way that only a person can fix."""


class SchemaDriftError(FatalSourceError):
    """The source's rows have another shape than its tables can take."""


class LostOffsetsError(FatalSourceError):
    """A topic has lost unread records, or was recreated; nothing is skipped until a person says so."""


class PagingError(FatalSourceError):
    """Paging repeats itself or points away from the configured origin."""


class LedgerError(HeadwaterError):
    """A lease or a batch number belongs to another writer."""


class TakenError(LedgerError):
    """Another writer's manifest has a batch's number."""


class BooksError(HeadwaterError):
    """The books of a run do not balance."""


class CrawlError(HeadwaterError):
    """A crawler ended without success."""


class QueryError(HeadwaterError):
    """An engine refused a statement, or did not finish it in time."""


class ConflictError(QueryError):
    """The warehouse refused a transaction because of another one."""


class LoadError(QueryError):
    """The warehouse refused a load; its tables are as they were."""
