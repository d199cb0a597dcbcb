"""OAuth 2.0 access tokens that live for minutes, renewed while a read goes on.

A refresh token buys them (RFC 6749, section 6), or the client's own credentials do (section 4.4).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from headwater.config import ClientCredentials, Grant, OAuth
from headwater.errors import ExpiredTokenError, FatalSourceError
from headwater.redaction import keep_out
from headwater.sources.http.auth import Auth, Flow
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpRequest

_MARGIN_SECONDS = 60.0
_UNKNOWN_LIFE_SECONDS = 300.0

Save = Callable[[Mapping[str, str]], None]


@dataclass(kw_only=True)
class TokenAuth(Auth):
    """Signs with an access token that the secret buys; a rotated refresh token goes to `save` at once.

    FatalSourceError when the secret lacks a part of the grant or the token endpoint refuses it. Safe to share between
    threads.
    """

    client: HttpClient = field(repr=False)
    grant: Grant
    secret: Mapping[str, str] = field(repr=False)
    save: Save = field(repr=False)
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _refresh_token: str = field(default="", init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def flow(self, request: HttpRequest) -> Flow:
        """Signs with a token that lives for another minute at least; one that was refused as run out is renewed, once."""
        renewed = False
        while True:
            token = self.token()
            try:
                yield self._bear(request, token)
            except ExpiredTokenError:
                # Once: a token that is refused as soon as it is made would be renewed without end.
                if renewed:
                    raise
                renewed = True
                self._renew(token)

    def token(self) -> str:
        """An access token that lives for another minute at least."""
        with self._lock:
            if not self._token or self.client.clock() >= self._until:
                self._refresh()
            return self._token

    def _bear(self, request: HttpRequest, token: str) -> HttpRequest:
        signed = self.sign(request)
        return replace(signed, headers={**signed.headers, "Authorization": f"Bearer {token}"})

    def _renew(self, refused: str) -> None:
        """Buys a new token, unless another thread has replaced the refused one already."""
        with self._lock:
            if self._token == refused:
                self._refresh()

    def _refresh(self) -> None:
        form = self._form()
        answer = self.client.post(self.grant.token_url, form)
        token = answer.get("access_token") if isinstance(answer, Mapping) else None
        if not isinstance(token, str) or not token:
            raise FatalSourceError(f"{self.client.name}: the token endpoint's answer has no `access_token`")
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) else _UNKNOWN_LIFE_SECONDS
        keep_out([token])
        self._token = token
        self._until = self.client.clock() + max(0.0, seconds - _MARGIN_SECONDS)
        rotated = answer.get("refresh_token")
        if isinstance(self.grant, OAuth) and isinstance(rotated, str) and rotated not in {"", form["refresh_token"]}:
            keep_out([rotated])
            self._refresh_token = rotated
            self.save({**self.secret, self.grant.refresh_token: rotated})

    def _form(self) -> dict[str, str]:
        """What a token is asked with."""
        match self.grant:
            case OAuth(client_id=identity, client_secret=password, refresh_token=key):
                self._need(identity, password, key)
                own = {"grant_type": "refresh_token", "refresh_token": self._refresh_token or self.secret[key]}
            case ClientCredentials(client_id=identity, client_secret=password, params=params):
                self._need(identity, password)
                own = {**params, "grant_type": "client_credentials"}
        return {**own, "client_id": self.secret[identity], "client_secret": self.secret[password]}

    def _need(self, *keys: str) -> None:
        missing = [key for key in keys if not self.secret.get(key)]
        if missing:
            raise FatalSourceError(f"{self.client.name}: the secret has no {', '.join(missing)}. hint: add it")
