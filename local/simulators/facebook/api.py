"""The Marketing API of Meta for the shop's two ad accounts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.facebook import insights
from local.simulators.facebook.graph import GraphError, GraphState, Meter, Report, page
from local.simulators.facebook.objects import (
    ACCOUNT_FIELDS,
    AD_FIELDS,
    AD_SET_FIELDS,
    CAMPAIGN_FIELDS,
    account_row,
    ad_row,
    ad_set_row,
    campaign_row,
    chosen,
    fields_of,
    wanted,
)
from local.simulators.faults import Rule
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world import facebook_ads
from local.world.dice import draw
from local.world.truth import NoWorldError

VERSIONS = range(22, 27)
"""Versions of the API that are still served."""


_COMMON = frozenset({"access_token", "appsecret_proof", "fields", "limit", "after"})


_FIRST_REPORT = 6_100_000_000_000
# What becomes of a report that was asked for under a fault: it is not made, or is and cannot be read, or has no rows.
_OUTCOMES = {"report_failed": "failed", "report_skipped": "skipped", "report_lost": "lost", "report_empty": "empty"}


_REPORTS_IN_MEMORY = 8


class Call(NamedTuple):
    """One authenticated request."""

    method: str
    path: str
    url: str
    """Without the query; what `next` links are made of."""
    params: Mapping[str, str]
    """From the query and the form together, without credentials."""
    token: str
    fault: str | None
    foreign_host: str | None


class Facebook:
    """The API; state (tokens, limits, reports) lives in `folder`, everything else in the world."""

    source = "facebook_ads"
    mount = "/facebook"
    kinds = frozenset(
        {
            "cursor_loop",
            "duplicate_page",
            "empty_page",
            "foreign_next",
            "expire_token",
            "revoke",
            "report_failed",
            "report_skipped",
            "report_late",
            "report_lost",
            "report_empty",
        }
    )

    def __init__(self, worlds: WorldReader, folder: Path) -> None:
        self.kept = GraphState(folder)
        self.meter = Meter()
        self._rows: dict[int, list[dict[str, Any]]] = {}
        self._worlds = worlds

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal as the Graph API does."""
        match rule.kind:
            case "status":
                transient = rule.status >= 500
                message = "An unknown error has occurred." if transient else "Unsupported request."
                code = 1 if transient else 100
                return GraphError(code, message, status=rule.status, is_transient=transient).response()
            case "throttle":
                return GraphError.throttled(rule.code or 80000, "fault", rule.seconds).response()
            case "expire_token":
                return GraphError.expired().response()
            case "revoke":
                said = "Error validating access token: The user has not authorized application."
                return GraphError(190, said, 458).response()
            case _:
                return None

    def admin(self) -> list[Route]:
        """None: /_admin/tokens and /_admin/limits are this source's."""
        return []

    async def _serve(self, request: Request) -> Response:
        params = dict(parse_qsl(request.url.query, keep_blank_values=True))
        if request.method == "POST":
            params |= _form(await request.body())
        try:
            return await run_in_threadpool(self._answer, request, params)
        except GraphError as error:
            return error.response()
        except NoWorldError:
            return GraphError(
                2, f"Service temporarily unavailable: {UNSEEDED}", status=503, is_transient=True
            ).response()

    def _answer(self, request: Request, params: dict[str, str]) -> Response:
        path = request.path_params["path"].strip("/")
        version, _, rest = path.partition("/")
        if not re.fullmatch(r"v\d+\.\d", version):
            version, rest = "", path
        if rest == "oauth/access_token":
            return self._exchange(params)
        if not version:
            raise GraphError(2500, f"Unknown path components: /{path}")
        if int(version[1:].split(".")[0]) not in VERSIONS:
            message = (
                f"You are calling a deprecated version of the Ads API. Please update to the latest: v{VERSIONS[-1]}.0."
            )
            raise GraphError(2635, message)
        with self.kept.lock:
            token = self.kept.state.tokens.check(
                _bearer(request) or params.get("access_token"), params.get("appsecret_proof")
            )
        rule = request.scope.get("fault")
        call = Call(
            method=request.method,
            path=rest,
            url=str(request.url.replace(query="")),
            params={key: value for key, value in params.items() if key not in ("access_token", "appsecret_proof")},
            token=token,
            fault=rule.kind if rule else None,
            foreign_host=rule.host if rule else None,
        )
        body, headers = self._route(call)
        return JSONResponse(body, headers=headers)

    def _exchange(self, params: Mapping[str, str]) -> Response:
        with self.kept.lock:
            answer = self.kept.state.tokens.exchange(params)
            self.kept.save()
        return JSONResponse(answer)

    def _route(self, call: Call) -> tuple[Any, dict[str, str]]:
        if call.path == "me/adaccounts":
            return self._accounts(call)
        if match := re.fullmatch(r"act_(\d+)(?:/(\w+))?", call.path):
            account = _account(match[1], call.path)
            edges: dict[str | None, Callable[[Call, facebook_ads.Account], tuple[Any, dict[str, str]]]] = {
                None: self._account,
                "campaigns": self._campaigns,
                "adsets": self._ad_sets,
                "ads": self._ads,
                "insights": self._insights,
            }
            if match[2] in edges and (call.method == "GET" or match[2] == "insights"):
                return edges[match[2]](call, account)
        if call.method == "GET" and (match := re.fullmatch(r"(\d+)(/insights)?", call.path)):
            report = self._report(int(match[1]), call.path)
            return self._results(call, report) if match[2] else self._poll(call, report)
        raise _no_such_object(call.path)

    def _accounts(self, call: Call) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, _COMMON)
        fields = fields_of(call.params, ACCOUNT_FIELDS)
        rows = [chosen(account_row(account), fields) for account in facebook_ads.ACCOUNTS]
        return self._page(call, rows, "me", "ads_management")

    def _account(self, call: Call, account: facebook_ads.Account) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, frozenset({"fields"}))
        fields = fields_of(call.params, ACCOUNT_FIELDS)
        return chosen(account_row(account), fields), self._count(account, "ads_management")

    def _campaigns(self, call: Call, account: facebook_ads.Account) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, _COMMON | {"filtering", "effective_status"})
        fields = fields_of(call.params, CAMPAIGN_FIELDS)
        rows = [
            chosen(campaign_row(campaign, account), fields)
            for campaign in self._worlds.ads().campaigns
            if campaign.account_id == account.account_id and wanted(campaign, "campaign", call.params)
        ]
        return self._page(call, rows, str(account.account_id), "ads_management")

    def _ad_sets(self, call: Call, account: facebook_ads.Account) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, _COMMON | {"filtering", "effective_status", "updated_since"})
        fields = fields_of(call.params, AD_SET_FIELDS)
        rows = [
            chosen(ad_set_row(ad_set, account), fields)
            for ad_set in self._worlds.ads().ad_sets
            if ad_set.account_id == account.account_id and wanted(ad_set, "adset", call.params)
        ]
        return self._page(call, rows, str(account.account_id), "ads_management")

    def _ads(self, call: Call, account: facebook_ads.Account) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, _COMMON | {"filtering", "effective_status"})
        fields = fields_of(call.params, AD_FIELDS)
        rows = [
            chosen(ad_row(ad, account), fields)
            for ad in self._worlds.ads().ads
            if ad.account_id == account.account_id and wanted(ad, "ad", call.params)
        ]
        return self._page(call, rows, str(account.account_id), "ads_management")

    def _insights(self, call: Call, account: facebook_ads.Account) -> tuple[Any, dict[str, str]]:
        """GET answers small ranges at once; POST starts a report."""
        paging = frozenset({"limit", "after"}) if call.method == "GET" else frozenset()
        _refuse_unknown(call.params, insights.PARAMETERS | paging)
        world = self._worlds.ads()
        query = insights.parse(call.params, world.clock)
        old_reach = insights.asks_old_reach(query, world.clock)
        if call.method == "POST":
            headers, tells_reach = self._count(account, "ads_insights"), True
            if old_reach:
                tells_reach, told = self.meter.tell_old_reach(str(account.account_id), self.kept.state.limits)
                headers |= told
            report = self._start(call, account, world.clock, query.days, tells_reach=tells_reach)
            return {"report_run_id": str(report)}, headers
        if query.days > self.kept.state.limits.synchronous_days:
            raise GraphError.range_too_big()
        if old_reach:
            query = insights.without_reach(query)
        return self._page(call, insights.answer(query, account, world), str(account.account_id), "ads_insights")

    def _start(self, call: Call, account: facebook_ads.Account, clock: date, days: int, *, tells_reach: bool) -> int:
        with self.kept.lock:
            number = _FIRST_REPORT + len(self.kept.state.reports)
            usual = "completed" if days <= self.kept.state.limits.report_days else "stuck"
            outcome = _OUTCOMES.get(call.fault or "", usual)
            late = 2 if call.fault == "report_late" else int(draw(5, "late report", number) == 0)
            self.kept.state.reports[number] = Report(
                report_run_id=number,
                account_id=account.account_id,
                params=dict(call.params),
                clock=clock.isoformat(),
                created_at=time.time(),
                outcome=outcome,
                tells_reach=tells_reach,
                late_answers=late,
            )
            self.kept.save()
            return number

    def _report(self, number: int, path: str) -> Report:
        with self.kept.lock:
            report = self.kept.state.reports.get(number)
        if report is None:
            raise _no_such_object(path)
        return report

    def _poll(self, call: Call, report: Report) -> tuple[Any, dict[str, str]]:
        """Each poll brings the job further; it shows 100 percent before it is completed."""
        _refuse_unknown(call.params, frozenset({"fields"}))
        headers = self._count(_account(str(report.account_id), call.path), "ads_insights")
        with self.kept.lock:
            report.polls += 1
            self.kept.save()
        time_range = json.loads(report.params["time_range"])
        body: dict[str, Any] = {
            "id": str(report.report_run_id),
            "account_id": str(report.account_id),
            "time_ref": int(report.created_at),
            "date_start": time_range["since"],
            "date_stop": time_range["until"],
            "async_status": _async_status(report, self.kept.state.limits.report_polls),
        }
        body["async_percent_completion"] = {"Job Not Started": 0, "Job Started": 20, "Job Failed": 60}.get(
            body["async_status"], 100
        )
        if body["async_status"] == "Job Failed":
            body |= {
                "error_code": 2,
                "error_subcode": 1504044,
                "error_message": "An unexpected error has occurred. Please retry your request later.",
                "error_user_title": "Report failed",
                "error_user_msg": "The report could not be made. Please try again.",
            }
        return body, headers

    def _results(self, call: Call, report: Report) -> tuple[Any, dict[str, str]]:
        _refuse_unknown(call.params, frozenset({"limit", "after"}))
        account = _account(str(report.account_id), call.path)
        with self.kept.lock:
            completed = _async_status(report, self.kept.state.limits.report_polls) == "Job Completed"
            if completed and report.late_answers:
                report.late_answers -= 1
                self.kept.save()
                completed = False
        if not completed:
            message = "Error accessing adreport job: the results are not available yet"
            raise GraphError(2637, message, 1815107, is_transient=True)
        if report.outcome == "lost":
            raise GraphError(2601, "Error accessing adreport job.", 1815107, is_transient=True)
        if report.outcome == "empty":
            return self._page(call, [], str(account.account_id), "ads_insights")
        return self._page(call, self._rows_of(report, account), str(account.account_id), "ads_insights")

    def _rows_of(self, report: Report, account: facebook_ads.Account) -> list[dict[str, Any]]:
        """What was true when the report was asked for."""
        with self.kept.lock:
            if report.report_run_id not in self._rows:
                world = replace(self._worlds.ads(), clock=date.fromisoformat(report.clock))
                query = insights.parse(report.params, world.clock)
                if not report.tells_reach:
                    query = insights.without_reach(query)
                while len(self._rows) >= _REPORTS_IN_MEMORY:
                    self._rows.pop(next(iter(self._rows)))
                self._rows[report.report_run_id] = insights.answer(query, account, world)
            return self._rows[report.report_run_id]

    def _page(
        self, call: Call, rows: list[dict[str, Any]], account: str, kind: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        limits = self.kept.state.limits
        headers = self.meter.count(account, limits, kind)
        body = page(
            rows,
            call.params,
            url=call.url,
            token=call.token,
            longest=limits.page_rows,
            fault=call.fault,
            foreign_host=call.foreign_host,
        )
        return body, headers

    def _count(self, account: facebook_ads.Account, kind: str) -> dict[str, str]:
        return self.meter.count(str(account.account_id), self.kept.state.limits, kind)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _form(body: bytes) -> dict[str, str]:
    """Parameters of a POST: a form, or a JSON object whose values need not be text."""
    text = body.decode()
    if not text.lstrip().startswith("{"):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        values = json.loads(text)
    except ValueError as error:
        raise GraphError(100, "The body is neither a form nor JSON") from error
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _account(number: str, path: str) -> facebook_ads.Account:
    for account in facebook_ads.ACCOUNTS:
        if str(account.account_id) == number:
            return account
    raise _no_such_object(path)


def _no_such_object(path: str) -> GraphError:
    number, _, _ = path.partition("/")
    return GraphError(
        100,
        f"Unsupported request. Object with ID '{number}' does not exist, cannot be loaded due to missing"
        " permissions, or does not support this operation",
        33,
    )


def _refuse_unknown(params: Mapping[str, str], known: frozenset[str]) -> None:
    for name in params:
        if name not in known:
            raise GraphError(100, f"Invalid parameter: {name}")


def _async_status(report: Report, polls_needed: int) -> str:
    if report.polls >= polls_needed and report.outcome != "stuck":
        return {"failed": "Job Failed", "skipped": "Job Skipped"}.get(report.outcome, "Job Completed")
    if report.polls <= 1:
        return "Job Not Started"
    return "Job Running" if report.polls >= polls_needed - 1 else "Job Started"
