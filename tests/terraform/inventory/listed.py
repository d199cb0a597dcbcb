"""What the API of a gateway lists, in Terraform's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tests.terraform.inventory import listed_data, listed_work
from tests.terraform.inventory.asking import ask, pages
from tests.terraform.inventory.made import name_of
from tests.terraform.inventory.shapes import Inventory, blocks, settings

# What AWS says of what nobody has set.
_UNSET: dict[str, dict[str, str]] = {}


def of_gateway() -> Inventory:
    """Lists all that is there of every type that can be listed; AWS_ENDPOINT_URL says where."""
    meant = dict(_meant())
    given = re.compile("|".join(map(re.escape, sorted(meant, key=len, reverse=True))))
    schemas = blocks()
    found: Inventory = {}
    for kind, listing in {**listed_data.LISTED, **listed_work.LISTED}.items():
        found[kind] = {}
        for told in listing():
            text = given.sub(lambda match: meant[match[0]], json.dumps(told, default=str))
            values = json.loads(text)
            found[kind][name_of(kind, values)] = settings(schemas[kind], values)
    return found


def _meant() -> Iterator[tuple[str, str]]:
    """What AWS's own identifiers stand for, as in what Terraform made."""
    for key in pages("kms", "list_keys", "Keys"):
        yield key["KeyId"], ask("kms", "describe_key", KeyId=key["KeyId"])["KeyMetadata"]["Description"]
    for api in pages("apigatewayv2", "get_apis", "Items"):
        yield api["ApiId"], api["Name"]
        for integration in pages("apigatewayv2", "get_integrations", "Items", ApiId=api["ApiId"]):
            yield integration["IntegrationId"], api["Name"]
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
