"""Google's Ads API: its errors, and the headers that name the manager account.

Contract: Google Ads API v26 over REST, developers.google.com/google-ads/api (search, error types, rate limits).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headwater.errors import (
    ClosedAccountError,
    ExpiredCursorError,
    ExpiredTokenError,
    FatalSourceError,
    QuotaUsedUpError,
    RetriableSourceError,
    SourceError,
    ThrottledError,
)
from headwater.sources.http.classify import classify_by_status, error_answer
from headwater.sources.http.messages import HttpResponse
from headwater.sources.http.source import Api

LONGEST_DELAY_SECONDS = 900.0
"""A quota that is free again only after this is a day's quota: waiting for it would keep the job running for nothing."""

_CURSOR_CODES = {"EXPIRED_PAGE_TOKEN", "INVALID_PAGE_TOKEN"}
_THROTTLE_CODES = {
    "RESOURCE_EXHAUSTED",
    "RESOURCE_TEMPORARILY_EXHAUSTED",
    "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
}
_TRANSIENT_CODES = {"INTERNAL_ERROR", "TRANSIENT_ERROR", "DEADLINE_EXCEEDED"}
_HINTS = {
    "USER_PERMISSION_DENIED": "the secret's login_customer_id must be the manager above the account, and its user have access",
    "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION": "the Google Cloud project needs Explorer access or more",
    "REQUESTED_METRICS_FOR_MANAGER": "declare the accounts below the manager, not the manager",
    "OAUTH_TOKEN_REVOKED": "have the user grant access again and put the new refresh token into the source's secret",
    "OAUTH_TOKEN_DISABLED": "have the user grant access again and put the new refresh token into the source's secret",
}


class Reason(NamedTuple):
    """One of the errors that an answer gives, and the seconds that it asks to wait, if it does."""

    category: str
    code: str
    message: str
    delay: float | None

    def __str__(self) -> str:
        return f"{self.category}.{self.code}: {self.message}"


def classify(response: HttpResponse) -> SourceError | None:
    """Reads the error out of an answer; that of a stream comes within an array, and may follow rows under status 200."""
    answer = error_answer(response)
    parts = answer if isinstance(answer, list) else [answer]
    error = next(
        (part["error"] for part in parts if isinstance(part, dict) and isinstance(part.get("error"), dict)), None
    )
    if error is None:
        return classify_by_status(response)
    return error_of(error, response.headers.get("request-id", "unknown"))


def error_of(error: Mapping[str, Any], request_id: str) -> SourceError:
    """Classifies an error object; the message keeps the request id, which Google's support asks for."""
    reasons = list(reasons_in(error))
    status = error.get("code")
    status = status if isinstance(status, int) else 0
    texts = [str(reason) for reason in reasons] or [f"HTTP {status} {error.get('status')}: {error.get('message')}"]
    said = f"{'; '.join(texts)} (request id {request_id})"
    codes = {reason.code for reason in reasons}
    if codes & _CURSOR_CODES:
        return ExpiredCursorError(said)
    if "CUSTOMER_NOT_ENABLED" in codes:
        return ClosedAccountError(said)
    if codes & _THROTTLE_CODES or (status == 429 and not codes):
        delay = max((reason.delay for reason in reasons if reason.delay is not None), default=None)
        if delay is not None and delay > LONGEST_DELAY_SECONDS:
            hint = f"hint: run again in {delay / 3600:.1f} hours, or ask Google for more quota"
            return QuotaUsedUpError(f"{said}. {hint}", delay)
        return ThrottledError(said, delay)
    if "OAUTH_TOKEN_EXPIRED" in codes or (status == 401 and not codes):
        return ExpiredTokenError(said)
    if codes & _TRANSIENT_CODES or (status >= 500 and not codes):
        return RetriableSourceError(said)
    hints = [_HINTS[code] for code in sorted(codes & _HINTS.keys())]
    return FatalSourceError(f"{said}. hint: {'; '.join(hints)}" if hints else said)


def reasons_in(error: Mapping[str, Any]) -> Iterator[Reason]:
    """Finds the API's own errors within an error object; one from the layer before the API has none."""
    for detail in _objects(error.get("details")):
        for reason in _objects(detail.get("errors")):
            details = reason.get("details")
            quota = details.get("quotaErrorDetails") if isinstance(details, dict) else None
            delay = seconds_of(quota.get("retryDelay")) if isinstance(quota, dict) else None
            for category, code in (reason.get("errorCode") or {}).items():
                yield Reason(category, str(code), str(reason.get("message", "")), delay)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def seconds_of(duration: Any) -> float | None:
    """Reads a protobuf duration, such as `30s` or `1.5s`; None for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", duration) if isinstance(duration, str) else None
    return float(found[1]) if found else None


def headers(secret: Mapping[str, str]) -> dict[str, str]:
    """Names the manager account that is gone through, and the developer token, as far as the secret has them."""
    given = {}
    if secret.get("login_customer_id"):
        # People copy it as it is shown, 303-000-0000.
        given["login-customer-id"] = re.sub(r"\D", "", secret["login_customer_id"])
    if secret.get("developer_token"):
        given["developer-token"] = secret["developer_token"]
    return given


API = Api(classify=classify, headers=headers)
