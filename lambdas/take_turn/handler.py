"""Lets one run after the other go on from Extract to the warehouse."""

from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.run.turn import take_turn


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Returns whether the run has its turn, and else which run has."""
    return take_turn(OpenProject.deployed(), boto3.client("stepfunctions"), event["execution"], event["turn"])
