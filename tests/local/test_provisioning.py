"""What Terraform makes and reads back: Redshift Serverless, which moto lacks, and details that moto forgets or answers wrongly."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from local.gateway.iam.principals import Principal
from local.gateway.redshift.serverless import RedshiftServerless
from local.gateway.settings import GatewaySettings
from local.postgres import PostgresServer, free_port
from tests.support.aws import ROLE, Aws


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture
def name() -> str:
    return f"w-{uuid.uuid4().hex[:8]}"


def test_a_workgroup_and_its_namespace_are_told_as_they_were_made(aws: Aws, name: str) -> None:
    redshift = aws.client("redshift-serverless")
    space = redshift.create_namespace(namespaceName=name, dbName="shop", manageAdminPassword=True)["namespace"]
    group = redshift.create_workgroup(
        workgroupName=name,
        namespaceName=name,
        baseCapacity=8,
        configParameters=[{"parameterKey": "require_ssl", "parameterValue": "true"}],
        tags=[{"key": "project", "value": "headwater"}],
    )["workgroup"]
    assert redshift.get_namespace(namespaceName=name)["namespace"] == space
    assert redshift.get_workgroup(workgroupName=name)["workgroup"] == group
    assert (space["dbName"], space["status"], group["baseCapacity"], group["status"]) == (
        "shop",
        "AVAILABLE",
        8,
        "AVAILABLE",
    )
    assert "adminPasswordSecretArn" in space
    tags = redshift.list_tags_for_resource(resourceArn=group["workgroupArn"])["tags"]
    assert tags == [{"key": "project", "value": "headwater"}]


def test_a_namespace_stays_as_long_as_it_has_a_workgroup(aws: Aws, name: str) -> None:
    redshift = aws.client("redshift-serverless")
    redshift.create_namespace(namespaceName=name)
    redshift.create_workgroup(workgroupName=name, namespaceName=name)
    with pytest.raises(ClientError) as refused:
        redshift.delete_namespace(namespaceName=name)
    assert refusal(refused) == "ConflictException"
    redshift.delete_workgroup(workgroupName=name)
    redshift.delete_namespace(namespaceName=name)
    with pytest.raises(ClientError) as refused:
        redshift.get_namespace(namespaceName=name)
    assert refusal(refused) == "ResourceNotFoundException"


def test_what_is_there_is_not_made_twice_and_a_workgroup_needs_its_namespace(aws: Aws, name: str) -> None:
    redshift = aws.client("redshift-serverless")
    with pytest.raises(ClientError) as refused:
        redshift.create_workgroup(workgroupName=name, namespaceName=name)
    assert refusal(refused) == "ResourceNotFoundException"
    redshift.create_namespace(namespaceName=name)
    with pytest.raises(ClientError) as refused:
        redshift.create_namespace(namespaceName=name)
    assert refusal(refused) == "ConflictException"


def test_a_workgroup_is_told_with_every_parameter_and_takes_no_update_that_changes_none(aws: Aws, name: str) -> None:
    redshift = aws.client("redshift-serverless")
    redshift.create_namespace(namespaceName=name)
    ssl = {"parameterKey": "require_ssl", "parameterValue": "true"}
    made = redshift.create_workgroup(workgroupName=name, namespaceName=name, configParameters=[ssl])["workgroup"]
    assert ssl in made["configParameters"]
    assert len(made["configParameters"]) >= 9
    with pytest.raises(ClientError, match="You didn't specify any changes to the configuration parameters"):
        redshift.update_workgroup(workgroupName=name, configParameters=[ssl])
    changed = {**ssl, "parameterValue": "false"}
    updated = redshift.update_workgroup(workgroupName=name, configParameters=[changed])["workgroup"]
    assert changed in updated["configParameters"]
    assert len(updated["configParameters"]) == len(made["configParameters"])


def test_a_usage_limit_is_changed_and_removed(aws: Aws) -> None:
    redshift = aws.client("redshift-serverless")
    limit = redshift.create_usage_limit(resourceArn="arn:any", usageType="serverless-compute", amount=24)["usageLimit"]
    redshift.update_usage_limit(usageLimitId=limit["usageLimitId"], amount=48)
    assert redshift.get_usage_limit(usageLimitId=limit["usageLimitId"])["usageLimit"]["amount"] == 48
    redshift.delete_usage_limit(usageLimitId=limit["usageLimitId"])
    assert limit["usageLimitId"] not in [kept["usageLimitId"] for kept in redshift.list_usage_limits()["usageLimits"]]


def test_what_the_local_stack_does_not_know_is_refused_by_name(aws: Aws) -> None:
    with pytest.raises(ClientError, match="does not know RestoreFromSnapshot"):
        aws.client("redshift-serverless").restore_from_snapshot(namespaceName="any", workgroupName="any")


def _administrator(*_call: object) -> Principal:
    arn = "arn:aws:iam::123456789012:user/test"
    return Principal("test", arn, "-", frozenset({arn}), ())


def test_a_namespace_brings_its_database(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "data", free_port()) as server:
        api = RedshiftServerless(GatewaySettings(port=1, home=tmp_path, warehouse_dsn=server.dsn), _administrator)
        body = json.dumps({"namespaceName": "n", "dbName": "lake"}).encode()
        environ: dict[str, Any] = {
            "HTTP_X_AMZ_TARGET": "RedshiftServerless.CreateNamespace",
            "wsgi.input": io.BytesIO(body),
        }
        assert api.takes(environ)
        list(api.answer(environ, lambda *_: None))
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT 1 FROM pg_database WHERE datname = 'lake'").fetchone() == (1,)


def test_a_bucket_that_refuses_plain_connections_takes_the_gateways_clients_and_other_denials_stand(aws: Aws) -> None:
    s3 = aws.client("s3")
    arn = f"arn:aws:s3:::{aws.bucket}"
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    closed = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/closed/*"}
    s3.put_bucket_policy(Bucket=aws.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls, closed]}))
    s3.put_object(Bucket=aws.bucket, Key="open/a", Body=b"a")
    assert s3.get_object(Bucket=aws.bucket, Key="open/a")["Body"].read() == b"a"
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=aws.bucket, Key="closed/a", Body=b"a")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_an_object_of_an_encrypted_bucket_names_no_key(aws: Aws) -> None:
    s3 = aws.client("s3")
    key = "arn:aws:kms:eu-west-1:123456789012:key/any"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=aws.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket=aws.bucket, Key="a", Body=b"a")
    told = s3.head_object(Bucket=aws.bucket, Key="a")
    assert told["ServerSideEncryption"] == "aws:kms"
    assert "SSEKMSKeyId" not in told


def test_access_logs_may_go_where_the_policy_lets_them_and_are_not_delivered(aws: Aws) -> None:
    s3 = aws.client("s3")
    target = f"logs-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=target, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    wanted = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "a/"}}
    everybody = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{target}/*",
    }
    service = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
    }
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_logging(Bucket=aws.bucket, BucketLoggingStatus=wanted)
    assert refusal(refused) == "InvalidTargetBucketForLogging"
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody, service]}))
    s3.put_bucket_logging(Bucket=aws.bucket, BucketLoggingStatus=wanted)
    assert s3.get_bucket_logging(Bucket=aws.bucket)["LoggingEnabled"]["TargetBucket"] == target
    s3.put_object(Bucket=aws.bucket, Key="a", Body=b"a")
    assert s3.list_objects_v2(Bucket=target)["KeyCount"] == 0


def test_a_lifecycle_rule_keeps_the_sizes_it_is_for(aws: Aws) -> None:
    s3 = aws.client("s3")
    move = [{"Days": 30, "StorageClass": "GLACIER_IR"}]
    rules = [
        {"ID": "large", "Status": "Enabled", "Filter": {"ObjectSizeGreaterThan": 131072}, "Transitions": move},
        {
            "ID": "large raw",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "raw/", "ObjectSizeGreaterThan": 131072}},
            "Transitions": move,
        },
        {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 7}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=aws.bucket, LifecycleConfiguration={"Rules": rules})
    told = s3.get_bucket_lifecycle_configuration(Bucket=aws.bucket)["Rules"]
    assert [rule["Filter"] for rule in told] == [rule["Filter"] for rule in rules]


def test_a_bucket_tells_that_it_speaks_to_eventbridge(aws: Aws) -> None:
    s3 = aws.client("s3")
    assert "EventBridgeConfiguration" not in s3.get_bucket_notification_configuration(Bucket=aws.bucket)
    s3.put_bucket_notification_configuration(
        Bucket=aws.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=aws.bucket)


@pytest.mark.parametrize("versioning", ["Enabled", "Suspended"])
def test_a_bucket_with_versions_that_speaks_to_eventbridge_can_be_emptied(aws: Aws, versioning: Any) -> None:
    s3 = aws.client("s3")
    s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=aws.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    for key in ("kept", "deleted"):
        s3.put_object(Bucket=aws.bucket, Key=key, Body=b"a")
    s3.delete_object(Bucket=aws.bucket, Key="deleted")
    s3.put_bucket_versioning(Bucket=aws.bucket, VersioningConfiguration={"Status": versioning})
    found = s3.list_object_versions(Bucket=aws.bucket)
    versions = [*found["Versions"], *found["DeleteMarkers"]]
    assert len(versions) == 3
    named = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
    assert "Errors" not in s3.delete_objects(Bucket=aws.bucket, Delete={"Objects": named})
    s3.delete_bucket(Bucket=aws.bucket)
    assert aws.bucket not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_a_function_tells_where_its_dead_letters_go(aws: Aws) -> None:
    functions = aws.client("lambda")
    plain = aws.function("def handler(event, context): pass")
    assert "DeadLetterConfig" not in functions.get_function_configuration(FunctionName=plain)
    first, second = ({"TargetArn": f"arn:aws:sqs:eu-west-1:123456789012:{name}"} for name in ("first", "second"))
    function = aws.function("def handler(event, context): pass", DeadLetterConfig=first)
    assert functions.get_function_configuration(FunctionName=function)["DeadLetterConfig"] == first
    functions.update_function_configuration(FunctionName=function, DeadLetterConfig=second)
    assert functions.get_function_configuration(FunctionName=function)["DeadLetterConfig"] == second


def test_a_mapping_to_an_alias_stays_one(aws: Aws, name: str) -> None:
    functions, sqs = aws.client("lambda"), aws.client("sqs")
    function = aws.function("def handler(event, context): pass", Publish=True)
    alias = functions.create_alias(FunctionName=function, Name="live", FunctionVersion="1")["AliasArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = functions.create_event_source_mapping(EventSourceArn=queue, FunctionName=alias)
    assert functions.get_event_source_mapping(UUID=mapping["UUID"])["FunctionArn"] == alias


def test_a_queue_tells_its_redrive_policy_as_it_was_sent(aws: Aws, name: str) -> None:
    sqs = aws.client("sqs")
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5}, separators=(",", ":"))
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert told["RedrivePolicy"] == policy


def test_a_crawler_tells_whose_permissions_it_uses(aws: Aws, name: str) -> None:
    glue = aws.client("glue")
    targets = {"S3Targets": [{"Path": f"s3://{aws.bucket}/any/"}]}
    lake = {"UseLakeFormationCredentials": True}
    glue.create_crawler(Name=name, Role=ROLE, DatabaseName="any", Targets=targets, LakeFormationConfiguration=lake)
    assert glue.get_crawler(Name=name)["Crawler"]["LakeFormationConfiguration"] == lake


def test_a_permission_is_revoked_once(aws: Aws) -> None:
    lake = aws.client("lakeformation")
    grant = {
        "Principal": {"DataLakePrincipalIdentifier": ROLE},
        "Resource": {"Database": {"Name": f"d{uuid.uuid4().hex[:8]}"}},
        "Permissions": ["DESCRIBE"],
    }
    lake.grant_permissions(**grant)
    lake.revoke_permissions(**grant)
    with pytest.raises(ClientError, match="No permissions revoked"):
        lake.revoke_permissions(**grant)


def test_a_budget_tells_who_hears_of_it(aws: Aws, name: str) -> None:
    budgets = aws.client("budgets")
    noted = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
    told = [{"SubscriptionType": "SNS", "Address": "arn:aws:sns:eu-west-1:123456789012:alerts"}]
    budgets.create_budget(
        AccountId="123456789012",
        Budget={
            "BudgetName": name,
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "300", "Unit": "USD"},
        },
        NotificationsWithSubscribers=[{"Notification": noted, "Subscribers": told}],
    )
    found = budgets.describe_subscribers_for_notification(AccountId="123456789012", BudgetName=name, Notification=noted)
    assert found["Subscribers"] == told
