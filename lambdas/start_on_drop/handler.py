"""Starts a run when a partner has dropped a file."""

import os
from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.receive.drop import Starter


def handler(event: dict[str, Any], _context: object) -> dict[str, list[dict[str, str]]]:
    """Returns the messages that hold no event of S3."""
    starter = Starter(OpenProject.deployed(), boto3.client("stepfunctions"), os.environ["STATE_MACHINE_ARN"])
    return starter.start(event)
