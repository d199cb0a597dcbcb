"""Frankfurter's exchange rates: v1 as it was frozen, and v2."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.faults import Rule
from local.simulators.worlds import UNSEEDED, WorldReader
from local.world import fx_rates
from local.world.dice import draw
from local.world.truth import NoWorldError, World

_CAP_DAYS = 5 * 366
_CAP_QUOTES = 5


class RatesError(Exception):
    """What Frankfurter refuses, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Frankfurter:
    """The API; every rate comes from the world."""

    source = "fx_rates"
    mount = "/fx"
    kinds: frozenset[str] = frozenset()

    def __init__(self, worlds: WorldReader) -> None:
        self._worlds = worlds

    def app(self) -> Starlette:
        """The ASGI app, to be mounted at the source's base path."""
        return Starlette(routes=[Route("/{path:path}", self._serve)])

    def refuse(self, rule: Rule) -> Response | None:
        """Words a refusal; the API has neither tokens nor documented throttling."""
        match rule.kind:
            case "status":
                return JSONResponse({"message": f"status {rule.status} as asked"}, rule.status)
            case "throttle":
                wait = {"Retry-After": str(round(rule.seconds))}
                return JSONResponse({"message": "too many requests"}, 429, wait)
            case _:
                return None

    def admin(self) -> list[Route]:
        """None: there is nothing to switch."""
        return []

    async def _serve(self, request: Request) -> Response:
        version, _, rest = request.path_params["path"].strip("/").partition("/")
        try:
            body = await run_in_threadpool(self._answer, version, rest, dict(request.query_params))
        except RatesError as error:
            extra = {"status": error.status} if version == "v2" else {}
            return JSONResponse({**extra, "message": str(error)}, error.status)
        except NoWorldError:
            return JSONResponse({"status": 503, "message": UNSEEDED}, 503)
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = {
            "ETag": f'W/"{hashlib.blake2b(content, digest_size=16).hexdigest()}"',
            "Cache-Control": "public, max-age=900",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="application/json")

    def _answer(self, version: str, rest: str, params: dict[str, str]) -> Any:
        if version == "v1":
            return _v1(self._worlds.world(), rest, params)
        if (version, rest) == ("v2", "rates"):
            return _v2(self._worlds.world(), params)
        raise RatesError(404, "not found")


def _v1(world: World, spec: str, params: Mapping[str, str]) -> dict[str, Any]:
    _refuse_unknown(params, {"base", "symbols", "amount"})
    base, symbols = params.get("base", "EUR").upper(), _codes(params.get("symbols"))
    try:
        amount = Decimal(params.get("amount", "1"))
    except ArithmeticError as error:
        raise RatesError(422, "invalid amount") from error
    shown = {"amount": float(amount), "base": base}
    if ".." in spec:
        first, _, last = spec.partition("..")
        since, until = _day(first), _day(last) if last else world.clock
        rates = {
            day.isoformat(): quotes
            for day in fx_rates.published_days(since, until, world.clock)
            if (quotes := _quotes(world, day, base, symbols, amount))
        }
        if not rates:
            raise RatesError(404, "not found")
        shown_until = until if last else date.fromisoformat(max(rates))
        return {**shown, "start_date": since.isoformat(), "end_date": shown_until.isoformat(), "rates": rates}
    day = _newest_day(world, world.clock if spec == "latest" else _day(spec))
    quotes = _quotes(world, day, base, symbols, amount)
    if not quotes:
        raise RatesError(404, "not found")
    return {**shown, "date": day.isoformat(), "rates": quotes}


def _v2(world: World, params: Mapping[str, str]) -> list[dict[str, Any]]:
    _refuse_unknown(params, {"base", "quotes", "providers", "date", "from", "to"})
    providers = _codes(params.get("providers"))
    if providers and providers != ("ECB",):
        raise RatesError(422, "invalid provider")
    base, asked = params.get("base", "EUR").upper(), _codes(params.get("quotes"))
    capped = bool(providers) and not 0 < len(asked) <= _CAP_QUOTES
    rows = []
    for day in _v2_days(world, params, capped):
        quotes = _quotes(world, day, base, asked, Decimal(1))
        if base in asked or not asked:
            quotes[base] = 1.0
        for quote, rate in sorted(quotes.items()):
            blended = rate if providers or quote == base else _blend(world, day, quote, rate)
            rows.append({"date": day.isoformat(), "base": base, "quote": quote, "rate": blended})
    if not rows:
        raise RatesError(404, "not found")
    return rows


def _v2_days(world: World, params: Mapping[str, str], capped: bool) -> list[date]:
    """Days to answer with; a range that begins between business days begins with the day carried into it."""
    if "date" in params and ("from" in params or "to" in params):
        raise RatesError(422, "date cannot be combined with from or to")
    if "to" in params and "from" not in params:
        raise RatesError(422, "to needs from")
    if "from" not in params:
        return [_newest_day(world, _day(params["date"]) if "date" in params else world.clock)]
    since, until = _day(params["from"]), _day(params["to"]) if "to" in params else world.clock
    if capped and (until - since).days > _CAP_DAYS:
        raise RatesError(422, "date range too long")
    days = fx_rates.published_days(since, until, world.clock)
    return days if days and days[0] == since else [_newest_day(world, since), *days]


def _blend(world: World, day: date, quote: str, rate: float) -> float:
    """A little off the ECB's rate: without a provider the answer mixes many central banks."""
    return float(f"{rate * (1 + (draw(21, world.seed, 'blend', day, quote) - 10) / 20_000):.6g}")


def _quotes(world: World, day: date, base: str, symbols: tuple[str, ...], amount: Decimal) -> dict[str, float]:
    """Rates of a day by currency, in alphabetical order; another base than the euro costs digits."""
    euro = {"EUR": Decimal(1), **fx_rates.rates_on(day, world.clock, world.seed)}
    if base not in euro:
        raise RatesError(404, "not found")
    return {
        quote: float(rate * amount) if base == "EUR" else float(f"{rate * amount / euro[base]:.5g}")
        for quote, rate in sorted(euro.items())
        if quote != base and (not symbols or quote in symbols)
    }


def _newest_day(world: World, day: date) -> date:
    """The newest business day with a rate, not after `day`."""
    days = fx_rates.published_days(min(day, world.clock) - timedelta(days=14), day, world.clock)
    if not days:
        raise RatesError(404, "not found")
    return days[-1]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise RatesError(422, "invalid date") from error


def _codes(text: str | None) -> tuple[str, ...]:
    return tuple(code.strip().upper() for code in (text or "").split(",") if code.strip())


def _refuse_unknown(params: Mapping[str, str], known: set[str]) -> None:
    for name in params:
        if name not in known:
            raise RatesError(422, f"unknown parameter: {name}")
