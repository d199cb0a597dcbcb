"""terraform/bootstrap as docs/deploy.md has it applied, in an account in which others live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from local.gateway.server import running_gateway
from tests.support import deploy_page
from tests.support.newcomer import Newcomer, Said

OTHERS = "arn:aws:iam::123456789012:role/others"
THEIR_KEY = "alias/theirs"
DEFAULTS = " -var empty_lake_formation_defaults=true"


@dataclass
class Account:
    """What others have made, and what the applies said."""

    newcomer: Newcomer
    said: dict[str, Said] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            "eu-west-1",
            endpoint_url=self.newcomer.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def applies(self, what: str, more: str = "") -> Said:
        self.said[what] = self.newcomer.types(deploy_page.commands("2. ")[1] + more, given="yes\n")
        return self.said[what]

    def settles(self) -> None:
        """Makes what others have."""
        iam = self.client("iam")
        iam.create_role(RoleName="others", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
        iam.create_open_id_connect_provider(
            Url="https://token.actions.githubusercontent.com",
            ClientIDList=["sts.amazonaws.com"],
            ThumbprintList=["f" * 40],
        )
        iam.create_service_linked_role(AWSServiceName="lakeformation.amazonaws.com")
        lake = self.client("lakeformation")
        admins = [{"DataLakePrincipalIdentifier": OTHERS}]
        settings = lake.get_data_lake_settings()["DataLakeSettings"]
        lake.put_data_lake_settings(DataLakeSettings={**settings, "DataLakeAdmins": admins, "ReadOnlyAdmins": admins})
        self.client("glue").put_data_catalog_encryption_settings(
            DataCatalogEncryptionSettings={
                "EncryptionAtRest": {"CatalogEncryptionMode": "SSE-KMS", "SseAwsKmsKeyId": THEIR_KEY}
            }
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    newcomer = Newcomer(tmp_path_factory.mktemp("bootstrap"))
    newcomer.initialises()
    with running_gateway(tmp_path_factory.mktemp("gateway")) as newcomer.endpoint:
        account = Account(newcomer)
        account.settles()
        account.applies("without a word")
        looked_at = """ -var 'existing=["catalog_encryption"]'"""
        account.applies("what was looked at", DEFAULTS + looked_at)
        [existing] = deploy_page.inline("2. ", "-var 'existing=")
        kept = existing.replace('"]', '", "catalog_encryption"]')
        account.applies("all that is there", f"{DEFAULTS} {kept}")
        account.applies("once more", f" {kept}")
        account.applies("too late", " " + kept.replace('"]', '", "public_access_block"]'))
        yield account


def test_defaults_are_emptied_only_when_that_is_said(account: Account) -> None:
    assert not account.said["without a word"].ok
    assert "empty_lake_formation_defaults=true" in " ".join(account.said["without a word"].words.split())


def test_what_is_there_is_named_as_the_page_says(account: Account) -> None:
    said = account.said["what was looked at"]
    assert not said.ok
    page = deploy_page.text("2. ")
    for words in ("has been taken in this account", "already exists"):
        assert f'"{words}"' in page
        assert words in " ".join(said.words.split())


def test_named_in_existing_it_stays_and_the_rest_is_made(account: Account) -> None:
    assert account.said["all that is there"].ok, account.said["all that is there"].words[-2000:]
    encryption = account.client("glue").get_data_catalog_encryption_settings()["DataCatalogEncryptionSettings"]
    assert encryption["EncryptionAtRest"]["SseAwsKmsKeyId"] == THEIR_KEY
    roles = {role["RoleName"] for role in account.client("iam").list_roles()["Roles"]}
    assert {"headwater-dev-plan", "headwater-dev-apply"} <= roles


def test_administrators_of_others_stay(account: Account) -> None:
    settings = account.client("lakeformation").get_data_lake_settings()["DataLakeSettings"]
    named = {
        kind: {one["DataLakePrincipalIdentifier"] for one in settings[kind]}
        for kind in ("DataLakeAdmins", "ReadOnlyAdmins")
    }
    role = "arn:aws:iam::123456789012:role/headwater-dev"
    assert named["DataLakeAdmins"] == {OTHERS, f"{role}-apply", "arn:aws:iam::123456789012:user/local"}
    assert named["ReadOnlyAdmins"] == {OTHERS, f"{role}-plan"}
    assert not settings.get("CreateTableDefaultPermissions")


def test_a_second_apply_changes_nothing_and_no_longer_asks(account: Account) -> None:
    assert "0 added, 0 changed, 0 destroyed" in account.said["once more"].words


def test_what_is_named_too_late_is_not_taken_away(account: Account) -> None:
    assert not account.said["too late"].ok
    assert "Instance cannot be destroyed" in account.said["too late"].words
