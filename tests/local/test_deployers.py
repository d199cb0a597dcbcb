"""What the gateway lets those do who deploy: tokens from outside, boundaries, AWS's own policies, administrators of Lake Formation."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws import Aws, assumed, person_role

from .test_authority import LOGS, lists, made_key, reads, refused


def token(**claims: str) -> str:
    said = {"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com", **claims}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "repo:others/headwater:pull_request"},
        {"sub": "repo:you/headwater:pull_request", "aud": "others"},
        {"sub": "repo:you/headwater:pull_request", "iss": "https://others"},
        {},
    ],
)
def test_a_token_from_outside_assumes_only_the_role_that_trusts_what_it_says(aws: Aws, claims: dict[str, str]) -> None:
    iam, sts = aws.client("iam"), aws.client("sts")
    url = "https://token.actions.githubusercontent.com"
    provider = f"arn:aws:iam::123456789012:oidc-provider/{url.removeprefix('https://')}"
    known = {made["Arn"] for made in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]}
    if provider not in known:
        iam.create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["f" * 40])
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{url.removeprefix('https://')}:sub": "repo:you/headwater:pull_request"}},
    }
    role = person_role(aws)
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    iam.update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=document)

    def assumes(shown: str) -> Any:
        return sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="workflow", WebIdentityToken=shown)

    assert assumes(token(sub="repo:you/headwater:pull_request"))["Credentials"]
    for shown in (token(**claims), "none"):
        with pytest.raises(ClientError) as error:
            assumes(shown)
        assert refused(error) == "AccessDenied"


def test_a_role_does_no_more_than_its_boundary_says(aws: Aws) -> None:
    aws.put("a/1", "1")
    aws.put("b/1", "1")
    iam, role = aws.client("iam"), person_role(aws, reads(aws, "*"), lists(aws))
    document = json.dumps({"Version": "2012-10-17", "Statement": [reads(aws, "a/*")]})
    boundary = iam.create_policy(PolicyName=f"bound-{aws.bucket}", PolicyDocument=document)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=role.rpartition("/")[2], PermissionsBoundary=boundary)
    assert assumed(aws, role).get_object(Bucket=aws.bucket, Key="a/1")["Body"].read() == b"1"
    with pytest.raises(ClientError) as error:
        assumed(aws, role).get_object(Bucket=aws.bucket, Key="b/1")
    assert refused(error) == "AccessDenied"


def test_who_may_make_bounded_roles_makes_no_others(aws: Aws) -> None:
    iam, name = aws.client("iam"), f"made-{uuid.uuid4().hex[:6]}"
    document = json.dumps({"Version": "2012-10-17", "Statement": [LOGS]})
    boundary = iam.create_policy(PolicyName=f"bound-{name}", PolicyDocument=document)["Policy"]["Arn"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    bound = {
        "Effect": "Deny",
        "Action": "iam:CreateRole",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"iam:PermissionsBoundary": boundary}},
    }
    maker = assumed(aws, person_role(aws, everything, bound), "iam")
    made = {"RoleName": name, "AssumeRolePolicyDocument": json.dumps({"Statement": []})}
    for other in ({}, {"PermissionsBoundary": "arn:aws:iam::123456789012:policy/other"}):
        with pytest.raises(ClientError) as error:
            maker.create_role(**made, **other)
        assert refused(error) == "AccessDenied"
    assert maker.create_role(**made, PermissionsBoundary=boundary)["Role"]["Arn"]


def test_a_boundary_that_is_not_there_bounds_nobody(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        aws.client("iam").create_role(
            RoleName=f"unbound-{uuid.uuid4().hex[:6]}",
            AssumeRolePolicyDocument=json.dumps({"Statement": []}),
            PermissionsBoundary="arn:aws:iam::123456789012:policy/none",
        )
    assert refused(error) == "NoSuchEntity"


def test_what_a_function_keeps_encrypted_is_shown_to_whom_the_key_lets(aws: Aws) -> None:
    key, alias = made_key(aws), f"alias/{uuid.uuid4().hex[:6]}-data"
    aws.client("kms").create_alias(AliasName=alias, TargetKeyId=key)
    function = aws.function("def handler(event, context): pass", KMSKeyArn=key)
    look = {"Effect": "Allow", "Action": "lambda:Get*", "Resource": "*"}
    use = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}

    def through(name: str) -> dict[str, Any]:
        told = {"StringEquals": {"kms:ViaService": "lambda.eu-west-1.amazonaws.com"}}
        return use | {"Condition": {**told, "ForAnyValue:StringEquals": {"kms:ResourceAliases": name}}}

    for statements in ([look], [look, through("alias/other-data")]):
        with pytest.raises(ClientError) as error:
            assumed(aws, person_role(aws, *statements), "lambda").get_function(FunctionName=function)
        assert refused(error) == "AccessDeniedException"
    assert assumed(aws, person_role(aws, look, through(alias)), "lambda").get_function(FunctionName=function)


def test_awss_own_policies_say_what_aws_has_written_in_them(aws: Aws) -> None:
    role = person_role(aws)
    aws.client("iam").attach_role_policy(
        RoleName=role.rpartition("/")[2], PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
    )
    assert assumed(aws, role, "glue").get_jobs()["ResponseMetadata"]
    with pytest.raises(ClientError) as error:
        assumed(aws, role, "glue").delete_job(JobName="any")
    assert refused(error) == "AccessDeniedException"


def test_redshift_serverless_asks_who_may(aws: Aws) -> None:
    look = {"Effect": "Allow", "Action": "redshift-serverless:ListWorkgroups", "Resource": "*"}
    client = assumed(aws, person_role(aws, look), "redshift-serverless")
    assert "workgroups" in client.list_workgroups()
    with pytest.raises(ClientError) as error:
        client.create_namespace(namespaceName="refused")
    assert refused(error) == "AccessDeniedException"


def test_everybody_is_told_who_he_is(aws: Aws) -> None:
    role = person_role(aws)
    session = role.replace("iam::", "sts::").replace("role/", "assumed-role/") + "/person"
    assert assumed(aws, role, "sts").get_caller_identity()["Arn"] == session
    assert aws.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/test"


def test_lake_formation_shows_its_grants_to_administrators_and_takes_them_from_no_other(aws: Aws) -> None:
    lake = aws.client("lakeformation")
    database = f"lake_{uuid.uuid4().hex[:6]}"
    aws.client("glue").create_database(DatabaseInput={"Name": database})
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    stranger, reader, administrator = (person_role(aws, everything) for _ in range(3))
    settings = lake.get_data_lake_settings()["DataLakeSettings"]
    lake.put_data_lake_settings(
        DataLakeSettings={
            **settings,
            "DataLakeAdmins": [{"DataLakePrincipalIdentifier": administrator}],
            "ReadOnlyAdmins": [{"DataLakePrincipalIdentifier": reader}],
        }
    )
    grant = {
        "Principal": {"DataLakePrincipalIdentifier": "arn:aws:iam::123456789012:role/somebody"},
        "Resource": {"Database": {"Name": database}},
        "Permissions": ["DESCRIBE"],
    }
    for role in (stranger, reader):
        with pytest.raises(ClientError) as error:
            assumed(aws, role, "lakeformation").grant_permissions(**grant)
        assert refused(error) == "AccessDeniedException"
    assumed(aws, administrator, "lakeformation").grant_permissions(**grant)

    def seen(role: str) -> int:
        found = assumed(aws, role, "lakeformation").list_permissions()["PrincipalResourcePermissions"]
        return sum(one["Resource"].get("Database", {}).get("Name") == database for one in found)

    assert [seen(role) for role in (stranger, reader, administrator)] == [0, 1, 1]
