"""Who may ask HubSpot, for what and how often: tokens, scopes, limits, and the switches that change them."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from local.simulators.hubspot.messages import HubSpotError
from local.simulators.kept import Kept

CLIENT_ID = "0d1b8b3c-local"


CLIENT_SECRET = "local-hubspot-secret"  # noqa: S105 - good for nothing but the simulator


REFRESH_TOKEN = "na1-local-refresh"  # noqa: S105 - as above


SERVICE_KEY = "pat-na1-local-service-key"


TOKEN_SECONDS = 1800


CONTACTS_SCOPE = "crm.objects.contacts.read"


DEALS_SCOPE = "crm.objects.deals.read"


class Switches(BaseModel):
    """What HubSpot allows, and how it stands; the admin endpoint can change each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls_per_ten_seconds: int = Field(
        110, ge=1, description="For an app that comes with OAuth; searches do not count."
    )
    calls_per_day: int = Field(1_000_000, ge=1)
    searches_per_second: int = Field(5, ge=1)
    search_cap: int = Field(10_000, ge=1, description="Results that the pages of one search reach.")
    page_rows: int = Field(200, ge=1, description="Rows on a page at most, whatever `limit` asks for.")
    index_lag_seconds: int = Field(0, ge=0, description="Changes so short ago by the world's clock are not found yet.")
    longest_query: int = Field(
        8_000, ge=1, description="Characters of a URL's query; a longer one is refused with 414."
    )
    association_page: int = Field(500, ge=1, description="Associations of one object in one answer.")
    token_seconds: int = Field(TOKEN_SECONDS, ge=0, description="Life of the access tokens given out from now on.")
    rotate: bool = Field(True, description="Each refresh gives a new refresh token; its first use ends the older ones.")
    scopes: tuple[str, ...] = (CONTACTS_SCOPE, DEALS_SCOPE)
    poisoned_ids: tuple[int, ...] = Field((), description="Deals whose id fails a whole batch of associations.")


class State(BaseModel):
    """What outlives a restart."""

    switches: Switches = Switches()
    access_tokens: dict[str, float] = Field({}, description="Unix time at which each expires.")
    refresh_tokens: list[str] = Field([], description="Those given out that are still good, oldest first.")


class Access:
    """Tokens and counted calls; both live in `folder`, with the switches that say what is allowed."""

    def __init__(self, folder: Path, source: str) -> None:
        self.kept = Kept(State, folder, source)
        self._calls: deque[float] = deque()
        self._searches: deque[float] = deque()
        self._today = 0

    def grant(self, form: Mapping[str, str], fault: str | None) -> dict[str, Any]:
        """Sells an access token for a refresh token; under `expire_token` one that has run out already."""
        with self.kept.lock:
            state, asked = self.kept.state, form.get("refresh_token", "")
            if form.get("grant_type") != "refresh_token":
                raise HubSpotError(400, "VALIDATION_ERROR", "grant_type must be refresh_token", error="invalid_request")
            if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
                raise HubSpotError(400, "VALIDATION_ERROR", "missing or unknown client id", error="invalid_client")
            # The installation's own token never expires: deploying again puts it back into the secret.
            if asked not in (REFRESH_TOKEN, *state.refresh_tokens) or fault == "revoke":
                said = "missing or invalid refresh token"
                raise HubSpotError(400, "VALIDATION_ERROR", said, error="invalid_grant", error_description=said)
            if asked != REFRESH_TOKEN:
                # A token that was rotated away stays good until its successor is used: an answer may get lost.
                state.refresh_tokens = state.refresh_tokens[state.refresh_tokens.index(asked) :]
            if state.switches.rotate:
                asked = f"na1-{secrets.token_hex(12)}"
                state.refresh_tokens.append(asked)
            access = f"CP-{secrets.token_hex(24)}"
            life = 0 if fault == "expire_token" else state.switches.token_seconds
            state.access_tokens = {token: end for token, end in state.access_tokens.items() if end > time.time() - 3600}
            state.access_tokens[access] = time.time() + life
            self.kept.save()
        return {
            "token_type": "bearer",
            "refresh_token": asked,
            "access_token": access,
            "expires_in": TOKEN_SECONDS if fault == "expire_token" else life,
            "hub_id": 4711,
            "scopes": list(state.switches.scopes),
        }

    def authenticate(self, request: Request, fault: str | None) -> bool:
        """Whether the caller came with OAuth rather than with a service key; raises HubSpotError if with neither."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if fault == "expire_token":
            raise HubSpotError.expired()
        with self.kept.lock:
            expires_at = self.kept.state.access_tokens.get(token)
        if kind != "Bearer" or fault == "revoke" or (token != SERVICE_KEY and expires_at is None):
            raise HubSpotError(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")
        if expires_at is not None and expires_at <= time.time():
            raise HubSpotError.expired()
        return expires_at is not None

    def check_scopes(self, kinds: Sequence[str]) -> None:
        """Raises HubSpotError when the app lacks the scope of one of these kinds of objects."""
        wanted = [
            {"contacts": CONTACTS_SCOPE, "deals": DEALS_SCOPE}.get(kind, f"crm.objects.{kind}.read") for kind in kinds
        ]
        missing = [scope for scope in wanted if scope not in self.kept.state.switches.scopes]
        if missing:
            said = "This app hasn't been granted all required scopes to make this call."
            context = {"requiredScopes": missing}
            raise HubSpotError(403, "MISSING_SCOPES", said, errors=[{"message": said, "context": context}])

    def count_search(self) -> None:
        """Counts a search; HubSpotError when it is one too many."""
        with self.kept.lock:
            if not _counted(self._searches, 1.0, self.kept.state.switches.searches_per_second):
                raise HubSpotError.throttled("SECONDLY")

    def count_call(self, is_oauth: bool) -> dict[str, str]:
        """Headers after one more call; an app with OAuth does not see the daily limit."""
        with self.kept.lock:
            switches = self.kept.state.switches
            if self._today >= switches.calls_per_day:
                raise HubSpotError.throttled("DAILY")
            if not _counted(self._calls, 10.0, switches.calls_per_ten_seconds):
                raise HubSpotError.throttled("TEN_SECONDLY_ROLLING")
            self._today += 1
            headers = {
                "X-HubSpot-RateLimit-Max": str(switches.calls_per_ten_seconds),
                "X-HubSpot-RateLimit-Remaining": str(switches.calls_per_ten_seconds - len(self._calls)),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            }
            if not is_oauth:
                headers["X-HubSpot-RateLimit-Daily"] = str(switches.calls_per_day)
                headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(switches.calls_per_day - self._today)
            return headers

    def forget_calls(self) -> None:
        """Starts all counts at zero."""
        self._calls.clear()
        self._searches.clear()
        self._today = 0


def _counted(calls: deque[float], seconds: float, most: int) -> bool:
    """Counts one more call in a rolling window unless it is one too many."""
    moment = time.monotonic()
    while calls and calls[0] <= moment - seconds:
        calls.popleft()
    if len(calls) >= most:
        return False
    calls.append(moment)
    return True
