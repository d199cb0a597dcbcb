"""Records each AWS call that reaches the gateway, as IAM would judge it, so that a test can hold roles to what is used.

moto asks itself before each action of each service whether it is permitted, and says yes to everything. Here it takes a note
instead. Notes are kept once, and names that grow with the data are not told apart, so a long life needs no more memory
than a short one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.responses import BaseResponse
from moto.s3.responses import S3Response

from local.gateway.settings import GatewaySettings

# What IAM calls otherwise than moto does.
_IAM_NAMES = {"s3:HeadBucket": "s3:ListBucket", "lambda:Invoke": "lambda:InvokeFunction"}

_JOB = ("JobName", "glue:{place}:job/{name}")
_CRAWLER = ("Name", "glue:{place}:crawler/{name}")
# Secrets Manager adds six characters to the name.
_SECRET = ("SecretId", "secretsmanager:{place}:secret:{name}-??????")
_WORKGROUP = ("WorkgroupName", "redshift-serverless:{place}:workgroup/{name}")
_MACHINE = ("stateMachineArn", "states:{place}:stateMachine:{name}")
_RESOURCES = {
    "glue:BatchStopJobRun": _JOB,
    "glue:GetCrawler": _CRAWLER,
    "glue:GetJobRun": _JOB,
    "glue:GetTables": ("DatabaseName", "glue:{place}:database/{name}"),
    "glue:GetJobRuns": _JOB,
    "glue:StartCrawler": _CRAWLER,
    "glue:StartJobRun": _JOB,
    "lambda:InvokeFunction": ("FunctionName", "lambda:{place}:function:{name}"),
    "redshift-data:BatchExecuteStatement": _WORKGROUP,
    "redshift-data:ExecuteStatement": _WORKGROUP,
    "secretsmanager:GetSecretValue": _SECRET,
    "secretsmanager:PutSecretValue": _SECRET,
    "sns:Publish": ("TopicArn", "sns:{place}:{name}"),
    "states:DescribeExecution": ("executionArn", "states:{place}:execution:{name}"),
    "states:ListExecutions": _MACHINE,
    "states:StartExecution": _MACHINE,
}
"""Where a request names its resource, and the ARN of what it names; every other call is one on `*`."""

_COUNTED = re.compile(r"(\.?)[^/]*?(?:\d{4}|[0-9a-f]{8})[^/]*?(\.[a-z]+)?(?=/|$)")


class Call(NamedTuple):
    """One kind of call; `prefix` is that of a listing, as the request gave it."""

    principal: str
    action: str
    resource: str
    prefix: str | None = None


class Calls:
    """Every kind of call that was made."""

    def __init__(self) -> None:
        self._seen: set[Call] = set()

    def note(self, call: Call) -> None:
        """Remembers a call."""
        self._seen.add(call)

    def describe(self) -> list[dict[str, Any]]:
        """Lists what was called."""
        return [call._asdict() for call in sorted(self._seen.copy(), key=lambda call: (*call[:3], call.prefix or ""))]

    def forget(self) -> None:
        """Forgets every call."""
        self._seen = set()


def _without_counts(path: str) -> str:
    # Batches, attempts, days and data files come and go; their folder and kind are enough.
    return _COUNTED.sub(r"\1#\2", path)


def _s3_calls(response: S3Response, principal: str, action: str, arn: str) -> Iterator[Call]:
    bucket, slash, key = arn.partition("/")
    if action == "s3:DeleteObject" and not slash:
        for found in re.findall(r"<Key>(.*?)</Key>", response.body.decode(), re.DOTALL):
            yield Call(principal, action, f"{bucket}/{_without_counts(html.unescape(found))}")
        return
    yield Call(principal, action, bucket + slash + _without_counts(key), _prefix(response, action))
    if source := response.headers.get("x-amz-copy-source"):
        path = unquote(source).partition("?")[0].lstrip("/")
        name, _, original = path.partition("/")
        yield Call(principal, "s3:GetObject", f"{bucket.rpartition(':')[0]}:{name}/{_without_counts(original)}")
    if action == "s3:GetObject" and not _exists(response, bucket, key):
        # S3 says "not found" only to those who may list the bucket, and "denied" to others.
        yield Call(principal, "s3:ListBucket", bucket)


def _prefix(response: S3Response, action: str) -> str | None:
    found = response.querystring.get("prefix") if action == "s3:ListBucket" else None
    return _without_counts(found[0]) if found else None


def _exists(response: S3Response, bucket_arn: str, key: str) -> bool:
    bucket = response.backend.buckets.get(bucket_arn.rpartition(":")[2])
    return bucket is None or key in bucket.keys


def signature(authorization: str) -> tuple[str, str] | None:
    """Reads who signed a request for which service, as access key id and service's name; None when it is not signed."""
    # AWS4-HMAC-SHA256 Credential=<access key id>/<day>/<region>/<service>/aws4_request, …
    scope = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    return (scope[0], scope[3]) if len(scope) > 3 else None


def install(settings: GatewaySettings, principal_of: Callable[[str], str]) -> Calls:
    """Records every signed call; `principal_of` names who signs with an access key id."""
    calls = Calls()
    place = f"{settings.region}:{settings.account_id}"

    def note(self: BaseResponse, _iam_request: type, resource: str = "*") -> None:
        signed = signature(self.headers.get("Authorization", ""))
        if signed is None:
            return
        access_key, service = signed
        principal, action = principal_of(access_key), f"{service}:{self._get_action()}"
        action = _IAM_NAMES.get(action, action)
        if isinstance(self, S3Response):
            for call in _s3_calls(self, principal, action, resource):
                calls.note(call)
            return
        if action in _RESOURCES:
            parameter, form = _RESOURCES[action]
            name = str(self._get_param(parameter))
            resource = name if name.startswith("arn:") else "arn:aws:" + form.format(place=place, name=name)
        calls.note(Call(principal, action, resource))

    ActionAuthenticatorMixin._authenticate_and_authorize_action = note
    return calls
