"""What each call of Redshift Serverless' control plane asks of IAM, as AWS's service authorization reference has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local.gateway.calls import Asked

_KINDS = ("namespace", "workgroup", "snapshot")
# Both of them, each of which must be allowed. Usage limits and lists are no resources of IAM's.
_ON_TWO = {"CreateSnapshot": ("namespace", "snapshot")}
_ON_ALL = {"ListSnapshots": "snapshot"}


def asked_of(operation: str, given: Mapping[str, Any], arn: Callable[[str, str], str]) -> Iterator[Asked]:
    """Lists what a call asks for; `arn` makes the ARN of a kind of resource and a name."""
    action = f"redshift-serverless:{operation}"
    keys = tuple(tag["key"] for tag in given.get("tags", ()))
    told = {"aws:TagKeys": keys} if keys else {}
    if "resourceArn" in given and "Tag" in operation:
        yield Asked(action, given["resourceArn"], told)
    elif kinds := _ON_TWO.get(operation) or tuple(kind for kind in _KINDS if operation.endswith(kind.capitalize())):
        for kind in kinds:
            yield Asked(action, arn(kind, given.get(f"{kind}Name", "*")), told)
    else:
        yield Asked(action, arn(_ON_ALL[operation], "*") if operation in _ON_ALL else "*", told)
    if given.get("manageAdminPassword"):
        # Redshift keeps the password in the name of whoever asks for it.
        secret = f"secret:redshift!{given.get('namespaceName')}-{given.get('adminUsername', 'admin')}"
        yield from (Asked(f"secretsmanager:{call}", arn("secret", secret)) for call in ("CreateSecret", "TagResource"))
