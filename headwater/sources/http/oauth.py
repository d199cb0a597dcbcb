"""OAuth 2.0 refresh-token grant (RFC 6749, section 6): access tokens that live for minutes, renewed while a read goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headwater.config import OAuth
from headwater.errors import FatalSourceError
from headwater.sources.http.client import Client

_MARGIN_SECONDS = 60.0
_UNKNOWN_LIFE_SECONDS = 300.0

Save = Callable[[Mapping[str, str]], None]


@dataclass
class RefreshedTokens:
    """Access tokens bought with the secret's refresh token; a refresh token that is rotated is given to `save` at once.

    FatalSourceError when the secret lacks a part of the grant or the token endpoint refuses it.
    """

    client: Client = field(repr=False)
    auth: OAuth
    secret: Mapping[str, str] = field(repr=False)
    save: Save = field(repr=False)
    _token: str = field(default="", repr=False)
    _until: float = field(default=0.0)
    _refresh_token: str = field(default="", repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def current(self) -> str:
        """An access token that lives for another minute at least."""
        with self._lock:
            if not self._token or self.client.clock() >= self._until:
                self._refresh()
            return self._token

    def last(self) -> str:
        """The newest access token."""
        return self._token

    def renew(self, refused: str) -> None:
        """Buys a new access token in the place of the refused one."""
        with self._lock:
            if self._token == refused:
                self._refresh()

    def _refresh(self) -> None:
        keys = (self.auth.client_id, self.auth.client_secret, self.auth.refresh_token)
        missing = [key for key in keys if not self.secret.get(key)]
        if missing:
            raise FatalSourceError(f"{self.client.name}: the secret has no {', '.join(missing)}. hint: add it")
        asked_with = self._refresh_token or self.secret[self.auth.refresh_token]
        answer = self.client.post(
            self.auth.token_url,
            {
                "grant_type": "refresh_token",
                "client_id": self.secret[self.auth.client_id],
                "client_secret": self.secret[self.auth.client_secret],
                "refresh_token": asked_with,
            },
        )
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token:
            raise FatalSourceError(f"{self.client.name}: the token endpoint's answer has no `access_token`")
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) else _UNKNOWN_LIFE_SECONDS
        self._token = token
        self._until = self.client.clock() + max(0.0, seconds - _MARGIN_SECONDS)
        rotated = answer.get("refresh_token")
        if isinstance(rotated, str) and rotated and rotated != asked_with:
            self._refresh_token = rotated
            self.save({**self.secret, self.auth.refresh_token: rotated})
