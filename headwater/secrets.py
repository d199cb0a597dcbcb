"""JSON secrets in Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping

import boto3


def read_secret(name: str) -> dict[str, str]:
    """Reads a secret by its full name."""
    answer = boto3.client("secretsmanager").get_secret_value(SecretId=name)
    secret: dict[str, str] = json.loads(answer["SecretString"])
    return secret


def save_secret(name: str, secret: Mapping[str, str]) -> None:
    """Writes a secret back, of which the provider has rotated a part."""
    boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(dict(secret)))
