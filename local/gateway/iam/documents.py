"""Policies are read when they are put: one that says what is not evaluated here is refused, instead of being taken on trust."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.models import IAMBackend
from moto.kms.models import KmsBackend
from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend

from local.gateway.iam.conditions import PolicyError
from local.gateway.iam.policy import read

_PUT = (
    (IAMBackend, "create_role", "assume_role_policy_document"),
    (IAMBackend, "update_assume_role_policy", "policy_document"),
    (IAMBackend, "put_role_policy", "policy_json"),
    (IAMBackend, "put_user_policy", "policy_json"),
    (IAMBackend, "create_policy", "policy_document"),
    (IAMBackend, "create_policy_version", "policy_document"),
    (KmsBackend, "create_key", "policy"),
    (KmsBackend, "put_key_policy", "policy"),
)


def install() -> None:
    """Has every policy read when it is put."""
    for backend, operation, parameter in _PUT:
        _read_first(backend, operation, parameter, MalformedPolicyDocument)
    _read_first(S3Backend, "put_bucket_policy", "policy", partial(S3ClientError, "MalformedPolicy"))


def _read_first(backend: type, operation: str, parameter: str, refusal: Callable[[str], Exception]) -> None:
    original: Callable[..., Any] = getattr(backend, operation)
    declared = signature(original)

    def put(self: Any, *args: Any, **named: Any) -> Any:
        document = declared.bind(self, *args, **named).arguments.get(parameter)
        try:
            if document:
                read(document.decode() if isinstance(document, bytes) else str(document))
        except PolicyError as error:
            raise refusal(str(error)) from None
        return original(self, *args, **named)

    setattr(backend, operation, put)
