"""What each AWS call asks of IAM, action by action, and which kinds of call were made, so that a test can hold roles to what is used.

Calls are noted once, and names that grow with the data are not told apart, so a long life needs no more memory than a short one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from moto.athena.models import athena_backends
from moto.core.responses import BaseResponse
from moto.iam.models import iam_backends
from moto.s3.responses import S3Response
from moto.secretsmanager.models import secretsmanager_backends

from local.gateway.redshift.identities import identity
from local.gateway.settings import GatewaySettings

# What IAM calls otherwise than moto does.
_IAM_NAMES = {
    "s3:HeadBucket": "s3:ListBucket",
    "lambda:Invoke": "lambda:InvokeFunction",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:UpdateBudget": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
}
# Services that IAM calls otherwise than requests are signed for.
_IAM_SERVICES = {"monitoring": "cloudwatch"}

_JOB = ("JobName", "glue:{place}:job/{name}")
_CRAWLER = ("Name", "glue:{place}:crawler/{name}")
_WORKGROUP = ("WorkgroupName", "redshift-serverless:{place}:workgroup/{workgroup}")
_FUNCTION = ("FunctionName", "lambda:{place}:function:{name}")
_MACHINE = ("stateMachineArn", "states:{place}:stateMachine:{name}")
_RESOURCES = {
    "athena:GetWorkGroup": ("WorkGroup", "athena:{place}:workgroup/{name}"),
    "athena:StartQueryExecution": ("WorkGroup", "athena:{place}:workgroup/{name}"),
    "glue:BatchStopJobRun": _JOB,
    "glue:GetCrawler": _CRAWLER,
    "glue:GetJobRun": _JOB,
    "glue:GetJobRuns": _JOB,
    "glue:StartCrawler": _CRAWLER,
    "glue:StartJobRun": _JOB,
    "glue:UpdateCrawler": _CRAWLER,
    "lambda:GetFunction": _FUNCTION,
    "lambda:GetFunctionConfiguration": _FUNCTION,
    "lambda:InvokeFunction": _FUNCTION,
    "redshift-data:BatchExecuteStatement": _WORKGROUP,
    "redshift-data:ExecuteStatement": _WORKGROUP,
    "sns:Publish": ("TopicArn", "sns:{place}:{name}"),
    "states:DescribeExecution": ("executionArn", "states:{place}:execution:{name}"),
    "states:ListExecutions": _MACHINE,
    "states:StartExecution": _MACHINE,
}
"""Where a request names its resource, and the ARN of what it names; a call that is not here nor below is one on `*`."""

_SECRETS = {"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"}
_QUERIES = {"athena:GetQueryExecution", "athena:GetQueryResults", "athena:StopQueryExecution"}
_CATALOG = {
    "glue:GetDatabase",
    "glue:GetTable",
    "glue:GetTables",
    "glue:GetPartitions",
    "glue:CreateTable",
    "glue:UpdateTable",
}

_COUNTED = re.compile(r"(\.?)[^/]*?(?:\d{4}|[0-9a-f]{8})[^/]*?(\.[a-z]+)?(?=/|$)")


OWN_ID = "own"
"""What stands for the unique id of whoever calls, in what is noted."""


class Asked(NamedTuple):
    """One thing that a request asks to be allowed; `told` is what it tells about it, by condition key."""

    action: str
    resource: str
    told: Mapping[str, tuple[str, ...]] = {}


class Call(NamedTuple):
    """One kind of call; `prefix` is that of a listing, as the request gave it, and `told` what else was told, by condition key."""

    principal: str
    action: str
    resource: str
    prefix: str | None = None
    told: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, principal: str, userid: str, asked: Asked) -> Call:
        """Makes a record of what was asked for; its own unique id is the same for every session."""
        told = {
            key: tuple(OWN_ID if value == userid else value for value in values) for key, values in asked.told.items()
        }
        [prefix] = told.pop("s3:prefix", (None,))
        is_s3 = asked.resource.startswith("arn:aws:s3:::")
        return cls(
            principal,
            asked.action,
            _without_counts(asked.resource) if is_s3 else asked.resource.replace("log-stream:any", "log-stream:#"),
            None if prefix is None else _without_counts(prefix),
            tuple(sorted((key, value) for key, values in told.items() for value in values)),
        )


class Calls:
    """Every kind of call that was made."""

    def __init__(self) -> None:
        self._seen: set[Call] = set()

    def note(self, call: Call) -> None:
        """Remembers a call."""
        self._seen.add(call)

    def describe(self) -> list[dict[str, Any]]:
        """Lists what was called."""
        return [
            call._asdict()
            for call in sorted(self._seen.copy(), key=lambda call: (*call[:3], call.prefix or "", call.told))
        ]

    def forget(self) -> None:
        """Forgets every call."""
        self._seen = set()


def _without_counts(path: str) -> str:
    # Batches, attempts, days and data files come and go; their folder and kind are enough.
    _, slash, key = path.rpartition(":::")[2].partition("/")
    head = path[: len(path) - len(slash + key)] if path.startswith("arn:") else ""
    return head + slash + _COUNTED.sub(r"\1#\2", key) if head else _COUNTED.sub(r"\1#\2", path)


def asked_of(settings: GatewaySettings, response: BaseResponse, service: str, resource: str) -> Iterator[Asked]:
    """Lists what a request asks for; `resource` is the ARN that moto knows, or `*`."""
    action = f"{_IAM_SERVICES.get(service, service)}:{response._get_action()}"
    action = _IAM_NAMES.get(action, action)
    if service == "apigateway":
        # IAM knows the API's methods only.
        action = f"apigateway:{response.method}"
    place = f"{settings.region}:{settings.account_id}"
    if isinstance(response, S3Response):
        yield from _of_s3(response, action, resource)
    elif service == "iam":
        yield _of_iam(settings, response, action)
    elif action == "scheduler:GetSchedule":
        group = response._get_param("groupName") or "default"
        yield Asked(action, f"arn:aws:scheduler:{place}:schedule/{group}/{response._get_param('Name')}")
    elif action in _SECRETS:
        yield Asked(action, _secret_arn(settings, str(response._get_param("SecretId"))))
    elif action in _QUERIES:
        found = athena_backends[settings.account_id][settings.region].executions.get(
            response._get_param("QueryExecutionId")
        )
        yield Asked(action, f"arn:aws:athena:{place}:workgroup/{found.workgroup}" if found else "*")
    elif action in _CATALOG:
        yield from (Asked(action, f"arn:aws:glue:{place}:{part}") for part in _catalog_parts(response))
    elif action in _RESOURCES:
        parameter, form = _RESOURCES[action]
        name = str(response._get_param(parameter))
        arn = (
            name
            if name.startswith("arn:")
            else "arn:aws:" + form.format(place=place, name=name, workgroup=identity("workgroup", name))
        )
        yield Asked(action, arn)
        if action.startswith("redshift-data:"):
            # The Data API logs in by the secret that the request names, or as whoever asks.
            secret = response._get_param("SecretArn")
            login = ("secretsmanager:GetSecretValue", secret) if secret else ("redshift-serverless:GetCredentials", arn)
            yield Asked(*login)
    else:
        yield Asked(action, resource)


def _of_iam(settings: GatewaySettings, response: BaseResponse, action: str) -> Asked:
    name, boundary = response._get_param("RoleName"), response._get_param("PermissionsBoundary")
    if name is None:
        return Asked(action, str(response._get_param("PolicyArn") or "*"))
    role = iam_backends[settings.account_id]["aws"].roles.get(str(name))
    arn = role.arn if role else f"arn:aws:iam::{settings.account_id}:role/{name}"
    # Of a role that is there, its own boundary is told.
    told = boundary or (role.permissions_boundary_arn if role else None)
    return Asked(action, arn, {"iam:PermissionsBoundary": (told,)} if told else {})


def _secret_arn(settings: GatewaySettings, name: str) -> str:
    if name.startswith("arn:"):
        return name
    secrets = secretsmanager_backends[settings.account_id][settings.region].secrets
    found = secrets.get(name) if name in secrets else None
    # Secrets Manager adds six characters to the name.
    return (
        str(found.arn)
        if found
        else f"arn:aws:secretsmanager:{settings.region}:{settings.account_id}:secret:{name}-000000"
    )


def _catalog_parts(response: BaseResponse) -> Iterator[str]:
    # Glue asks for the catalog, the database and the table, each of which must be allowed.
    yield "catalog"
    given = response._get_param("TableInput") or {}
    database = response._get_param("DatabaseName") or response._get_param("Name")
    yield f"database/{database}"
    table = given.get("Name") or response._get_param("TableName") or response._get_param("Name")
    if response._get_param("DatabaseName"):
        yield f"table/{database}/{table or '*'}"


def _of_s3(response: S3Response, action: str, arn: str) -> Iterator[Asked]:
    bucket, slash, key = arn.partition("/")
    if action == "s3:DeleteObject" and not slash:
        for found in re.findall(r"<Key>(.*?)</Key>", response.body.decode(), re.DOTALL):
            yield Asked(action, f"{bucket}/{html.unescape(found)}")
        return
    yield Asked(action, arn, _told_s3(response, action))
    if source := response.headers.get("x-amz-copy-source"):
        path = unquote(source).partition("?")[0].lstrip("/")
        yield Asked("s3:GetObject", f"{bucket.rpartition(':')[0]}:{path}")
    if action == "s3:GetObject" and not _exists(response, bucket, key):
        # S3 says "not found" only to those who may list the bucket, and "denied" to others.
        yield Asked("s3:ListBucket", bucket)


def _told_s3(response: S3Response, action: str) -> Mapping[str, tuple[str, ...]]:
    prefix = response.querystring.get("prefix") if action == "s3:ListBucket" else None
    acl = response.headers.get("x-amz-acl")
    return ({"s3:prefix": (prefix[0],)} if prefix else {}) | ({"s3:x-amz-acl": (acl,)} if acl else {})


def _exists(response: S3Response, bucket_arn: str, key: str) -> bool:
    bucket = response.backend.buckets.get(bucket_arn.rpartition(":")[2])
    return bucket is None or key in bucket.keys


def signature(authorization: str) -> tuple[str, str] | None:
    """Reads who signed a request for which service, as access key id and service's name; None when it is not signed."""
    # AWS4-HMAC-SHA256 Credential=<access key id>/<day>/<region>/<service>/aws4_request, …
    scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    return (scope[0], scope[3]) if len(scope) > 3 else None
