"""Brings the warehouse up to date."""

from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.run.load import load_changes


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Loads each gold table that has changes which the warehouse lacks; LoadError, in the end, names what it refuses."""
    return load_changes(OpenProject.deployed(), boto3.client("redshift-data"), event["run_id"], event["load"])
