"""What policies decide, by IAM's own laws: denied by default, a denial wins, no order matters, a pattern means what IAM means by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local.gateway.iam.conditions import PolicyError, matches, parse
from local.gateway.iam.policy import Request, Statement, decide, read, statements_of

ACTIONS = ["s3:GetObject", "s3:PutObject", "kms:Decrypt"]
RESOURCES = ["arn:aws:s3:::b/a/1", "arn:aws:s3:::b/c", "arn:aws:kms:::key/1"]
WHO = ["arn:aws:iam::123456789012:role/r", "lambda.amazonaws.com"]
ROOT = "arn:aws:iam::123456789012:root"

allowing = st.fixed_dictionaries(
    {
        "Effect": st.just("Allow"),
        "Action": st.lists(st.sampled_from([*ACTIONS, "s3:*", "*"]), min_size=1, max_size=2),
        "Resource": st.lists(
            st.sampled_from([*RESOURCES, "arn:aws:s3:::b/*", "*", "arn:aws:s3:::b/?"]), min_size=1, max_size=2
        ),
    },
    optional={
        "Condition": st.sampled_from([{"StringEquals": {"kms:ViaService": "s3"}}, {"Null": {"s3:prefix": "true"}}])
    },
)
denying = allowing.map(lambda statement: statement | {"Effect": "Deny"})
naming = st.sampled_from(["*", {"AWS": WHO[0]}, {"Service": WHO[1]}, {"AWS": ROOT}])
identity_policy = st.lists(allowing | denying, max_size=4)
resource_policy = st.lists(
    st.tuples(allowing | denying, naming).map(lambda pair: pair[0] | {"Principal": pair[1]}), max_size=4
)
requests = st.builds(
    Request,
    st.sampled_from(WHO).map(lambda who: frozenset({who})),
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    st.sampled_from([{}, {"kms:ViaService": ("s3",)}, {"s3:prefix": ("a/",)}]),
)


def statements(given: Sequence[dict[str, Any]]) -> tuple[Statement, ...]:
    return statements_of(given)


@given(requests)
def test_what_no_policy_allows_is_denied(request: Request) -> None:
    assert not decide(request, ()).allowed


@given(requests, identity_policy, resource_policy, st.booleans())
def test_what_is_allowed_is_allowed_by_a_statement_that_is_about_it(
    request: Request, identity: Any, resource: Any, delegated: bool
) -> None:
    decision = decide(request, statements(identity), statements(resource), delegated=delegated)
    if decision.allowed:
        assert decision.by
        assert all(statement.allows and statement.is_about(request) for statement in decision.by)


@given(requests, identity_policy, resource_policy, st.booleans())
def test_a_denial_wins_over_everything(request: Request, identity: Any, resource: Any, delegated: bool) -> None:
    denies = {"Effect": "Deny", "Action": request.action, "Resource": "*"}
    assert not decide(request, statements([*identity, denies]), statements(resource), delegated=delegated).allowed
    named = denies | {"Principal": "*"}
    assert not decide(request, statements(identity), statements([named, *resource]), delegated=delegated).allowed


@example(
    Request(frozenset({WHO[0]}), ACTIONS[0], RESOURCES[0]),
    [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    [],
    [],
    False,
)
@given(requests, identity_policy, resource_policy, identity_policy, st.booleans())
def test_a_boundary_only_ever_takes_away(
    request: Request, identity: Any, resource: Any, boundary: Any, delegated: bool
) -> None:
    def allowed(bound: Any) -> bool:
        return decide(request, statements(identity), statements(resource), boundary=bound, delegated=delegated).allowed

    bounded = decide(request, statements(boundary)).allowed
    assert allowed(statements(boundary)) is (allowed(None) and bounded)


@given(requests, allowing)
def test_what_a_statement_is_about_and_what_it_is_about_by_negation_are_opposites(request: Request, given: Any) -> None:
    statement = {key: value for key, value in given.items() if key != "Condition"}
    for element, other in (("Action", "Resource"), ("Resource", "Action")):
        everything = {**statement, other: "*"}
        negated = {f"Not{element}" if key == element else key: value for key, value in everything.items()}
        [about], [not_about] = statements([everything]), statements([negated])
        assert about.is_about(request) is not not_about.is_about(request)


@given(requests, identity_policy, resource_policy, st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_statements_does_not_matter(
    request: Request, identity: Any, resource: Any, random: Any, delegated: bool
) -> None:
    before = decide(request, statements(identity), statements(resource), delegated=delegated).allowed
    random.shuffle(identity)
    random.shuffle(resource)
    assert decide(request, statements(identity), statements(resource), delegated=delegated).allowed is before


@given(requests, identity_policy, allowing)
def test_one_more_allowance_takes_nothing_away(request: Request, identity: Any, more: Any) -> None:
    if decide(request, statements(identity)).allowed:
        assert decide(request, statements([*identity, more])).allowed


@given(requests, identity_policy)
def test_a_key_that_leaves_nothing_to_the_account_heeds_no_identity(request: Request, identity: Any) -> None:
    assert not decide(request, statements(identity), (), delegated=True).allowed
    left = statements([{"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "*", "Resource": "*"}])
    assert (
        decide(request, statements(identity), left, delegated=True).allowed
        is decide(request, statements(identity)).allowed
    )


@given(st.text("ab*?/", max_size=6), st.text("ab/", max_size=6))
def test_a_star_is_any_text_and_a_question_mark_any_character(pattern: str, text: str) -> None:
    assert matches(pattern, text) is fnmatchcase(text, pattern)


@given(st.text("ab:*?[]${}", max_size=8))
def test_what_a_variable_stands_for_is_never_a_pattern(value: str) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:${aws:username}"}
    for asked in (value, value + "a", "a"):
        request = Request(frozenset(), "s3:GetObject", f"arn:{asked}", {"aws:username": (value,)})
        assert decide(request, statements([statement])).allowed is (asked == value)


@pytest.mark.parametrize(
    ("condition", "told", "holds"),
    [
        ({"StringEquals": {"s3:prefix": ["a", "b"]}}, {"s3:prefix": ("b",)}, True),
        ({"StringEquals": {"s3:prefix": "a*"}}, {"s3:prefix": ("ab",)}, False),
        ({"StringEquals": {"s3:prefix": "a"}}, {}, False),
        ({"StringLike": {"s3:prefix": "a*"}}, {"s3:prefix": ("ab",)}, True),
        ({"StringLikeIfExists": {"s3:prefix": "a*"}}, {}, True),
        ({"StringLikeIfExists": {"s3:prefix": "a*"}}, {"s3:prefix": ("b",)}, False),
        ({"StringNotEquals": {"s3:prefix": "a"}}, {}, True),
        ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, {"s3:prefix": ("b",)}, False),
        ({"StringNotLike": {"s3:prefix": "a*"}}, {"s3:prefix": ("b",)}, True),
        ({"StringEqualsIgnoreCase": {"s3:prefix": "A"}}, {"s3:prefix": ("a",)}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": ("true",)}, False),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:SecureTransport": ("false",)}, True),
        ({"BoolIfExists": {"aws:SecureTransport": "false"}}, {}, True),
        ({"Null": {"kms:ViaService": "true"}}, {}, True),
        ({"Null": {"kms:ViaService": "true"}}, {"kms:ViaService": ("s3",)}, False),
        ({"Null": {"kms:ViaService": "false"}}, {"kms:ViaService": ("s3",)}, True),
        (
            {"ArnLike": {"aws:SourceArn": "arn:aws:events:*:1:rule/a*"}},
            {"aws:SourceArn": ("arn:aws:events:eu:1:rule/ab",)},
            True,
        ),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:*:rule/a"}}, {"aws:SourceArn": ("arn:aws:events:eu:1:rule/a",)}, False),
        ({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::*"}}, {"aws:SourceArn": ("arn:aws:sns:::a",)}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ("a", "b")}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, {"aws:TagKeys": ("a", "b")}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {"aws:TagKeys": ("a", "b")}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, {}, False),
        ({"StringEquals": {"s3:prefix": "${aws:username}/"}}, {"s3:prefix": ("me/",), "aws:username": ("me",)}, True),
        ({"StringEquals": {"s3:prefix": "${aws:username}/"}}, {"s3:prefix": ("/",)}, False),
        ({"StringLike": {"s3:prefix": "${*}"}}, {"s3:prefix": ("a",)}, False),
        ({"StringLike": {"s3:prefix": "${*}"}}, {"s3:prefix": ("*",)}, True),
        (
            {"StringLike": {"kms:EncryptionContext:SecretARN": "s-??"}},
            {"kms:EncryptionContext:SecretARN": ("s-ab",)},
            True,
        ),
        (
            {"StringEquals": {"s3:prefix": "a"}, "Bool": {"aws:SecureTransport": "true"}},
            {"s3:prefix": ("a",), "aws:SecureTransport": ("false",)},
            False,
        ),
    ],
)
def test_conditions_hold_as_iam_has_them(condition: Any, told: Any, holds: bool) -> None:
    assert all(part.holds(told) for part in parse(condition)) is holds


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ({"Action": "s3:Get", "Condition": {"NumericEquals": {"s3:prefix": "1"}}}, "NumericEquals"),
        ({"Action": "s3:Get", "Condition": {"StringEquals": {"aws:Unheard": "1"}}}, "aws:Unheard"),
        ({"Action": "s3:Get", "Condition": {"NullIfExists": {"s3:prefix": "true"}}}, "NullIfExists"),
        ({"Action": "s3:Get", "NotAction": "s3:Put"}, "Action and NotAction"),
        ({"Action": "s3:Get", "Resource": "*", "NotResource": "b"}, "Resource and NotResource"),
        ({"Action": "s3:Get", "NotPrincipal": "*"}, "NotPrincipal"),
        ({"Action": "s3"}, "service:Action"),
        ({"Action": []}, "service:Action"),
        ({"Action": "s3:Get", "Effect": "Maybe"}, "Maybe"),
        ({"Action": "s3:Get", "Principal": {"Planet": "Mars"}}, "Planet"),
    ],
)
def test_what_is_not_evaluated_is_refused_with_its_name(statement: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        read(json.dumps({"Statement": {"Effect": "Allow", **statement}}))


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"Statement"'])
def test_what_is_no_policy_is_refused(document: str) -> None:
    with pytest.raises(PolicyError, match="not a policy document"):
        read(document)


def test_a_service_needs_no_identity_policy_and_an_account_does() -> None:
    queue = statements(
        [{"Effect": "Allow", "Principal": {"Service": WHO[1]}, "Action": "sqs:SendMessage", "Resource": "q"}]
    )
    assert decide(Request(frozenset({WHO[1]}), "sqs:SendMessage", "q"), (), queue).allowed
    assert not decide(Request(frozenset({WHO[0]}), "sqs:SendMessage", "q"), (), queue).allowed
