"""IAM: what moto 5.2.5 answers wrongly or lacks."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import EntityAlreadyExists, InvalidInput, NotFoundException
from moto.iam.models import SERVICE_NAME_CONVERSION, AWSManagedPolicy, IAMBackend, Role


def install() -> None:
    """Lets requests through that only a connection without TLS would refuse, and knows AWS's own policies and what bounds a role."""
    _count_as_encrypted()
    _know_aws_policies()
    _ask_for_boundaries()
    _make_service_roles_once()
    _name_what_is_there()


def _count_as_encrypted() -> None:
    # moto looks at no condition of a bucket's policy: the one that refuses connections without TLS would refuse everybody.
    # The gateway listens on 127.0.0.1 alone and counts as encrypted.
    original = IAMPolicyStatement.is_action_permitted

    def is_action_permitted(self: IAMPolicyStatement, *args: Any, **named: Any) -> PermissionResult:
        if self._statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
            return PermissionResult.NEUTRAL
        return original(self, *args, **named)

    IAMPolicyStatement.is_action_permitted = is_action_permitted


@cache
def _aws_policies() -> dict[str, dict[str, Any]]:
    policies: dict[str, dict[str, Any]] = json.loads(aws_managed_policies_data)
    return policies


def _know_aws_policies() -> None:
    # moto has all of them or none, and to list all takes seconds: one is there once somebody attaches it.
    attach = IAMBackend.attach_role_policy

    def attach_role_policy(self: IAMBackend, policy_arn: str, role_name: str) -> None:
        owner, _, name = policy_arn.rpartition("/")
        if policy_arn not in self.managed_policies and owner == "arn:aws:iam::aws:policy" and name in _aws_policies():
            made = AWSManagedPolicy.from_data(name, self.account_id, self.region_name, _aws_policies()[name])
            self.managed_policies[policy_arn] = made
        attach(self, policy_arn, role_name)

    IAMBackend.attach_role_policy = attach_role_policy


def _ask_for_boundaries() -> None:
    create = IAMBackend.create_role

    def create_role(
        self: IAMBackend,
        role_name: str,
        assume_role_policy_document: str,
        path: str,
        permissions_boundary: str | None,
        *args: Any,
        **named: Any,
    ) -> Role:
        if permissions_boundary and permissions_boundary not in self.managed_policies:
            raise NotFoundException(f"Scope ARN: {permissions_boundary} does not exist or is not attachable.")
        return create(self, role_name, assume_role_policy_document, path, permissions_boundary, *args, **named)

    IAMBackend.create_role = create_role


def _make_service_roles_once() -> None:
    SERVICE_NAME_CONVERSION["lakeformation"] = "LakeFormationDataAccess"
    create = IAMBackend.create_service_linked_role

    def create_service_linked_role(self: IAMBackend, service_name: str, description: str, suffix: str) -> Role:
        path = f"/aws-service-role/{service_name}/"
        taken = [role.name for role in self.roles.values() if role.path == path and role.name.endswith(suffix or "")]
        if taken:
            message = f"Service role name {taken[0]} has been taken in this account, please try a different suffix."
            raise InvalidInput(message)
        return create(self, service_name, description, suffix)

    IAMBackend.create_service_linked_role = create_service_linked_role


def _name_what_is_there() -> None:
    create = IAMBackend.create_open_id_connect_provider

    def create_open_id_connect_provider(self: IAMBackend, url: str, *args: Any, **named: Any) -> Any:
        try:
            return create(self, url, *args, **named)
        except EntityAlreadyExists:
            raise EntityAlreadyExists(f"Provider with url {url} already exists.") from None

    IAMBackend.create_open_id_connect_provider = create_open_id_connect_provider
