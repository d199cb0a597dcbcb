"""The gateway denies by default: what policies allow is done, and everything else is refused as AWS refuses it."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.aws import Aws, assumed, person_role

READ = "def handler(event, context):\n    import boto3\n    return boto3.client('s3').get_object(**event)['Body'].read().decode()\n"
LOGS = {"Effect": "Allow", "Action": ["logs:*"], "Resource": "*"}


def refused(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def reads(aws: Aws, key: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{aws.bucket}/{key}"}


def lists(aws: Aws, **condition: Any) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{aws.bucket}"}
    return allowed | ({"Condition": condition} if condition else {})


def made_key(aws: Aws, *statements: dict[str, Any]) -> str:
    """A key with a policy of these statements; without any, the account's policies decide."""
    root = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [*statements] or [root]})
    return str(aws.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"])


def encrypt(aws: Aws, key: str) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    aws.client("s3").put_bucket_encryption(Bucket=aws.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def test_a_function_does_what_its_role_allows_and_nothing_else(aws: Aws) -> None:
    aws.put("a/mine", "1")
    aws.put("b/other", "2")
    function = aws.function(READ, Role=aws.role("reader", reads(aws, "a/*"), lists(aws)))
    invoke = aws.client("lambda").invoke
    own = invoke(FunctionName=function, Payload=json.dumps({"Bucket": aws.bucket, "Key": "a/mine"}))
    assert json.load(own["Payload"]) == "1"
    other = invoke(FunctionName=function, Payload=json.dumps({"Bucket": aws.bucket, "Key": "b/other"}))
    assert "AccessDenied" in json.load(other["Payload"])["errorMessage"]


def test_whoever_may_not_list_is_not_told_that_nothing_is_there(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        assumed(aws, person_role(aws, reads(aws, "*"))).get_object(Bucket=aws.bucket, Key="none")
    assert refused(error) == "AccessDenied"
    with pytest.raises(ClientError) as error:
        assumed(aws, person_role(aws, reads(aws, "*"), lists(aws))).get_object(Bucket=aws.bucket, Key="none")
    assert refused(error) == "NoSuchKey"


def test_a_listing_keeps_to_its_prefix(aws: Aws) -> None:
    s3 = assumed(aws, person_role(aws, lists(aws, StringLike={"s3:prefix": ["a/*"]})))
    assert s3.list_objects_v2(Bucket=aws.bucket, Prefix="a/b")["KeyCount"] == 0
    for asked in ({"Prefix": "b/"}, {}):
        with pytest.raises(ClientError) as error:
            s3.list_objects_v2(Bucket=aws.bucket, **asked)
        assert refused(error) == "AccessDenied"


def test_of_many_objects_to_delete_none_may_be_another(aws: Aws) -> None:
    aws.put("a/1", "1")
    own = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{aws.bucket}/a/*"}
    s3 = assumed(aws, person_role(aws, own))
    with pytest.raises(ClientError):
        s3.delete_objects(Bucket=aws.bucket, Delete={"Objects": [{"Key": "a/1"}, {"Key": "b/1"}]})
    assert s3.delete_objects(Bucket=aws.bucket, Delete={"Objects": [{"Key": "a/1"}]})["Deleted"]


def test_nobody_signs_with_a_key_that_nobody_has(aws: Aws) -> None:
    session = boto3.session.Session("AKIAUNKNOWN", "x", region_name="eu-west-1")
    with pytest.raises(ClientError) as error:
        session.client("sqs", endpoint_url=aws.endpoint).list_queues()
    assert refused(error) == "UnrecognizedClientException"


def test_a_role_is_assumed_by_whom_it_trusts(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        assumed(aws, aws.role("for-services"))
    assert refused(error) == "AccessDenied"


def test_a_service_does_nothing_for_a_role_that_does_not_trust_it(aws: Aws) -> None:
    aws.put("a", "1")
    function = aws.function(READ, Role=person_role(aws, {"Effect": "Allow", "Action": "*", "Resource": "*"}))
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"Bucket": aws.bucket, "Key": "a"}))
    assert "AccessDenied" in json.load(answer["Payload"])["errorMessage"]


def test_what_is_encrypted_is_read_by_whom_the_key_lets(aws: Aws) -> None:
    key = made_key(aws)
    encrypt(aws, key)
    aws.put("a", "1")
    use = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": key}
    via = use | {"Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}}
    other = use | {"Condition": {"StringEquals": {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}}}
    for statements in ([], [other]):
        with pytest.raises(ClientError) as error:
            assumed(aws, person_role(aws, reads(aws, "*"), *statements)).get_object(Bucket=aws.bucket, Key="a")
        assert refused(error) == "AccessDenied"
    reader = assumed(aws, person_role(aws, reads(aws, "*"), via))
    assert reader.get_object(Bucket=aws.bucket, Key="a")["Body"].read() == b"1"


def test_a_function_whose_role_may_not_use_the_key_of_its_environment_does_not_start(aws: Aws) -> None:
    key, name = made_key(aws), f"sealed-{uuid.uuid4().hex[:6]}"
    use = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": key}
    own = f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
    said = []
    for arn in (f"{own}-other", own):
        context = {"StringLike": {"kms:EncryptionContext:aws:lambda:FunctionArn": arn}}
        function = aws.function(
            "def handler(event, context): return 1",
            Role=aws.role("sealed", use | {"Condition": context}),
            KMSKeyArn=key,
        )
        # The context names the function, whose name the fixture makes unique.
        policy = {"Version": "2012-10-17", "Statement": use | {"Condition": context}}
        text = json.dumps(policy).replace(name, function)
        role = aws.client("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
        aws.client("iam").put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=text)
        said.append(json.load(aws.client("lambda").invoke(FunctionName=function)["Payload"]))
    assert [answer if answer == 1 else answer["errorType"] for answer in said] == ["KMSAccessDeniedException", 1]


def test_a_function_without_the_right_to_log_leaves_no_log(aws: Aws) -> None:
    logs = aws.client("logs")
    found = []
    for role in (aws.role("mute"), aws.role("loud", LOGS)):
        function = aws.function("def handler(event, context): print('said')", Role=role)
        aws.client("lambda").invoke(FunctionName=function)
        found.append(logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")["logGroups"])
    assert not found[0]
    assert found[1]


def test_a_statement_is_looked_at_by_whom_its_condition_lets(aws: Aws) -> None:
    start = {"Effect": "Allow", "Action": ["redshift-data:ExecuteStatement"], "Resource": "*"}
    login = {"Effect": "Allow", "Action": ["redshift-serverless:GetCredentials"], "Resource": "*"}
    look: dict[str, Any] = {"Effect": "Allow", "Action": ["redshift-data:DescribeStatement"], "Resource": "*"}
    own = look | {"Condition": {"StringEquals": {"redshift-data:statement-owner-iam-userid": "${aws:userid}"}}}
    run = {"WorkgroupName": "any", "Database": "any", "Sql": "SELECT 1"}
    with pytest.raises(ClientError) as error:
        assumed(aws, person_role(aws, start), "redshift-data").execute_statement(**run)
    assert refused(error) == "AccessDeniedException"
    owner = assumed(aws, person_role(aws, start, login, own), "redshift-data")
    statement = owner.execute_statement(**run)["Id"]
    assert owner.describe_statement(Id=statement)["Id"] == statement
    with pytest.raises(ClientError) as error:
        assumed(aws, person_role(aws, own), "redshift-data").describe_statement(Id=statement)
    assert refused(error) == "AccessDeniedException"
    assert assumed(aws, person_role(aws, look), "redshift-data").describe_statement(Id=statement)["Id"] == statement


@pytest.mark.parametrize(
    ("condition", "named"),
    [({"NumericEquals": {"s3:prefix": "1"}}, "NumericEquals"), ({"StringEquals": {"aws:Unheard": "1"}}, "aws:Unheard")],
)
def test_a_policy_that_is_not_evaluated_is_not_taken(aws: Aws, condition: Any, named: str) -> None:
    with pytest.raises(ClientError, match=named) as error:
        aws.role("odd", reads(aws, "*") | {"Condition": condition})
    assert refused(error) == "MalformedPolicyDocument"


def test_a_buckets_policy_that_is_not_evaluated_is_not_taken(aws: Aws) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{aws.bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": statement | {"Condition": {"StringEquals": {"aws:Unheard": "1"}}}}
    with pytest.raises(ClientError, match="aws:Unheard") as error:
        aws.client("s3").put_bucket_policy(Bucket=aws.bucket, Policy=json.dumps(policy))
    assert refused(error) == "MalformedPolicy"


def test_a_buckets_policy_may_ask_with_which_acl_something_is_written(aws: Aws) -> None:
    writer = person_role(aws, {"Effect": "Allow", "Action": "s3:PutObject*", "Resource": "*"})
    other = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{aws.bucket}/*"}
    other |= {"Condition": {"StringNotEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": other})
    aws.client("s3").put_bucket_policy(Bucket=aws.bucket, Policy=policy)
    assumed(aws, writer).put_object(Bucket=aws.bucket, Key="a", Body=b"1", ACL="bucket-owner-full-control")
    with pytest.raises(ClientError) as error:
        assumed(aws, writer).put_object(Bucket=aws.bucket, Key="a", Body=b"1")
    assert refused(error) == "AccessDenied"


def test_a_policy_that_is_attached_counts_as_its_newest_default(aws: Aws) -> None:
    role, iam = person_role(aws), aws.client("iam")
    aws.put("a", b"1")
    allows = {"Version": "2012-10-17", "Statement": [reads(aws, "*")]}
    arn = iam.create_policy(PolicyName=f"{aws.bucket}-readers", PolicyDocument=json.dumps(allows))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role.rpartition("/")[2], PolicyArn=arn)
    assert assumed(aws, role).get_object(Bucket=aws.bucket, Key="a")["ContentLength"] == 1
    narrower = {"Version": "2012-10-17", "Statement": [reads(aws, "b/*")]}
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(narrower), SetAsDefault=True)
    with pytest.raises(ClientError) as error:
        assumed(aws, role).get_object(Bucket=aws.bucket, Key="a")
    assert refused(error) == "AccessDenied"


def test_a_bookmark_is_kept_where_the_role_may_use_its_key(aws: Aws) -> None:
    key, name = made_key(aws), f"sealed-{uuid.uuid4().hex[:6]}"
    encryption = {"JobBookmarksEncryption": {"JobBookmarksEncryptionMode": "CSE-KMS", "KmsKeyArn": key}}
    aws.client("glue").create_security_configuration(Name=name, EncryptionConfiguration=encryption)
    bookmark = {"Effect": "Allow", "Action": "glue:GetJobBookmark", "Resource": "*"}
    read = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
    readers = (aws.role("none"), aws.role("no-key", bookmark), aws.role("reader", bookmark, read))
    jobs = [aws.job("marked", "", Role=role, SecurityConfiguration=name) for role in readers]
    for job in jobs[:2]:
        with pytest.raises(HTTPError, match="403"):
            aws.own(f"bookmarks/{job}")
    assert aws.own(f"bookmarks/{jobs[2]}")["version"] == 0
    # To commit is to encrypt.
    commit = {"run_id": "jr_1", "attempt": 0, "version": 0, "states": {}}
    with pytest.raises(HTTPError, match="403"):
        aws.own(f"bookmarks/{jobs[2]}", "POST", commit)
