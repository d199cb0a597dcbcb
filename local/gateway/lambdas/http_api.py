"""HTTP APIs of API Gateway: a request finds its route, and the route's Lambda function answers it (payload format 2.0).

An API is reached under `/_aws/execute-api/<api id>/<path>` of the gateway, as with LocalStack, or by its own host name,
`<api id>.execute-api.<anything>`.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.apigatewayv2.models import Api, Integration, Route, apigatewayv2_backends
from moto.awslambda.models import LambdaFunction, lambda_backends

from local.gateway.http_server import Environ, StartResponse
from local.gateway.lambdas.runtime import LambdaRuntime
from local.gateway.settings import GatewaySettings

PATH = "/_aws/execute-api/"
_HOST = re.compile(r"^([a-z0-9]+)\.execute-api\.")
_LARGEST_BODY = 10 * 1024 * 1024
_TEXT = re.compile(r"^(text/|application/(json|javascript|xml|x-www-form-urlencoded)|[^;]*\+(json|xml))", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What goes back to the caller."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of_gateway(cls, status: int, message: str) -> Answer:
        """An answer of API Gateway's own."""
        return cls(status, {"content-type": "application/json"}, json.dumps({"message": message}).encode())


class HttpApis:
    """Every HTTP API's front door."""

    def __init__(self, settings: GatewaySettings, runtime: LambdaRuntime) -> None:
        self._settings = settings
        self._runtime = runtime

    def takes(self, environ: Environ) -> bool:
        """True when a request is for an HTTP API."""
        return environ["PATH_INFO"].startswith(PATH) or _HOST.match(environ.get("HTTP_HOST", "")) is not None

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        found = self._answer(environ)
        headers = [*found.headers.items(), ("apigw-requestid", uuid.uuid4().hex[:15])]
        start_response(f"{found.status} {HTTPStatus(found.status).phrase}", headers)
        return [found.body]

    def _answer(self, environ: Environ) -> Answer:
        api_id, path = _place(environ)
        api = apigatewayv2_backends[self._settings.account_id][self._settings.region].apis.get(api_id)
        if api is None or not api.stages:
            return Answer.of_gateway(404, "Not Found")
        stage, path = _stage(api, path)
        body = environ["wsgi.input"].read()
        if len(body) > _LARGEST_BODY:
            return Answer.of_gateway(413, "Request Entity Too Large")
        match = match_route(list(api.routes.values()), environ["REQUEST_METHOD"], path)
        if match is None:
            return Answer.of_gateway(404, "Not Found")
        route, parameters = match
        function = self._function(api, route)
        if function is None:
            return Answer.of_gateway(500, "Internal Server Error")
        event = self._event(environ, api, stage, path, route, parameters, body)
        payload, failed, _ = self._runtime.invoke(function, event)
        if failed:
            timed_out = json.loads(payload)["errorType"] == "Sandbox.Timedout"
            return Answer.of_gateway(503, "Service Unavailable") if timed_out else _broken()
        return _rendered(payload)

    def _function(self, api: Api, route: Route) -> LambdaFunction | None:
        integration: Integration | None = api.integrations.get(str(route.target).rpartition("/")[2])
        if integration is None:
            return None
        # Either the function's ARN or the ARN of its invocation.
        arn = integration.integration_uri
        arn = arn.partition("/functions/")[2].removesuffix("/invocations") or arn
        return lambda_backends[self._settings.account_id][self._settings.region]._lambdas.get_arn(arn)

    def _event(
        self,
        environ: Environ,
        api: Api,
        stage: str,
        path: str,
        route: Route,
        parameters: dict[str, str],
        body: bytes,
    ) -> dict[str, Any]:
        now = datetime.now(UTC)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or (name in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value)
        }
        query = {name: ",".join(values) for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": route.route_key,
            "rawPath": path,
            "rawQueryString": environ["QUERY_STRING"],
            "headers": headers,
            "requestContext": {
                "accountId": self._settings.account_id,
                "apiId": api.api_id,
                "domainName": f"{api.api_id}.execute-api.{self._settings.region}.amazonaws.com",
                "domainPrefix": api.api_id,
                "http": {
                    "method": environ["REQUEST_METHOD"],
                    "path": path,
                    "protocol": environ["SERVER_PROTOCOL"],
                    "sourceIp": environ["REMOTE_ADDR"],
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": uuid.uuid4().hex[:15],
                "routeKey": route.route_key,
                "stage": stage,
                "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "timeEpoch": int(now.timestamp() * 1000),
            },
            "isBase64Encoded": False,
        }
        if query:
            event["queryStringParameters"] = query
        if parameters:
            event["pathParameters"] = parameters
        if body:
            event["body"], event["isBase64Encoded"] = _body(body, headers.get("content-type", ""))
        return event


def _place(environ: Environ) -> tuple[str, str]:
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
    if path.startswith(PATH):
        api_id, _, rest = path.removeprefix(PATH).partition("/")
        return api_id, f"/{rest}"
    host = _HOST.match(environ.get("HTTP_HOST", ""))
    return (host[1] if host else ""), path


def _stage(api: Api, path: str) -> tuple[str, str]:
    first, _, rest = path.removeprefix("/").partition("/")
    return (first, f"/{rest}") if first in api.stages else ("$default", path)


def match_route(routes: list[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Finds the most specific route of a request, and its path parameters."""
    found: list[tuple[tuple[int, bool], Route, dict[str, str]]] = []
    for route in routes:
        key = str(route.route_key)
        if key == "$default":
            found.append(((3, False), route, {}))
            continue
        wanted, _, pattern = key.partition(" ")
        if wanted not in {"ANY", method}:
            continue
        greedy = "+}" in pattern
        expression = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(pattern))
        expression = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", expression)
        match = re.fullmatch(expression, path)
        if match:
            parameters = {name: unquote(value) for name, value in match.groupdict().items()}
            rank = (2 if greedy else 1 if parameters else 0, wanted == "ANY")
            found.append((rank, route, parameters))
    if not found:
        return None
    _, route, parameters = min(found, key=lambda each: each[0])
    return route, parameters


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    if _TEXT.match(content_type):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _broken() -> Answer:
    return Answer.of_gateway(500, "Internal Server Error")


def _rendered(payload: bytes) -> Answer:
    """Reads a function's answer: with a status code as it says, else its JSON with 200."""
    answer = json.loads(payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Answer(200, {"content-type": "application/json"}, payload)
    text = answer.get("body") or ""
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    headers = {"content-type": "text/plain;charset=UTF-8"}
    headers |= {str(name).lower(): str(value) for name, value in (answer.get("headers") or {}).items()}
    return Answer(int(answer["statusCode"]), headers, body)
