"""Crawls the tables whose schema has changed."""

from typing import Any

import boto3

from headwater.open_project import OpenProject
from headwater.run.crawl import crawl_changed


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Starts crawlers, or looks at those that were started; a crawl that failed raises CrawlError."""
    return crawl_changed(OpenProject.deployed(), boto3.client("glue"), event["crawl"])
