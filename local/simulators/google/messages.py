"""How the Google Ads API talks: error bodies, OAuth tokens, quotas and page tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from local.simulators.kept import Kept

DEFAULT_CLIENT_ID = "headwater.apps.googleusercontent.com"
DEFAULT_CLIENT_SECRET = "GOCSPX-local"  # noqa: S105 - good for nothing but the simulator
DEFAULT_REFRESH_TOKEN = "1//local-refresh-token"  # noqa: S105 - as above
SCOPE = "https://www.googleapis.com/auth/adwords"

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SUMMARIES = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid"
    " authentication credential.",
    403: "The caller does not have permission",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}


class GoogleError(Exception):
    """An error as the API reports it; without `category` it comes from the layer before the API and has no details."""

    def __init__(
        self,
        message: str,
        category: str = "",
        code: str = "",
        *,
        status: int = 400,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self._category = category
        self._code = code
        self._details = details

    @classmethod
    def query(cls, code: str, message: str) -> GoogleError:
        """The query is wrong."""
        return cls(f"Error in query: {message}", "queryError", code)

    @classmethod
    def request(cls, code: str, message: str) -> GoogleError:
        """The request is wrong, whatever its query."""
        return cls(message, "requestError", code)

    @classmethod
    def denied(cls, code: str, message: str) -> GoogleError:
        """The caller may not have this."""
        return cls(message, "authorizationError", code, status=403)

    @classmethod
    def unauthenticated(cls, code: str, message: str) -> GoogleError:
        """Nobody knows the caller."""
        return cls(message, "authenticationError", code, status=401)

    @classmethod
    def exhausted(cls, code: str, rate: str, seconds: float | None = None, scope: str = "ACCOUNT") -> GoogleError:
        """Too many calls; `seconds` until more are allowed, where the API says."""
        wait = {} if seconds is None else {"retryDelay": f"{seconds:g}s"}
        details = {"quotaErrorDetails": {"rateScope": scope, "rateName": rate, **wait}}
        return cls("Too many requests.", "quotaError", code, status=429, details=details)

    @classmethod
    def of_status(cls, status: int) -> GoogleError:
        """What a server error or a refusal without further reason looks like."""
        if status == 500:
            return cls("An internal error has occurred.", "internalError", "INTERNAL_ERROR", status=500)
        return cls(_SUMMARIES.get(status, "Request failed."), status=status)

    def body(self, request_id: str) -> dict[str, Any]:
        """The error as JSON."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": _SUMMARIES.get(self.status, str(self)) if self._category else str(self),
            "status": _STATUSES.get(self.status, "UNKNOWN"),
        }
        if self._category:
            reason: dict[str, Any] = {"errorCode": {self._category: self._code}, "message": str(self)}
            if self._details:
                reason["details"] = self._details
            failure = {
                "@type": "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure",
                "errors": [reason],
                "requestId": request_id,
            }
            error["details"] = [failure]
        return {"error": error}


class GrantError(Exception):
    """What the token endpoint refuses, by OAuth's own error code."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


class Tokens(BaseModel):
    """Who may ask for access tokens, and which of those are good; kept in the state folder, changed by the admin endpoint."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = DEFAULT_CLIENT_ID
    client_secret: str = DEFAULT_CLIENT_SECRET
    refresh_tokens: list[str] = [DEFAULT_REFRESH_TOKEN]
    access_tokens: dict[str, float] = Field(
        default={}, description="Token to the Unix time at which it expires; posting {} takes all of them back."
    )

    def grant(self, params: Mapping[str, str], seconds: int) -> dict[str, Any]:
        """A new access token for a refresh token; raises GrantError as RFC 6749 has it."""
        if params.get("grant_type") != "refresh_token":
            raise GrantError("unsupported_grant_type", f"Invalid grant_type: {params.get('grant_type')}")
        if params.get("client_id") != self.client_id or params.get("client_secret") != self.client_secret:
            raise GrantError("invalid_client", "The OAuth client was not found.", 401)
        if params.get("refresh_token") not in self.refresh_tokens:
            raise GrantError("invalid_grant", "Token has been expired or revoked.")
        token = f"ya29.local-{secrets.token_hex(12)}"
        self.access_tokens[token] = time.time() + seconds
        return {"access_token": token, "expires_in": seconds, "scope": SCOPE, "token_type": "Bearer"}

    def check(self, token: str) -> None:
        """Raises GoogleError unless the token is good; an empty one is none."""
        if not token:
            raise GoogleError.of_status(401)
        if token not in self.access_tokens:
            raise GoogleError.unauthenticated("OAUTH_TOKEN_INVALID", "Invalid OAuth access token in the HTTP header.")
        if self.access_tokens[token] <= time.time():
            raise expired()


def expired() -> GoogleError:
    """The access token has expired."""
    return GoogleError.unauthenticated("OAUTH_TOKEN_EXPIRED", "OAuth access token in the header has expired.")


def revoked() -> GoogleError:
    """The user took the permission back."""
    return GoogleError.unauthenticated("OAUTH_TOKEN_REVOKED", "OAuth access token in the header has been revoked.")


class Limits(BaseModel):
    """What the platform allows; the admin endpoint can make it strict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page_rows: int = Field(default=10_000, ge=1, description="Rows of a page and of a chunk; nobody may ask for fewer.")
    page_token_seconds: float = Field(default=7200, ge=0, description="How long a page token is good.")
    access_token_seconds: int = Field(default=3599, ge=1, description="How long an access token is good.")
    calls_per_second: int = Field(default=50, ge=1, description="Refill and size of each customer's token bucket.")
    operations_per_day: int = Field(default=15_000, ge=1, description="Queries of all customers, however many pages.")


class Accounts(BaseModel):
    """The state of the customers."""

    model_config = ConfigDict(extra="forbid")

    not_enabled: list[int] = Field(default=[], description="Customers that are cancelled or not yet signed up.")


class State(BaseModel):
    """What outlives a restart."""

    tokens: Tokens = Tokens()
    limits: Limits = Limits()
    accounts: Accounts = Accounts()


class GoogleState(Kept[State]):
    """The state of the API, in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(State, folder, "google_ads")


class Quota:
    """Token buckets by customer, and the day's operations, in real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[int, tuple[float, float]] = {}
        self._operations = 0

    def spend(self, customer: int, limits: Limits, *, operation: bool) -> None:
        """Counts one call, which is an operation unless it asks for another page; raises GoogleError when it is one too many."""
        with self._lock:
            moment = time.monotonic()
            tokens, since = self._buckets.get(customer, (float(limits.calls_per_second), moment))
            tokens = min(limits.calls_per_second, tokens + (moment - since) * limits.calls_per_second)
            if tokens < 1:
                raise GoogleError.exhausted("RESOURCE_TEMPORARILY_EXHAUSTED", "Requests per account")
            self._buckets[customer] = (tokens - 1, moment)
            if operation and self._operations >= limits.operations_per_day:
                seconds = 86_400 - round(time.time()) % 86_400
                rate = "Number of operations for basic access"
                raise GoogleError.exhausted("RESOURCE_EXHAUSTED", rate, seconds, "DEVELOPER")
            self._operations += operation

    def reset(self) -> None:
        """Forgets all calls."""
        with self._lock:
            self._buckets.clear()
            self._operations = 0


class PageToken(NamedTuple):
    """Where a page begins within the answer to one query; `turn` tells apart tokens that point to the same row."""

    query: str
    step: int
    made_at: float
    offset: int
    turn: int = 0

    def encode(self) -> str:
        """As it goes into `pageToken`."""
        return base64.urlsafe_b64encode(json.dumps(self).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, query: str, step: int, seconds: float) -> PageToken:
        """Raises GoogleError for a token that is not one, belongs to another query, or is too old."""
        try:
            token = cls(*json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (ValueError, TypeError) as error:
            raise GoogleError.request("INVALID_PAGE_TOKEN", "Page token is invalid.") from error
        if token.query != query:
            raise GoogleError.request("INVALID_PAGE_TOKEN", "Page token is invalid: the query is another one.")
        # The platform keeps a query's rows for a while; the world keeps none once it has moved on.
        if token.step != step or token.made_at + seconds <= time.time():
            raise GoogleError.request("EXPIRED_PAGE_TOKEN", "Page token has expired.")
        return token


def fingerprint(customer: int, query: str) -> str:
    """What ties a page token to its query."""
    return hashlib.blake2b(f"{customer}|{query}".encode(), digest_size=12).hexdigest()
