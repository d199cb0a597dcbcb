"""Calls that moto 5.2.5 lacks or answers wrongly, and that deploying or running the pipeline needs."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from typing import Any

from moto.athena.models import AthenaBackend
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores, utcnow
from moto.glue.models import FakeCrawler, FakeJob
from moto.glue.responses import GlueResponse
from moto.s3.responses import S3Response


def install() -> None:
    """Adds the missing calls to moto's services."""
    _tag_workgroups()
    _serialise_conditional_writes()
    GlueResponse.update_job = _update_job
    GlueResponse.update_crawler = _update_crawler


def _tag_workgroups() -> None:
    # moto calls a workgroup without tags non-existent.
    original = AthenaBackend.list_tags_for_resource

    def list_tags_for_resource(self: AthenaBackend, resource_arn: str) -> dict[str, Any] | None:
        exists = any(resource_arn.endswith(f":workgroup/{name}") for name in self.work_groups)
        return original(self, resource_arn) or ({"Tags": []} if exists else None)

    AthenaBackend.list_tags_for_resource = list_tags_for_resource


def _serialise_conditional_writes() -> None:
    # moto looks and then writes; between the two another thread may write, and If-None-Match would let both through.
    original = S3Response.put_object
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def put_object(self: S3Response, *args: Any, **named: Any) -> Any:
        if not (self.headers.get("If-None-Match") or self.headers.get("If-Match")):
            return original(self, *args, **named)
        with locks[self.path]:
            return original(self, *args, **named)

    S3Response.put_object = put_object


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
