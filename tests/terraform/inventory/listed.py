"""What the API of a gateway lists, in Terraform's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from tests.terraform.inventory import listed_data, listed_work
from tests.terraform.inventory.asking import ask, pages
from tests.terraform.inventory.made import name_of
from tests.terraform.inventory.shapes import Inventory, blocks, settings

# What AWS says of what nobody has set.
_UNSET = {
    "aws_apigatewayv2_api": {
        "api_key_selection_expression": "$request.header.x-api-key",
        "disable_execute_api_endpoint": "false",
        "route_selection_expression": "$request.method $request.path",
    },
    "aws_apigatewayv2_integration": {"integration_method": "POST"},
    "aws_apigatewayv2_route": {"api_key_required": "false"},
    "aws_athena_workgroup": {"configuration.requester_pays_enabled": "false", "state": "ENABLED"},
    "aws_cloudwatch_event_rule": {"event_bus_name": "default", "state": "ENABLED"},
    "aws_glue_catalog_database": {"catalog_id": "123456789012"},
    "aws_glue_crawler": {"lineage_configuration.crawler_lineage_settings": "DISABLE"},
    "aws_lambda_event_source_mapping": {"enabled": "true", "maximum_record_age_in_seconds": "-1"},
    "aws_lambda_function": {"ephemeral_storage.size": "512", "package_type": "Zip", "snap_start.apply_on": "None"},
    "aws_pipes_pipe": {"desired_state": "RUNNING"},
    "aws_redshiftserverless_namespace": {"admin_username": "admin"},
    "aws_sfn_state_machine": {"encryption_configuration.type": "AWS_OWNED_KEY"},
    "aws_sqs_queue": {
        "delay_seconds": "0",
        "kms_data_key_reuse_period_seconds": "300",
        "sqs_managed_sse_enabled": "true",
        "visibility_timeout_seconds": "30",
    },
}


LISTED = {**listed_data.LISTED, **listed_work.LISTED}


def of_gateway(kinds: Iterable[str] = tuple(LISTED)) -> Inventory:
    """Lists all that is there of some types, of every one that can be listed if none is named; AWS_ENDPOINT_URL says where."""
    meant = dict(_meant())
    given = re.compile("|".join(map(re.escape, sorted(meant, key=len, reverse=True))))
    schemas = blocks()
    found: Inventory = {}
    for kind in kinds:
        found[kind] = {}
        for told in LISTED[kind]():
            text = given.sub(lambda match: meant[match[0]], json.dumps(told, default=str))
            values = json.loads(text)
            name = name_of(kind, values)
            assert name not in found[kind], f"two of {kind} are named {name}"
            found[kind][name] = settings(schemas[kind], values)
    return found


def _meant() -> Iterator[tuple[str, str]]:
    """What AWS's own identifiers stand for, as in what Terraform made."""
    for key in pages("kms", "list_keys", "Keys"):
        yield key["KeyId"], ask("kms", "describe_key", KeyId=key["KeyId"])["KeyMetadata"]["Description"]
    for api in pages("apigatewayv2", "get_apis", "Items"):
        yield api["ApiId"], api["Name"]
        for integration in pages("apigatewayv2", "get_integrations", "Items", ApiId=api["ApiId"]):
            yield integration["IntegrationId"], api["Name"]
    for group in pages("redshift-serverless", "list_workgroups", "workgroups"):
        yield group["workgroupId"], group["workgroupName"]
    for namespace in pages("redshift-serverless", "list_namespaces", "namespaces"):
        yield namespace["namespaceId"], namespace["namespaceName"]
    for secret in pages("secretsmanager", "list_secrets", "SecretList"):
        yield secret["ARN"], secret["ARN"][: -len("-abcdef")]


def without_defaults(listed: Inventory, terraform: Inventory) -> Inventory:
    """Leaves out what the API says of what neither side has set."""
    kept: Inventory = {}
    for kind, things in listed.items():
        unset = _UNSET.get(kind, {})
        for name, told in things.items():
            asked = terraform.get(kind, {}).get(name, {})
            kept.setdefault(kind, {})[name] = {
                path: value for path, value in told.items() if path in asked or unset.get(path) != value
            }
    return kept
