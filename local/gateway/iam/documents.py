"""Policies are read when they are put: one that says what is not evaluated here is refused, instead of being taken on trust.

So is every policy of a kind that nothing here evaluates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

from moto.core.exceptions import JsonRESTError, _RESTError
from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import IAMBackend
from moto.kms.models import KmsBackend
from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend
from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import SNSBackend
from moto.sqs.exceptions import SQSException
from moto.sqs.models import SQSBackend

from local.gateway.iam.conditions import PolicyError
from local.gateway.iam.policy import read

_Given = Mapping[str, Any]
_Find = Callable[[_Given], Any]


def _of(parameter: str) -> _Find:
    return lambda given: given[parameter]


def _within(parameter: str) -> _Find:
    return lambda given: (given[parameter] or {}).get("Policy")


def _of_topic(given: _Given) -> Any:
    return given["attribute_value"] if given["attribute_name"] == "policy" else None


_PUT: tuple[tuple[type, str, _Find, Callable[[str], Exception]], ...] = (
    (IAMBackend, "create_role", _of("assume_role_policy_document"), MalformedPolicyDocument),
    (IAMBackend, "update_assume_role_policy", _of("policy_document"), MalformedPolicyDocument),
    (IAMBackend, "put_role_policy", _of("policy_json"), MalformedPolicyDocument),
    (IAMBackend, "put_user_policy", _of("policy_json"), MalformedPolicyDocument),
    (IAMBackend, "create_policy", _of("policy_document"), MalformedPolicyDocument),
    (IAMBackend, "create_policy_version", _of("policy_document"), MalformedPolicyDocument),
    (KmsBackend, "create_key", _of("policy"), MalformedPolicyDocument),
    (KmsBackend, "put_key_policy", _of("policy"), MalformedPolicyDocument),
    (S3Backend, "put_bucket_policy", _of("policy"), partial(S3ClientError, "MalformedPolicy")),
    (SQSBackend, "create_queue", _within("kwargs"), partial(SQSException, "InvalidAttributeValue")),
    (SQSBackend, "set_queue_attributes", _within("attributes"), partial(SQSException, "InvalidAttributeValue")),
    (SNSBackend, "create_topic", _within("attributes"), SNSInvalidParameter),
    (SNSBackend, "set_topic_attribute", _of_topic, SNSInvalidParameter),
)

NOT_EVALUATED = {
    "cloudtrail:PutResourcePolicy": "ResourcePolicy",
    "dynamodb:CreateTable": "ResourcePolicy",
    "dynamodb:PutResourcePolicy": "Policy",
    "events:PutPermission": "Policy",
    "glue:PutResourcePolicy": "PolicyInJson",
    "glue:StartJobRun": "ExecutionRoleSessionPolicy",
    "iam:PutGroupPolicy": "PolicyDocument",
    "kinesis:PutResourcePolicy": "Policy",
    "kms:ReplicateKey": "Policy",
    "logs:PutDeliveryDestinationPolicy": "deliveryDestinationPolicy",
    "logs:PutDestinationPolicy": "accessPolicy",
    "logs:PutResourcePolicy": "policyDocument",
    "secretsmanager:PutResourcePolicy": "ResourcePolicy",
    "sts:AssumeRole": "Policy",
    "sts:GetFederationToken": "Policy",
}
"""Calls that put a policy which nothing here evaluates, and the parameter that has it."""


def not_evaluated(action: str, value: Callable[[str], Any], *, is_query: bool) -> Exception | None:
    """The refusal of a call that gives a policy which nothing here evaluates; `value` finds a parameter of the call."""
    parameter = NOT_EVALUATED.get(action)
    if parameter is None or value(parameter) is None:
        return None
    refuse: Callable[[str, str], Exception] = _RESTError if is_query else JsonRESTError
    return refuse("MalformedPolicyDocument", f"{action}: a policy by {parameter} is not evaluated here")


def install() -> None:
    """Has every policy read when it is put."""
    for backend, operation, find, refusal in _PUT:
        _read_first(backend, operation, find, refusal)


def _read_first(backend: type, operation: str, find: _Find, refusal: Callable[[str], Exception]) -> None:
    original: Callable[..., Any] = getattr(backend, operation)
    declared = signature(original)

    def put(self: Any, *args: Any, **named: Any) -> Any:
        given = declared.bind(self, *args, **named)
        given.apply_defaults()
        document = find(given.arguments)
        try:
            if document:
                read(document.decode() if isinstance(document, bytes) else str(document))
        except PolicyError as error:
            raise refusal(str(error)) from None
        return original(self, *args, **named)

    setattr(backend, operation, put)
