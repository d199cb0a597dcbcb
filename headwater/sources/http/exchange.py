"""Tokens that live for weeks: exchanged for new ones between two reads, long before they run out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from headwater.config import LongLivedToken
from headwater.errors import FatalSourceError, SourceError
from headwater.log import EXPIRING, get_logger
from headwater.redaction import keep_out
from headwater.sources.http.client import HttpClient
from headwater.sources.http.oauth import Save

_AGAIN = timedelta(days=1)

log = get_logger(__name__)


class Life(BaseModel):
    """What the secret remembers of its token, beside it: nobody asks the provider again before a day is over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str
    """Fingerprint of the token; one that somebody puts in later has another, and nothing is known of it."""
    asked: AwareDatetime
    since: AwareDatetime | None = None
    """When the provider gave the token or told how long it lives; None while that is unknown."""
    until: AwareDatetime | None = None
    """When it runs out; None with a known `since`: never."""

    def is_due(self, now: datetime) -> bool:
        """Whether less than half of the life is left, or how much is unknown."""
        if now - self.asked < _AGAIN:
            return False
        if self.since is None:
            return True
        return self.until is not None and self.until - now < (self.until - self.since) / 2

    def days_left(self, now: datetime) -> int | None:
        """Whole days until it runs out; None when that is unknown."""
        return None if self.until is None else max(0, (self.until - now).days)


def exchanged(
    client: HttpClient, auth: LongLivedToken, secret: Mapping[str, str], save: Save, now: datetime
) -> Mapping[str, str]:
    """Returns the secret with a token that is exchanged for a new one if that is due, and gives it to `save` if it changed.

    Without the app's id and secret nothing is exchanged. An exchange that fails is no error, since the token is good as long
    as it lives: it is logged, by the word that an alarm looks for when there are few days left.
    """
    token = secret.get(auth.token, "")
    if not all(secret.get(key) for key in (auth.token, auth.client_id, auth.client_secret)):
        return secret
    life = _remembered(secret.get(_key(auth), ""), token)
    if life is not None and not life.is_due(now):
        return secret
    try:
        new, seconds = _exchange(client, auth, secret)
    except SourceError as error:
        failed = life or Life(token=_fingerprint(token), asked=now)
        _tell(client.name, auth, failed.days_left(now), error)
        return _saved(auth, secret, failed.model_copy(update={"asked": now}), save)
    if not seconds:
        # It does not run out: the new one is no better.
        return _saved(auth, secret, Life(token=_fingerprint(token), asked=now, since=now), save)
    log.info("token exchanged", days_left=int(seconds // 86_400))
    until = now + timedelta(seconds=seconds)
    renewed = Life(token=_fingerprint(new), asked=now, since=now, until=until)
    return _saved(auth, {**secret, auth.token: new}, renewed, save)


def _exchange(client: HttpClient, auth: LongLivedToken, secret: Mapping[str, str]) -> tuple[str, float]:
    """A new token and its life in seconds, 0 when it does not run out; SourceError when the provider gives none."""
    asked = {
        "grant_type": auth.grant_type,
        "client_id": secret[auth.client_id],
        "client_secret": secret[auth.client_secret],
        auth.grant_type: secret[auth.token],
    }
    answer: Any = client.get(auth.token_url, asked)
    token = answer.get("access_token") if isinstance(answer, Mapping) else None
    if not isinstance(token, str) or not token:
        raise FatalSourceError(f"{client.name}: the answer to the exchange has no `access_token`")
    keep_out([token])
    life = answer.get("expires_in")
    return token, float(life) if isinstance(life, int | float) else 0.0


def _tell(name: str, auth: LongLivedToken, days_left: int | None, error: SourceError) -> None:
    fields = {"days_left": "unknown" if days_left is None else days_left, "error": str(error)}
    if days_left is None or days_left < auth.warn_days:
        log.warning(
            EXPIRING, **fields, hint=f"see docs/secrets.md, {name}: how to get a new one, and how it is exchanged"
        )
    else:
        log.warning("token not exchanged", **fields)


def _remembered(text: str, token: str) -> Life | None:
    """What is known of this token; None for another one's and for what is unreadable."""
    try:
        life = Life.model_validate_json(text)
    except ValidationError:
        return None
    return life if life.token == _fingerprint(token) else None


def _saved(auth: LongLivedToken, secret: Mapping[str, str], life: Life, save: Save) -> Mapping[str, str]:
    changed = {**secret, _key(auth): life.model_dump_json(exclude_none=True)}
    save(changed)
    return changed


def _key(auth: LongLivedToken) -> str:
    return f"{auth.token}_life"


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:12]
