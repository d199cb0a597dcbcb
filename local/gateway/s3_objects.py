"""The ways in which the local warehouse and the local Athena read and write the gateway's S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
from moto.s3.models import s3_backends
from pyarrow.fs import FileSystem, S3FileSystem

from local.gateway.iam.principals import key_of
from local.gateway.settings import GatewaySettings


class S3Objects:
    """The gateway's own S3, as the engines behind Redshift and Athena reach it."""

    def __init__(self, settings: GatewaySettings, key: str = "test") -> None:
        """`key` is the id that requests are signed with."""
        self._settings = settings
        self._key = key

    def of_role(self, arn: str) -> S3Objects:
        """The same in the name of a role that Redshift assumes."""
        return S3Objects(self._settings, key_of(arn, "redshift-serverless.amazonaws.com", "RedshiftIamRoleSession"))

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A boto3 client of S3 whose connections are closed in the end."""
        made: Any = boto3.client(
            "s3",
            endpoint_url=self._settings.endpoint,
            region_name=self._settings.region,
            aws_access_key_id=self._key,
            aws_secret_access_key=self._key,
        )
        with closing(made) as client:
            yield client

    def filesystem(self) -> FileSystem:
        """The same for pyarrow; paths are `bucket/key`."""
        return S3FileSystem(
            access_key=self._key,
            secret_key="test",  # noqa: S106 - moto accepts anything
            endpoint_override=self._settings.endpoint.removeprefix("http://"),
            scheme="http",
            region=self._settings.region,
        )

    def delta_options(self) -> dict[str, str]:
        """The same for delta-rs: its storage options."""
        return {
            "AWS_ENDPOINT_URL": self._settings.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": self._settings.region,
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": "test",
        }


def set_modified(settings: GatewaySettings, modified: Mapping[str, Mapping[str, float]]) -> None:
    """Sets when objects were modified, in seconds since 1970 by bucket and key: those that are put back are as old as they were."""
    buckets = s3_backends[settings.account_id]["aws"].buckets
    for bucket, keys in modified.items():
        for key, seconds in keys.items():
            buckets[bucket].keys[key].last_modified = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
