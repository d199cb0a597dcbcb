"""Meta's Marketing API: its errors and usage headers, and its insights, which are reports that take time to be made.

Contract: Graph API v26.0, developers.facebook.com/docs/marketing-api (insights, error codes, rate limiting).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import jmespath

from headwater.errors import (
    ExpiredCursorError,
    FatalSourceError,
    HandledSourceError,
    RetriableSourceError,
    SourceError,
    ThrottledError,
)
from headwater.ledger.raw import Row
from headwater.ledger.untrusted import read_json
from headwater.sources.http.classify import classify_by_status, error_answer
from headwater.sources.http.client import HttpClient
from headwater.sources.http.messages import HttpResponse
from headwater.sources.http.pages import Ask
from headwater.sources.http.source import Api, Part

FULL_PERCENT = 95
REPORT_TRIES = 2
REPORT_SECONDS = 3600
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 30.0
# Of what a header says: beyond it a number says nothing, and may be more than a float holds.
_MOST = 1_000_000
_UNKNOWN_WAIT_SECONDS = 60.0

# (code, subcode) pairs come before the codes alone: 2 is transient, 2/1504041 is permanent.
_FATAL_PAIRS = {(2, 1504041), (2, 1504042), (100, 3191001)}
_EXPIRED_PAIR = (190, 463)
_TOO_MUCH_PAIRS = {(100, 1487534), (100, 1504018), (2, 1504038), (-3, 1504045)}
_THROTTLE_CODES = {4, 17, 32, 613, *range(80000, 80007), 80008, 80009, 80014}
_FATAL_CODES = {10, 190, *range(200, 300), 2500, 2635, 3018}
_TRANSIENT_CODES = {2, -2, 104, 960, 2637}
_TRANSIENT_PAIRS = {(1, 99)}
# A completed report that cannot be loaded: it stays so for some, while another report on the same days is fine.
_LOST_CODE = 2601


class TooMuchDataError(HandledSourceError):
    """One request asked for more than the platform makes at once: ask for fewer days or shorter pages."""


class ReportFailedError(RetriableSourceError):
    """The platform gave up making a report, or took too long."""


def error_of(
    code: int, subcode: int | None, message: str, *, transient: bool, status: int = 200, wait: float | None = None
) -> SourceError:
    """Classifies an error code; `wait` is the seconds that the platform named, if it did."""
    pair = (code, subcode)
    said = f"error {code}{'' if subcode is None else f'/{subcode}'}: {message}"
    if pair in _TOO_MUCH_PAIRS or (code == 1 and "reduce the amount of data" in message.lower()):
        return TooMuchDataError(said)
    if code == _LOST_CODE:
        return ExpiredCursorError(said)
    if pair in _FATAL_PAIRS or code in _FATAL_CODES:
        return FatalSourceError(f"{said}{_hint(code, subcode)}")
    if code in _THROTTLE_CODES:
        return ThrottledError(said, wait or _UNKNOWN_WAIT_SECONDS)
    if transient or status >= 500 or code in _TRANSIENT_CODES or pair in _TRANSIENT_PAIRS:
        return RetriableSourceError(said)
    return FatalSourceError(said)


def _hint(code: int, subcode: int | None) -> str:
    if (code, subcode) == _EXPIRED_PAIR:
        return (
            " hint: an expired token cannot be exchanged: generate a new one (docs/secrets.md, facebook_ads) and put it into the"
            " source's secret; a system user's does not expire"
        )
    if code == 190:
        return " hint: put a valid token into the source's secret; a system user's does not expire"
    if code == 10 or 200 <= code < 300:
        return " hint: the token needs ads_read for this account"
    return ""


def classify(response: HttpResponse) -> SourceError | None:
    """Reads the error out of an answer; it may come with status 200, and throttling comes with 400."""
    error = jmespath.search("error", error_answer(response))
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return classify_by_status(response)
    return error_of(
        error["code"],
        error.get("error_subcode"),
        str(error.get("message", "")),
        transient=error.get("is_transient") is True,
        status=response.status,
        wait=usage(response),
    )


def usage(response: HttpResponse) -> float | None:
    """Seconds to pause, once any of the usage headers says that the quota is nearly used up."""
    waits = [wait or _UNKNOWN_WAIT_SECONDS for percent, wait in _meters(response.headers) if percent >= FULL_PERCENT]
    return max(waits, default=None)


def _meters(headers: Mapping[str, str]) -> Iterator[tuple[float, float]]:
    """Percent used and seconds until it is free again (0 = unknown), from each usage header."""
    business = _header(headers, "x-business-use-case-usage")
    for meters in business.values():
        for meter in meters if isinstance(meters, list) else []:
            minutes = _number(meter, "estimated_time_to_regain_access")
            yield _highest(meter, "call_count", "total_cputime", "total_time"), 60 * minutes
    account = _header(headers, "x-ad-account-usage")
    yield _highest(account, "acc_id_util_pct"), _number(account, "reset_time_duration")
    yield _highest(_header(headers, "x-app-usage"), "call_count", "total_cputime", "total_time"), 0.0
    yield _highest(_header(headers, "x-fb-ads-insights-throttle"), "app_id_util_pct", "acc_id_util_pct"), 0.0


def _header(headers: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = read_json(headers.get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _highest(meter: Any, *names: str) -> float:
    return max(_number(meter, name) for name in names)


def _number(meter: Any, name: str) -> float:
    value = meter.get(name) if isinstance(meter, dict) else None
    return float(min(value, _MOST)) if isinstance(value, int | Decimal) else 0.0


def sign(secret: Mapping[str, str]) -> dict[str, str]:
    """Proves that the caller holds the app's secret, where one is given: HMAC-SHA256 over the access token, in hex."""
    if not secret.get("app_secret"):
        return {}
    proof = hmac.new(secret["app_secret"].encode(), secret["access_token"].encode(), hashlib.sha256)
    return {"appsecret_proof": proof.hexdigest()}


def read_edge(client: HttpClient, part: Part) -> Iterator[Row]:
    """Reads the campaigns, ad sets or ads of an account."""
    yield from _pages(client, part, part.path, part.params)


def _pages(client: HttpClient, part: Part, path: str, params: Mapping[str, str]) -> Iterator[Row]:
    """Reads page by page, with pages half as long from where the platform finds them too long."""
    limit = int(params["limit"])
    cursor = None
    while True:
        try:
            first = Ask(path, {**params, "limit": str(limit)})
            for page in client.pages(first, part.paging, part.rows, cursor):
                yield from page.rows
                cursor = page.next_cursor
        except TooMuchDataError:
            if limit == 1:
                raise
            limit //= 2
        else:
            return


def read_insights(client: HttpClient, part: Part) -> Iterator[Row]:
    """Has a report made and reads it; days that are too much for one report are split in two.

    A report without rows is asked for once more: the rows of its days would be deleted for it.
    """
    for _ in range(REPORT_TRIES):
        try:
            report = _report(client, part)
        except (TooMuchDataError, ReportFailedError):
            if part.since == part.until:
                raise
            for half in part.halves():
                yield from read_insights(client, half)
            return
        path = part.fill(f"/{{api_version}}/{quote(report, safe='')}/insights")
        rows = 0
        for row in _pages(client, part, path, {"limit": part.params["limit"]}):
            rows += 1
            yield row
        if rows:
            return


def _report(client: HttpClient, part: Part) -> str:
    """Has a report made and returns its id; ReportFailedError when it failed every time."""
    asked = {name: value for name, value in part.params.items() if name != "limit"}
    said = ""
    for _ in range(REPORT_TRIES):
        report = jmespath.search("report_run_id", client.post(part.path, asked))
        if not isinstance(report, str) or not report.isalnum():
            raise FatalSourceError(f"{client.name}: {part.path}: the answer has no `report_run_id`")
        state, said = _wait(client, part, report)
        if state == "done":
            return report
    raise ReportFailedError(
        f"{client.name}: the report on account {part.account} from {part.since} to {part.until} failed "
        f"{REPORT_TRIES} times: {said}"
    )


def _wait(client: HttpClient, part: Part, report: str) -> tuple[Literal["done", "failed"], str]:
    """Polls a report until it is made or given up; the text says why it was. An error that stays is raised."""
    path = part.fill(f"/{{api_version}}/{report}")
    pause = _FIRST_POLL_SECONDS
    deadline = client.clock() + REPORT_SECONDS
    while client.clock() < deadline:
        answer = client.get(path)
        status = jmespath.search("async_status", answer)
        # 100 percent is not the end: results are there at this status and not before.
        if status == "Job Completed":
            return "done", ""
        if status in {"Job Failed", "Job Skipped"}:
            return "failed", _why(client, status, answer)
        client.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)
    return "failed", f"not made within {REPORT_SECONDS} s"


def _why(client: HttpClient, status: str, answer: Mapping[str, Any]) -> str:
    code = answer.get("error_code")
    if not isinstance(code, int):
        return status
    error = error_of(code, answer.get("error_subcode"), str(answer.get("error_message", "")), transient=False)
    said = f"{client.name}: {status}: {client.auth.strike_out(str(error))}"
    if isinstance(error, TooMuchDataError):
        raise TooMuchDataError(said)
    if not isinstance(error, RetriableSourceError):
        raise FatalSourceError(said)
    return said


API = Api(
    classify=classify,
    usage=usage,
    sign=sign,
    readers={
        "campaigns": read_edge,
        "ad_sets": read_edge,
        "ads": read_edge,
        "ads_insights": read_insights,
        "ads_insights_demographics": read_insights,
        "ads_insights_countries": read_insights,
    },
)
