"""The query API of a local stack: where it is, and the keys of its consumers."""

from __future__ import annotations

from collections.abc import Mapping

import boto3

from headwater.config.environment import QueryApi
from headwater.deploy.deployment import Deployment


def address(endpoint: str, deployment: Deployment) -> str | None:
    """The address of the API at the gateway's endpoint; None before it is deployed."""
    session = boto3.Session("local", "local", region_name=deployment.project.environment.region)
    apis = session.client("apigatewayv2", endpoint_url=endpoint).get_apis()["Items"]
    [found] = [api["ApiId"] for api in apis if api["Name"] == deployment.entrances.query_api] or [None]
    return found and f"{endpoint}/_aws/execute-api/{found}/queries"


def keys(deployment: Deployment) -> dict[str, Mapping[str, str]]:
    """The secret that holds a key for each consumer, by its name; none where there is no API."""
    api = deployment.project.environment.query_api
    if api is None or deployment.entrances.query_secret is None:
        return {}
    return {QueryApi.secret: {name: f"local-key-of-{name}" for name in api.consumers}}
