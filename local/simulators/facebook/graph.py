"""How the Graph API talks: error bodies, access tokens, usage headers and cursor paging."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from local.simulators.kept import Kept

DEFAULT_TOKEN = "EAAB-local-token"  # noqa: S105 - good for nothing but the simulator
DEFAULT_APP_ID = "1020000000000"
DEFAULT_APP_SECRET = "local-app-secret"  # noqa: S105 - as above
LONG_LIVED_SECONDS = 5_183_944

_THROTTLES = {
    4: (1504022, "Application request limit reached"),
    17: (2446079, "User request limit reached"),
    80000: (2446079, "There have been too many calls from this ad-account. Wait a bit and try again."),
    80004: (2446079, "There have been too many calls to this ad-account. Wait a bit and try again."),
}


class GraphError(Exception):
    """An error as the Graph API reports it; throttles come with HTTP 400 as well."""

    def __init__(
        self,
        code: int,
        message: str,
        subcode: int | None = None,
        *,
        status: int = 400,
        is_transient: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.headers = dict(headers or {})
        self._body: dict[str, Any] = {
            "message": f"(#{code}) {message}" if code not in (1, 2, 190) else message,
            "type": "OAuthException",
            "code": code,
            **({"error_subcode": subcode} if subcode is not None else {}),
            "is_transient": is_transient,
            "fbtrace_id": "A" + hashlib.blake2b(message.encode(), digest_size=9).hexdigest(),
        }

    @classmethod
    def throttled(cls, code: int, account: str, seconds: float) -> GraphError:
        """Too many calls; `seconds` until more are allowed, which the header gives in minutes."""
        subcode, message = _THROTTLES.get(code, _THROTTLES[80000])
        usage = _business_usage(account, "ads_insights" if code == 80000 else "ads_management", 100, seconds)
        return cls(code, message, subcode, is_transient=True, headers=usage)

    @classmethod
    def expired(cls) -> GraphError:
        """The token has expired."""
        return cls(190, "Error validating access token: Session has expired.", 463)

    @classmethod
    def too_much_data(cls) -> GraphError:
        """Pages are too long."""
        return cls(1, "Please reduce the amount of data you're asking for, then retry your request", status=500)

    @classmethod
    def range_too_big(cls) -> GraphError:
        """Too many rows for one synchronous answer."""
        message = "Please reduce the amount of data you're asking for, then retry your request"
        return cls(100, message, 1487534)

    def response(self) -> Response:
        """The error as it goes over the wire."""
        headers = dict(self.headers)
        if self.code == 190:
            headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{self}"'
        return JSONResponse({"error": self._body}, self.status, headers)


class Tokens(BaseModel):
    """Who may call: kept in the state folder, changed by the admin endpoint."""

    model_config = ConfigDict(extra="forbid")

    access_tokens: dict[str, float | None] = Field(
        default={DEFAULT_TOKEN: None}, description="Token to the Unix time at which it expires; null for never."
    )
    app_id: str = DEFAULT_APP_ID
    app_secret: str = DEFAULT_APP_SECRET
    require_appsecret_proof: bool = False

    def check(self, token: str | None, proof: str | None) -> str:
        """The token, if the caller may pass; raises GraphError otherwise."""
        if token is None:
            raise GraphError(2500, "An active access token must be used to query information about the current user.")
        if token not in self.access_tokens:
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token")
        expires_at = self.access_tokens[token]
        if expires_at is not None and expires_at <= time.time():
            raise GraphError.expired()
        if proof is None and self.require_appsecret_proof:
            raise GraphError(100, "API calls from the server require an appsecret_proof argument")
        if proof is not None and not hmac.compare_digest(proof, self.proof_of(token)):
            raise GraphError(100, "Invalid appsecret_proof provided in the API argument")
        return token

    def proof_of(self, token: str) -> str:
        """Hex HMAC-SHA256 of the token, keyed with the app secret."""
        return hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()

    def exchange(self, params: Mapping[str, str]) -> dict[str, Any]:
        """A long-lived token for one that has not expired yet."""
        if params.get("grant_type") != "fb_exchange_token":
            raise GraphError(1, "Invalid grant_type: must be fb_exchange_token")
        if params.get("client_id") != self.app_id:
            raise GraphError(101, "Error validating application. Cannot get application info due to a system error.")
        if params.get("client_secret") != self.app_secret:
            raise GraphError(1, "Error validating client secret.")
        old = params.get("fb_exchange_token")
        self.check(old, self.proof_of(old) if old else None)
        new = f"{DEFAULT_TOKEN}-{len(self.access_tokens)}"
        self.access_tokens[new] = time.time() + LONG_LIVED_SECONDS
        return {"access_token": new, "token_type": "bearer", "expires_in": LONG_LIVED_SECONDS}


class Limits(BaseModel):
    """What the platform allows; the admin endpoint can make it strict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls_per_hour: int = Field(default=20_000, ge=1, description="Calls for one account in any hour.")
    page_rows: int = Field(default=500, ge=1, description="Longest page; a longer `limit` is refused.")
    synchronous_days: int = Field(default=7, ge=1, description="Longest range of insights answered at once.")
    report_polls: int = Field(default=3, ge=1, description="Polls until a report is completed.")
    report_days: int = Field(default=1000, ge=1, description="Longest range whose report is ever completed.")
    old_reach_reports: int = Field(
        default=10, ge=0, description="Reports of one account in any 24 hours that tell reach by group for old days."
    )


class Report(BaseModel):
    """One asynchronous insights job."""

    report_run_id: int
    account_id: int
    params: dict[str, str]
    clock: str
    """Date on which it was asked for: results are those of that day."""
    created_at: float
    outcome: str = "completed"
    polls: int = 0
    tells_reach: bool = True
    late_answers: int = 0
    """How often the results are still refused after the job was completed."""


class State(BaseModel):
    """What outlives a restart."""

    tokens: Tokens = Tokens()
    limits: Limits = Limits()
    reports: dict[int, Report] = {}


class GraphState(Kept[State]):
    """The state of the API, in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(State, folder, "facebook")


class Meter:
    """Counts calls by account in the last hour of real time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}
        self._old_reach: dict[str, deque[float]] = {}

    def count(self, account: str, limits: Limits, kind: str) -> dict[str, str]:
        """Usage headers after one more call; raises GraphError when it is one too many."""
        with self._lock:
            moment = time.monotonic()
            calls = self._calls.setdefault(account, deque())
            while calls and calls[0] <= moment - 3600:
                calls.popleft()
            if len(calls) >= limits.calls_per_hour:
                code = 80000 if kind == "ads_insights" else 80004
                raise GraphError.throttled(code, account, calls[0] + 3600 - moment)
            calls.append(moment)
            percent = 100 * len(calls) // limits.calls_per_hour
            everyone = 100 * max(map(len, self._calls.values())) // limits.calls_per_hour
            reset = 3600 - math.floor(moment - calls[0])
        headers = _business_usage(account, kind, percent, 0)
        headers["X-Ad-Account-Usage"] = json.dumps(
            {"acc_id_util_pct": percent, "reset_time_duration": reset, "ads_api_access_tier": "standard_access"}
        )
        headers["X-App-Usage"] = json.dumps({"call_count": everyone, "total_time": everyone, "total_cputime": everyone})
        if kind == "ads_insights":
            headers["X-FB-Ads-Insights-Throttle"] = json.dumps(
                {"app_id_util_pct": everyone, "acc_id_util_pct": percent, "ads_api_access_tier": "standard_access"}
            )
        return headers

    def tell_old_reach(self, account: str, limits: Limits) -> tuple[bool, dict[str, str]]:
        """Counts one report that asks for reach by group for old days: whether it gets it, and the header that says so."""
        with self._lock:
            moment = time.monotonic()
            reports = self._old_reach.setdefault(account, deque())
            while reports and reports[0] <= moment - 86_400:
                reports.popleft()
            tells = len(reports) < limits.old_reach_reports
            if tells:
                reports.append(moment)
            percent = 100 * len(reports) // limits.old_reach_reports if limits.old_reach_reports else 100
        usage = {"app_id_util_pct": percent, "acc_id_util_pct": percent, "ads_api_access_tier": "standard_access"}
        return tells, {"X-Fb-Ads-Insights-Reach-Throttle": json.dumps(usage)}

    def reset(self) -> None:
        """Forgets all calls."""
        with self._lock:
            self._calls.clear()
            self._old_reach.clear()


def _business_usage(account: str, kind: str, percent: int, seconds: float) -> dict[str, str]:
    usage = {
        "type": kind,
        "call_count": percent,
        "total_cputime": percent,
        "total_time": percent,
        "estimated_time_to_regain_access": math.ceil(seconds / 60),
        "ads_api_access_tier": "standard_access",
    }
    return {"X-Business-Use-Case-Usage": json.dumps({account: [usage]})}


class Cursor(NamedTuple):
    """Where a page begins; `turn` tells apart cursors that point to the same row."""

    offset: int
    turn: int = 0

    def encode(self) -> str:
        """As it goes into `after`."""
        return base64.urlsafe_b64encode(f"{self.offset}.{self.turn}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises GraphError for anything that `encode` did not make."""
        try:
            offset, turn = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(".")
            return cls(int(offset), int(turn))
        except ValueError as error:
            raise GraphError(100, "Invalid parameter: after is not a cursor") from error


def page(
    rows: Sequence[Mapping[str, Any]],
    params: Mapping[str, str],
    *,
    url: str,
    token: str,
    longest: int,
    fault: str | None,
    foreign_host: str | None,
) -> dict[str, Any]:
    """One page of `rows` as `data` and `paging`; `next` is there only if more follow, and holds host and token.

    `fault` is a kind of fault: cursor_loop, duplicate_page, empty_page or foreign_next.
    """
    limit = _limit(params.get("limit", "25"), longest)
    cursor = Cursor.decode(params["after"]) if "after" in params else Cursor(0)
    data = [] if fault == "empty_page" else list(rows[cursor.offset : cursor.offset + limit])
    following = Cursor(cursor.offset + limit)
    more = following.offset < len(rows)
    if fault == "cursor_loop":
        following, more = cursor, True
    elif fault in ("duplicate_page", "empty_page"):
        following, more = Cursor(cursor.offset, cursor.turn + 1), True
    if not data and not more:
        return {"data": []}
    paging: dict[str, Any] = {"cursors": {"before": cursor.encode(), "after": following.encode()}}
    if more:
        host = f"{foreign_host}{_path_of(url)}" if fault == "foreign_next" and foreign_host else url
        query = {**params, "access_token": token, "limit": str(limit), "after": following.encode()}
        paging["next"] = f"{host}?{urlencode(query)}"
    return {"data": data, "paging": paging}


def _limit(text: str, longest: int) -> int:
    if not text.isdigit() or int(text) < 1:
        raise GraphError(100, f"Param limit must be a positive integer: {text}")
    if int(text) > longest:
        raise GraphError.too_much_data()
    return int(text)


def _path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]
