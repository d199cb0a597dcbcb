"""The evaluator that roles are held to: what IAM allows, it allows, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.deploy.roles import RoleSpec
from local.gateway.calls import Call
from tests.support.iam import Grant, grants

BUCKET = "arn:aws:s3:::b"


def listing(operator: str) -> list[Grant]:
    statement: dict[str, Any] = {
        "Sid": "List",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [BUCKET],
        "Condition": {operator: {"s3:prefix": ["a/*", "b"]}},
    }
    return list(grants(RoleSpec("role", {}, {"Statement": [statement]}, "file")))


@pytest.mark.parametrize(("operator", "without"), [("StringLike", False), ("StringLikeIfExists", True)])
def test_a_listing_is_held_to_its_prefixes(operator: str, without: bool) -> None:
    def allowed(prefix: str | None, bucket: str = BUCKET) -> bool:
        return any(grant.allows(Call("role", "s3:ListBucket", bucket, prefix)) for grant in listing(operator))

    assert [allowed("a/x/"), allowed("b"), allowed("b/"), allowed("")] == [True, True, False, False]
    assert allowed(None) is without
    assert not allowed("b", f"{BUCKET}2")
