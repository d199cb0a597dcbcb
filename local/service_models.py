"""What botocore knows of AWS's services, read once a process."""

from __future__ import annotations

from functools import lru_cache

from botocore import session


def remember() -> None:
    """Shares what is known of AWS's services among the sessions of a process.

    Each session finds and reads their models again, which costs more than most runs' calls of a service.
    """
    session.create_loader = lru_cache(session.create_loader)
