"""What Terraform has made with a mocked provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.terraform.inventory.shapes import Block, Inventory, blocks, settings

# What a mocked provider makes up: a text of its own for each attribute that only AWS knows.
_MADE_UP = re.compile(r"\b[a-z0-9]{8}\b")
_HERE = "eu-west-1:123456789012"
# What stands for it, so that a reference to the wrong resource shows.
_MEANT: dict[str, dict[str, str]] = {
    "aws_apigatewayv2_api": {"id": "{name}", "execution_arn": f"arn:aws:execute-api:{_HERE}:{{name}}"},
    "aws_apigatewayv2_integration": {"id": "{api_id}"},
    "aws_cloudwatch_event_rule": {"arn": f"arn:aws:events:{_HERE}:rule/{{name}}"},
    "aws_cloudwatch_log_group": {"arn": f"arn:aws:logs:{_HERE}:log-group:{{name}}"},
    "aws_iam_role": {"arn": "arn:aws:iam::123456789012:role/{name}", "id": "{name}"},
    "aws_kinesis_stream": {"arn": f"arn:aws:kinesis:{_HERE}:stream/{{name}}"},
    "aws_kms_key": {"arn": f"arn:aws:kms:{_HERE}:key/{{description}}", "key_id": "{description}"},
    "aws_lambda_alias": {"arn": f"arn:aws:lambda:{_HERE}:function:{{function_name}}:{{name}}"},
    "aws_lambda_function": {"arn": f"arn:aws:lambda:{_HERE}:function:{{function_name}}", "version": "1"},
    "aws_redshiftserverless_namespace": {
        "arn": f"arn:aws:redshift-serverless:{_HERE}:namespace/{{namespace_name}}",
        "admin_password_secret_arn": f"arn:aws:secretsmanager:{_HERE}:secret:redshift!{{namespace_name}}-admin",
    },
    "aws_redshiftserverless_workgroup": {
        "arn": f"arn:aws:redshift-serverless:{_HERE}:workgroup/{{workgroup_name}}",
    },
    "aws_s3_bucket": {"arn": "arn:aws:s3:::{bucket}", "id": "{bucket}"},
    "aws_secretsmanager_secret": {"arn": f"arn:aws:secretsmanager:{_HERE}:secret:{{name}}"},
    "aws_sfn_state_machine": {"arn": f"arn:aws:states:{_HERE}:stateMachine:{{name}}"},
    "aws_sns_topic": {"arn": f"arn:aws:sns:{_HERE}:{{name}}"},
    "aws_sqs_queue": {"arn": f"arn:aws:sqs:{_HERE}:{{name}}", "id": "{name}"},
}
# Where the name of a thing stands, if not in `name`; several make one together.
_NAMED: dict[str, tuple[str, ...]] = {
    "aws_apigatewayv2_integration": ("api_id",),
    "aws_apigatewayv2_route": ("api_id", "route_key"),
    "aws_apigatewayv2_stage": ("api_id", "name"),
    "aws_cloudwatch_dashboard": ("dashboard_name",),
    "aws_cloudwatch_event_target": ("rule",),
    "aws_cloudwatch_metric_alarm": ("alarm_name",),
    "aws_iam_role_policy": ("role", "name"),
    "aws_kms_key": ("description",),
    "aws_lakeformation_resource": ("arn",),
    "aws_lambda_alias": ("function_name", "name"),
    "aws_lambda_event_source_mapping": ("event_source_arn",),
    "aws_lambda_function": ("function_name",),
    "aws_lambda_invocation": ("function_name",),
    "aws_lambda_permission": ("function_name", "statement_id"),
    "aws_redshiftserverless_namespace": ("namespace_name",),
    "aws_redshiftserverless_usage_limit": ("breach_action",),
    "aws_redshiftserverless_workgroup": ("workgroup_name",),
    "aws_s3_object": ("key",),
    "aws_sns_topic_policy": ("arn",),
    "aws_sns_topic_subscription": ("endpoint",),
    "aws_sqs_queue_policy": ("queue_url",),
}


def of_terraform(state: Mapping[str, Any]) -> Inventory:
    """Sorts the resources of a root module, as `terraform test -json -verbose` shows it, into an inventory."""
    resources = list(_resources(state))
    meant: dict[str, str] = {}
    for resource in resources:
        for attribute, form in _MEANT.get(resource["type"], {}).items():
            meant[resource["values"][attribute]] = form.format(**resource["values"])

    def told(found: re.Match[str]) -> str:
        known = meant.get(found[0])
        return found[0] if known is None else _MADE_UP.sub(told, known)

    schemas = blocks()
    made: Inventory = {}
    for resource in resources:
        kind = resource["type"]
        read = json.loads(_MADE_UP.sub(told, json.dumps(resource["values"])))
        name = name_of(kind, read) or resource["address"]
        values = {**_without_mocks(schemas[kind], read), "name": read.get("name")}
        things = made.setdefault(kind, {})
        assert name not in things, f"two of {kind} are named {name}"
        things[name] = settings(schemas[kind], values)
    return made


def name_of(kind: str, values: Mapping[str, Any]) -> str:
    """Names a thing by what tells it from others of its type, empty if nothing does."""
    path = ("bucket",) if kind.startswith("aws_s3_bucket") else _NAMED.get(kind, ("name",))
    if kind == "aws_lakeformation_permissions":
        return " ".join([values["principal"], *(part for part in _LAKE if values.get(part))]) + _of_lake(values)
    return " ".join(str(values.get(part, "")) for part in path)


_LAKE = ("database", "table", "data_location")


def _of_lake(values: Mapping[str, Any]) -> str:
    [part] = [values[part] for part in _LAKE if values.get(part)]
    [about] = part if isinstance(part, list) else [part]
    return " " + next(str(about[name]) for name in ("database_name", "name", "arn") if about.get(name))


def _resources(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (resource for resource in module.get("resources", []) if resource["mode"] == "managed")
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _without_mocks(block: Block, values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if name in block.get("block_types", {}):
            inner = block["block_types"][name]["block"]
            kept[name] = [_without_mocks(inner, one) for one in value or []]
        elif not (block["attributes"][name].get("computed") and _mocked(value)):
            kept[name] = value
    return kept


def _mocked(value: Any) -> bool:
    return bool(_MADE_UP.fullmatch(value)) if isinstance(value, str) else value in (0, False)
