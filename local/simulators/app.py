"""One ASGI app with every simulated source under its own path, and the admin endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from local.simulators.clevertap import CleverTap
from local.simulators.facebook.api import Facebook
from local.simulators.facebook.graph import Limits, Tokens
from local.simulators.faults import ANY_SOURCE_KINDS, FaultRules, FaultyApp, Rule, Simulator
from local.simulators.fx_rates import Frankfurter
from local.simulators.google.api import GoogleAds
from local.simulators.hubspot.api import HubSpot
from local.simulators.registry import SchemaRegistry
from local.simulators.worlds import WorldReader
from local.simulators.zendesk import Zendesk

M = TypeVar("M", bound=BaseModel)


def build_app(dsn: str, state: Path) -> Starlette:
    """`dsn` is the seeded database; `state` a folder for what outlives a restart (tokens, limits, reports)."""
    worlds = WorldReader(dsn)
    faults = FaultRules()
    facebook = Facebook(worlds, state)
    simulators: list[Simulator] = [
        facebook,
        Frankfurter(worlds),
        GoogleAds(worlds, state),
        HubSpot(worlds, state),
        CleverTap(worlds),
        Zendesk(worlds),
        SchemaRegistry(state),
    ]
    admin = _Admin(faults, simulators, facebook)
    mounts = [Mount(simulator.mount, FaultyApp(simulator, faults)) for simulator in simulators]
    switches = [Mount(f"/{simulator.source}", routes=simulator.admin()) for simulator in simulators]
    return Starlette(routes=[*mounts, Mount("/_admin", routes=[*admin.routes(), *switches])])


class _Admin:
    """Changes how the sources behave, and lists what they were asked."""

    def __init__(self, faults: FaultRules, simulators: Sequence[Simulator], facebook: Facebook) -> None:
        self._faults = faults
        self._kinds = {simulator.source: ANY_SOURCE_KINDS | simulator.kinds for simulator in simulators}
        self._facebook = facebook

    def routes(self) -> list[Route]:
        return [
            Route("/misbehave", self._rules, methods=["GET", "POST", "DELETE"]),
            Route("/requests", self._requests, methods=["GET", "DELETE"]),
            Route("/tokens", self._tokens, methods=["GET", "POST"]),
            Route("/limits", self._limits, methods=["GET", "POST"]),
        ]

    async def _rules(self, request: Request) -> JSONResponse:
        """POST adds a rule, GET lists them, DELETE ends them all."""
        if request.method == "POST":
            return await _changed(request, Rule, self._add_rule)
        if request.method == "DELETE":
            self._faults.clear()
        return JSONResponse({"rules": self._faults.rules()})

    async def _requests(self, request: Request) -> JSONResponse:
        """GET lists requests, of one `source` if asked so; DELETE forgets them."""
        if request.method == "DELETE":
            self._faults.forget()
        source = request.query_params.get("source")
        found = [entry for entry in self._faults.requests() if source in (None, entry["source"])]
        return JSONResponse({"requests": found})

    async def _tokens(self, request: Request) -> JSONResponse:
        """POST replaces what it names and leaves the rest; GET shows no secret."""
        if request.method == "POST":
            return await _changed(request, Tokens, self._set_tokens)
        tokens = self._facebook.kept.state.tokens
        return JSONResponse(
            {"access_tokens": len(tokens.access_tokens), "require_appsecret_proof": tokens.require_appsecret_proof}
        )

    async def _limits(self, request: Request) -> JSONResponse:
        """POST replaces what it names, leaves the rest, and resets the count of calls."""
        if request.method == "POST":
            return await _changed(request, Limits, self._set_limits)
        return JSONResponse(self._facebook.kept.state.limits.model_dump())

    def _add_rule(self, rule: Rule) -> dict[str, Any]:
        known = self._kinds.get(rule.source)
        if known is None:
            raise ValueError(f"source {rule.source!r} is not simulated; valid: {sorted(self._kinds)}")
        if rule.kind not in known:
            raise ValueError(f"{rule.kind} means nothing to {rule.source}; valid: {sorted(known)}")
        return {"id": self._faults.add(rule)}

    def _set_tokens(self, tokens: Tokens) -> dict[str, Any]:
        with self._facebook.kept.lock:
            state = self._facebook.kept.state
            state.tokens = state.tokens.model_copy(update=_named(tokens))
            self._facebook.kept.save()
        return {"changed": sorted(tokens.model_fields_set)}

    def _set_limits(self, limits: Limits) -> dict[str, Any]:
        with self._facebook.kept.lock:
            state = self._facebook.kept.state
            state.limits = state.limits.model_copy(update=_named(limits))
            self._facebook.kept.save()
        self._facebook.meter.reset()
        return {"changed": sorted(limits.model_fields_set)}


async def _changed(request: Request, model: type[M], change: Callable[[M], dict[str, Any]]) -> JSONResponse:
    """Applies a JSON body to the model; 422 says what is wrong with it."""
    try:
        return JSONResponse(change(model.model_validate_json(await request.body())))
    except ValidationError as error:
        return JSONResponse({"errors": error.errors(include_context=False, include_input=False)}, 422)
    except ValueError as error:
        return JSONResponse({"errors": [{"msg": str(error)}]}, 422)


def _named(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}
