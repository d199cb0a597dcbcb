"""Where a policy is put it is read: what the gateway does not evaluate is refused there, in each place where one enters."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from local.gateway.iam.documents import NOT_EVALUATED
from local.gateway.moto.step_functions import boto_service
from tests.local.test_judged import SERVICES, filled
from tests.support.aws import Aws, assumed, person_role

READ = {
    *("iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:PutRolePolicy", "iam:PutUserPolicy"),
    *("iam:UpdateAssumeRolePolicy", "kms:CreateKey", "kms:PutKeyPolicy", "s3:PutBucketPolicy"),
    *("sns:CreateTopic", "sns:SetTopicAttributes", "sqs:CreateQueue", "sqs:SetQueueAttributes"),
}
NOT_THERE = {
    *(
        "apigatewayv2:PutPortalProductSharingPolicy",
        "lambda:PutResourcePolicy",
        "redshift-serverless:PutResourcePolicy",
    ),
    *("logs:PutAccountPolicy", "logs:PutDataProtectionPolicy", "logs:PutIndexPolicy", "sns:PutDataProtectionPolicy"),
}
"""Nobody of us answers these, or what they put is no policy of IAM's."""
QUESTIONS = {
    "GetContextKeysForCustomPolicy",
    "SimulateCustomPolicy",
    "SimulatePrincipalPolicy",
    "ValidateResourcePolicy",
}
BY_TOKEN = {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
WORDS = {"PolicyHashCondition", "PolicyExistsCondition", "PolicyUsageFilter", "policyType", "policyScope"}

ODD = {"StringEquals": {"aws:Unheard": "1"}}


TRUSTS = {"iam:CreateRole", "iam:UpdateAssumeRolePolicy"}


def policy(place: str, resource: str = "*", **more: Any) -> str:
    """A policy that its place takes, but for what `more` says: one of a role says who, one of an identity where."""
    statement = {
        "Sid": "One",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sts:AssumeRole",
        "Resource": resource,
        **more,
    }
    del statement["Resource" if place in TRUSTS else "Principal" if place.startswith("iam:") else "Sid"]
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def places() -> set[str]:
    """Every call of ours that may take a policy, by the text that is called so, or by attributes that have one."""
    session = botocore.session.get_session()
    found = set()
    for service in SERVICES:
        model = session.get_service_model(service)
        for operation in model.operation_names:
            shape = model.operation_model(operation).input_shape
            given = shape.members if shape else {}
            named = {
                name
                for name, member in given.items()
                if "policy" in name.lower() and member.type_name == "string"
                if not name.endswith(("Arn", "Name", "Id", "Token")) and name not in WORDS
            }
            if named or (
                service in {"sqs", "sns"}
                and operation.endswith(("Queue", "QueueAttributes", "Topic", "TopicAttributes"))
                and {"Attributes", "AttributeName"} & {*given}
            ):
                found.add(f"{service}:{operation}")
    return found


def test_every_place_where_a_policy_enters_is_known() -> None:
    known = READ | {*NOT_EVALUATED} | NOT_THERE
    assert {place for place in places() if place.partition(":")[2] not in QUESTIONS | BY_TOKEN} - known == set()
    assert READ - places() == set()


def refusals(aws: Aws) -> dict[str, Callable[[str], Any]]:
    iam, kms, sqs, sns, s3 = (aws.client(name) for name in ("iam", "kms", "sqs", "sns", "s3"))
    name = f"p-{uuid.uuid4().hex[:8]}"
    role = aws.role("bare").rpartition("/")[2]
    iam.create_user(UserName=name)
    own = iam.create_policy(PolicyName=name, PolicyDocument=policy("iam:CreatePolicy"))["Policy"]["Arn"]
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    queue, topic = sqs.create_queue(QueueName=name)["QueueUrl"], sns.create_topic(Name=name)["TopicArn"]
    return {
        "iam:CreatePolicy": lambda text: iam.create_policy(PolicyName=f"{name}-b", PolicyDocument=text),
        "iam:CreatePolicyVersion": lambda text: iam.create_policy_version(PolicyArn=own, PolicyDocument=text),
        "iam:CreateRole": lambda text: iam.create_role(RoleName=name, AssumeRolePolicyDocument=text),
        "iam:PutRolePolicy": lambda text: iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=text),
        "iam:PutUserPolicy": lambda text: iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=text),
        "iam:UpdateAssumeRolePolicy": lambda text: iam.update_assume_role_policy(RoleName=role, PolicyDocument=text),
        "kms:CreateKey": lambda text: kms.create_key(Policy=text),
        "kms:PutKeyPolicy": lambda text: kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text),
        "s3:PutBucketPolicy": lambda text: s3.put_bucket_policy(Bucket=aws.bucket, Policy=text),
        "sns:CreateTopic": lambda text: sns.create_topic(Name=f"{name}-b", Attributes={"Policy": text}),
        "sns:SetTopicAttributes": lambda text: sns.set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=text
        ),
        "sqs:CreateQueue": lambda text: sqs.create_queue(QueueName=f"{name}-b", Attributes={"Policy": text}),
        "sqs:SetQueueAttributes": lambda text: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": text}),
    }


def test_a_policy_that_is_not_evaluated_is_refused_wherever_it_is_put(aws: Aws) -> None:
    puts = refusals(aws)
    assert set(puts) == READ
    for place, put in puts.items():
        for odd, said in (
            ({"Condition": ODD}, "not evaluated here"),
            ({"Condition": {"NumericEquals": {"s3:prefix": "1"}}}, "not evaluated here"),
            ({"NotAction": "s3:*"}, "Action and NotAction in one statement"),
        ):
            with pytest.raises(ClientError, match=said):
                put(policy(place, f"arn:aws:s3:::{aws.bucket}/*", **odd))
    for place, put in puts.items():
        put(policy(place, f"arn:aws:s3:::{aws.bucket}/*", Condition={"Bool": {"aws:SecureTransport": "true"}}))


@pytest.mark.parametrize("action", sorted(NOT_EVALUATED))
def test_a_policy_of_a_kind_that_nothing_evaluates_is_refused(aws: Aws, action: str) -> None:
    service, _, operation = action.partition(":")
    client = aws.client(boto_service(service), parameter_validation=False)
    method = next(name for name, known in client.meta.method_to_api_mapping.items() if known == operation)
    given = filled(client.meta.service_model.operation_model(operation).input_shape)
    with pytest.raises(ClientError, match=f"{action}: a policy by {NOT_EVALUATED[action]} is not evaluated here"):
        getattr(client, method)(**{**given, NOT_EVALUATED[action]: policy(action)})


def test_a_role_may_do_what_its_boundary_lets_it_and_no_more(aws: Aws) -> None:
    aws.put("a", "1")
    iam, name = aws.client("iam"), f"bounded-{uuid.uuid4().hex[:6]}"
    every = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}

    def bounded(*statements: dict[str, Any]) -> Any:
        bound = f"{name}-{uuid.uuid4().hex[:6]}"
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        arn = iam.create_policy(PolicyName=bound, PolicyDocument=document)["Policy"]["Arn"]
        role = person_role(aws, every)
        iam.put_role_permissions_boundary(RoleName=role.rpartition("/")[2], PermissionsBoundary=arn)
        return assumed(aws, role)

    reads = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    reader = bounded(reads)
    assert reader.get_object(Bucket=aws.bucket, Key="a")["ContentLength"] == 1
    for asks in (
        lambda: reader.put_object(Bucket=aws.bucket, Key="b", Body=b""),
        lambda: bounded(reads, {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}).get_object(
            Bucket=aws.bucket, Key="a"
        ),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            asks()
