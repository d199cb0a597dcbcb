"""The `aws` command as far as docs/deploy.md uses it: `python -m tests.support.aws_command iam attach-role-policy --role-name …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3


def _value(text: str) -> str:
    return Path(text.removeprefix("file://")).read_text() if text.startswith("file://") else text


def run(service: str, operation: str, *options: str) -> dict[str, Any]:
    """Calls an operation with its options, whose names are those of the API's parameters in lower case."""
    pairs = zip(options[::2], options[1::2], strict=True)
    given = {"".join(part.title() for part in name.lstrip("-").split("-")): _value(value) for name, value in pairs}
    answer: dict[str, Any] = getattr(boto3.client(service), operation.replace("-", "_"))(**given)
    return answer


if __name__ == "__main__":
    run(*sys.argv[1:])
