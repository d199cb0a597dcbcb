"""The evaluator that roles are held to: what IAM allows, it allows, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.deploy.roles import RoleSpec
from tests.support.iam import Grant, grants, matches

BUCKET = "arn:aws:s3:::b"


def listing(operator: str) -> list[Grant]:
    statement: dict[str, Any] = {
        "Sid": "List",
        "Action": ["s3:ListBucket"],
        "Resource": [BUCKET],
        "Condition": {operator: {"s3:prefix": ["a/*", "b"]}},
    }
    return list(grants(RoleSpec("role", {}, {"Statement": [statement]}, "file")))


@pytest.mark.parametrize(
    ("pattern", "text", "same"),
    [
        ("a/*/c", "a/b/b/c", True),
        ("a/*", "a/", True),
        ("a/*", "a", False),
        ("a-??????", "a-1B2c3D", True),
        ("a-??????", "a-1B2c3", False),
        ("a[12]", "a1", False),
        ("a.c", "abc", False),
        ("A", "a", False),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_any_character(pattern: str, text: str, same: bool) -> None:
    assert matches(pattern, text) is same


@pytest.mark.parametrize(("operator", "without"), [("StringLike", False), ("StringLikeIfExists", True)])
def test_a_listing_is_held_to_its_prefixes(operator: str, without: bool) -> None:
    def allowed(prefix: str | None, bucket: str = BUCKET) -> bool:
        return any(grant.allows("s3:ListBucket", bucket, prefix) for grant in listing(operator))

    assert [allowed("a/x/"), allowed("b"), allowed("b/"), allowed("")] == [True, True, False, False]
    assert allowed(None) is without
    assert not allowed("b", f"{BUCKET}2")


def test_a_condition_that_is_not_understood_is_no_permission() -> None:
    with pytest.raises(NotImplementedError, match="StringNotLike on s3:prefix"):
        listing("StringNotLike")
