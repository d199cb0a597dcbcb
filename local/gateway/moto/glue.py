"""Glue: calls that moto 5.2.5 lacks or answers wrongly, apart from job runs and crawls."""

from __future__ import annotations

import json
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores, utcnow
from moto.glue.models import FakeCrawler, FakeJob
from moto.glue.responses import GlueResponse


def install() -> None:
    """Adds the calls that change a job and a crawler."""
    GlueResponse.update_job = _update_job
    GlueResponse.update_crawler = _update_crawler


def _update_job(self: GlueResponse) -> ActionResult:
    name, update = self.parameters["JobName"], self.parameters["JobUpdate"]
    job: FakeJob = self.glue_backend.get_job(name)
    # UpdateJob replaces the whole definition: what is left out goes back to its default.
    defaults: dict[str, Any] = {
        "description": None,
        "default_arguments": {},
        "non_overridable_arguments": None,
        "connections": None,
        "execution_property": {},
        "max_retries": 0,
        "timeout": None,
    }
    _assign(job, defaults | {camelcase_to_underscores(key): value for key, value in update.items()})
    job.last_modified_on = utcnow()
    return ActionResult({"JobName": name})


def _update_crawler(self: GlueResponse) -> ActionResult:
    crawler: FakeCrawler = self.glue_backend.get_crawler(self.parameters["Name"])
    update = {camelcase_to_underscores(key): value for key, value in self.parameters.items() if key != "Name"}
    _assign(crawler, update)
    crawler.version += 1
    crawler.last_updated = utcnow()
    return EmptyResult()


def _assign(entity: object, values: dict[str, Any]) -> None:
    unknown = sorted(name for name in values if not hasattr(entity, name))
    if unknown:
        raise NotImplementedError(f"{type(entity).__name__} has no {json.dumps(unknown)}")
    for name, value in values.items():
        setattr(entity, name, value)
