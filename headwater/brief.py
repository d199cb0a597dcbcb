"""What a failed job says: Step Functions keeps it in the state of the run, in its history and in its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.errors import HeadwaterError
from headwater.log import get_logger, redact, shortened

# A state has 256 KB, for all sources that fail at the same time.
_MOST_CHARACTERS = 2000

log = get_logger(__name__)


@contextmanager
def told_briefly() -> Iterator[None]:
    """Lets no error out whose message has a secret or is too long."""
    try:
        yield
    except Exception as error:
        text = str(error)
        said = redact(text)
        if said == text and len(text) <= _MOST_CHARACTERS:
            raise
        log.warning("failed", error=said)
        # Its own text would be printed with it; where it came from is kept.
        brief = f"{type(error).__name__}: {shortened(said, _MOST_CHARACTERS)}"
        raise HeadwaterError(brief).with_traceback(error.__traceback__) from None
