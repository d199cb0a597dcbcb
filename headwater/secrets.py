"""JSON secrets in Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping

import boto3

from headwater.redaction import keep_out, secrets_in


def read_secret(name: str) -> dict[str, str]:
    """Reads a secret by its full name; no log and no error says from then on what is in it."""
    answer = boto3.client("secretsmanager").get_secret_value(SecretId=name)
    secret: dict[str, str] = json.loads(answer["SecretString"])
    keep_out(secrets_in(secret))
    return secret


def save_secret(name: str, secret: Mapping[str, str]) -> None:
    """Writes a secret back, of which the provider has rotated a part."""
    keep_out(secrets_in(secret))
    boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(dict(secret)))
