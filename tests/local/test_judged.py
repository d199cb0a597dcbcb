"""Nothing is answered that is not judged: each call of each service asks who signed it, whoever of us answers it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from local.gateway.moto.step_functions import boto_service
from tests.support.aws import Aws, assumed, localstack, person_role
from tests.support.paths import ROOT

SERVICES = (
    *("apigatewayv2", "athena", "budgets", "cloudtrail", "cloudwatch", "dynamodb", "events", "firehose", "glue", "iam"),
    *("kinesis", "kms", "lakeformation", "lambda", "logs", "pipes", "redshift-data", "redshift-serverless"),
    *("resourcegroupstaggingapi", "s3", "scheduler", "secretsmanager", "sns", "sqs", "stepfunctions", "sts"),
)
NOT_SIGNED = {
    ("sts", "AssumeRoleWithSAML"): "a token says who asks",
    ("sts", "AssumeRoleWithWebIdentity"): "a token says who asks",
    ("sts", "GetCallerIdentity"): "whoever is known may ask",
}
REFUSALS = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "403"}
NOT_THERE = {"404", "UnknownOperationException", "NotImplemented"}
ANSWERED_BEFORE_MOTO = {
    "local/gateway/lambdas/http_api.py": "whoever sends has no identity of the account: the function refuses senders itself",
    "local/gateway/redshift/serverless.py": "judged, as the calls of every service are",
}
CLIENTS = re.compile(r"""(?:client|ask(?=\([^)]*,)|pages|plainly|boto_service)\(\s*"([a-z0-9-]+)"\s*[,)]""")


def filled(shape: Any) -> Any:
    """The least that a call has to say."""
    match shape.type_name:
        case "string":
            return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
        case "integer" | "long":
            return max(1, shape.metadata.get("min", 1))
        case "float" | "double":
            return 1.0
        case "boolean":
            return True
        case "blob":
            return b"x"
        case "timestamp":
            return "2026-01-01T00:00:00Z"
        case "list":
            return [filled(shape.member)]
        case "map":
            return {"x": filled(shape.value)}
    return {name: filled(shape.members[name]) for name in shape.required_members}


def signed_by(aws: Aws, key: str, service: str) -> BaseClient:
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False, inject_host_prefix=False)
    client: BaseClient = boto3.session.Session(key, "x", region_name="eu-west-1").client(
        service, endpoint_url=aws.endpoint, config=config
    )
    return client


def answers(client: Any, only: set[str] | None = None) -> Iterator[tuple[str, str]]:
    """Calls each operation of a service once and says how each was answered."""
    for method, operation in client.meta.method_to_api_mapping.items():
        if only is None or operation in only:
            shape = client.meta.service_model.operation_model(operation).input_shape
            try:
                getattr(client, method)(**(filled(shape) if shape else {}))
                yield operation, "answered"
            except ClientError as error:
                yield operation, str(error.response["Error"]["Code"])


@pytest.mark.parametrize("service", SERVICES)
def test_no_call_is_answered_to_whom_nobody_knows(aws: Aws, service: str) -> None:
    if localstack():
        pytest.skip("LocalStack does not judge")
    stranger = signed_by(aws, "AKIAUNKNOWN", service)
    known = set(stranger.meta.method_to_api_mapping.values()) - {name for of, name in NOT_SIGNED if of == service}
    told = dict(answers(stranger, known))
    # What is not there for a stranger is there for nobody.
    missing = {name for name, code in told.items() if code in NOT_THERE}
    judged = {name: code for name, code in told.items() if name not in missing}
    assert {name: code for name, code in judged.items() if code not in REFUSALS} == {}
    assert judged
    for name, code in answers(signed_by(aws, "test", service), missing):
        assert code in NOT_THERE, f"{name}: {code}"


def test_every_service_that_the_project_calls_is_among_them() -> None:
    called = {
        boto_service(name)
        for folder in ("headwater", "local", "lambdas", "glue_jobs", "tests")
        for file in (ROOT / folder).rglob("*.py")
        for name in CLIENTS.findall(file.read_text())
    }
    assert called - set(SERVICES) == set()
    assert {"glue", "redshift-serverless", "pipes"} <= called


def test_what_is_answered_before_moto_is_named() -> None:
    files = (ROOT / "local" / "gateway").rglob("*.py")
    found = {str(file.relative_to(ROOT)) for file in files if "def takes(self, environ" in file.read_text()}
    assert found == set(ANSWERED_BEFORE_MOTO)


@pytest.mark.parametrize(
    ("target", "said"),
    [("AmazonSQS.ListQueues", "AccessDenied"), ("RedshiftServerless.ListNamespaces", "Unrecognized")],
)
def test_a_call_that_nobody_signed_is_refused(aws: Aws, target: str, said: str) -> None:
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
    with pytest.raises(OSError, match="HTTP Error 4") as refused:
        urlopen(Request(aws.endpoint, b"{}", headers))
    assert said in refused.value.read().decode()  # type: ignore[attr-defined]


def test_an_address_that_is_signed_for_some_time_is_read_as_its_signer_reads(aws: Aws) -> None:
    aws.put("a", "1")
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{aws.bucket}/a"}
    for role, good in ((person_role(aws, read), True), (person_role(aws), False)):
        address = assumed(aws, role, config=Config(signature_version="s3v4")).generate_presigned_url(
            "get_object", {"Bucket": aws.bucket, "Key": "a"}
        )
        if good:
            assert urlopen(address).read() == b"1"
        else:
            with pytest.raises(OSError, match="403"):
                urlopen(address)
    with pytest.raises(OSError, match="403"):
        urlopen(f"{aws.endpoint}/{aws.bucket}/a")


def test_redshift_serverless_does_what_a_policy_allows_on_what_it_names(aws: Aws) -> None:
    name = f"w-{aws.bucket[-8:]}"
    admin = aws.client("redshift-serverless")
    space = admin.create_namespace(namespaceName=name)["namespace"]["namespaceArn"]
    group = admin.create_workgroup(workgroupName=name, namespaceName=name)["workgroup"]["workgroupArn"]
    place = space.partition(":namespace")[0]

    def may(call: str, resource: str | list[str], **condition: Any) -> dict[str, Any]:
        allowed = {"Effect": "Allow", "Action": f"redshift-serverless:{call}", "Resource": resource}
        return allowed | ({"Condition": condition} if condition else {})

    def refused(call: str, given: dict[str, Any], *statements: dict[str, Any]) -> bool:
        client = assumed(aws, person_role(aws, *statements), "redshift-serverless")
        try:
            getattr(client, call)(**given)
        except client.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"]) == "AccessDeniedException"
        return False

    assert refused("get_workgroup", {"workgroupName": name})
    assert refused("get_workgroup", {"workgroupName": name}, may("GetWorkgroup", space))
    assert not refused("get_workgroup", {"workgroupName": name}, may("GetWorkgroup", group))
    taken = {"namespaceName": name, "snapshotName": f"s-{name}"}
    assert refused("create_snapshot", taken, may("CreateSnapshot", space))
    assert refused("create_snapshot", taken, may("CreateSnapshot", f"{place}:snapshot/*"))
    assert not refused("create_snapshot", taken, may("CreateSnapshot", [space, f"{place}:snapshot/*"]))
    assert refused("list_usage_limits", {}, may("ListUsageLimits", group))
    assert not refused("list_usage_limits", {}, may("ListUsageLimits", "*"))
    tagged = {"resourceArn": group, "tags": [{"key": "team", "value": "a"}]}
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    assert not refused("tag_resource", tagged, may("TagResource", group, **only))
    assert refused("tag_resource", tagged | {"tags": [{"key": "x", "value": "a"}]}, may("TagResource", group, **only))
    sealed = {"namespaceName": f"{name}-b", "manageAdminPassword": True}
    assert refused("create_namespace", sealed, may("CreateNamespace", "*"))
    secrets = {
        "Effect": "Allow",
        "Action": "secretsmanager:*",
        "Resource": "arn:aws:secretsmanager:*:*:secret:redshift!*",
    }
    assert not refused("create_namespace", sealed, may("CreateNamespace", "*"), secrets)
