"""What a failed job or Lambda says: Step Functions keeps it in the state of the run, in its history and in its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.errors import HeadwaterError
from headwater.log import get_logger, shortened
from headwater.redaction import redact

# A state has 256 KB, for all sources that fail at the same time.
_MOST_CHARACTERS = 2000

log = get_logger(__name__)


@contextmanager
def told_briefly() -> Iterator[None]:
    """Lets no error out that has a secret, in its message or in that of what led to it, or whose message is too long."""
    try:
        yield
    except Exception as error:
        said = redact(str(error))
        chain = list(_chain(error))
        if len(said) <= _MOST_CHARACTERS and all(text == redact(text) for text in chain):
            raise
        log.warning("failed", error=said, because=[redact(text) for text in chain[1:]])
        # Its own text, its notes and what led to it would be printed with it; where it came from is kept.
        brief = f"{type(error).__name__}: {shortened(said, _MOST_CHARACTERS)}"
        raise HeadwaterError(brief).with_traceback(error.__traceback__) from None


def _chain(error: BaseException | None) -> Iterator[str]:
    """What an error, its notes, its parts and all that led to it say."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield "\n".join([str(one), *getattr(one, "__notes__", ())])
        parts = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [one.__cause__, None if one.__suppress_context__ else one.__context__, *parts]
