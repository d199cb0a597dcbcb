"""The declared pipeline: strict, frozen models of config/, read from YAML or from the deployed project file.

Unknown keys are refused with file and path. Terraform reads the same YAML, and drops unknown keys silently, so
`headwater validate` runs before every plan.
"""

from headwater.config.environment import Environment, SourceOverride, Warehouse
from headwater.config.http_source import (
    Auth,
    BearerAuth,
    CursorPaging,
    HttpSource,
    HttpStream,
    NoAuth,
    OnePage,
    Paging,
    Rate,
    Retry,
    Window,
)
from headwater.config.jdbc_source import BookmarkRead, JdbcSource, JdbcStream, WatermarkRead
from headwater.config.policy import BatchCheck, KnownCheck, Policy, RowCheck
from headwater.config.project import Project, Source, Stream, json_schemas, load_deployed, load_project, parse_date
from headwater.config.stream import Column, InsertWrite, JobSize, MergeWrite, ReplaceWrite, Scd2Write, StreamBase, Write
from headwater.config.strict import Identifier, Name, Strict

__all__ = [
    "Auth",
    "BatchCheck",
    "BearerAuth",
    "BookmarkRead",
    "Column",
    "CursorPaging",
    "Environment",
    "HttpSource",
    "HttpStream",
    "Identifier",
    "InsertWrite",
    "JdbcSource",
    "JdbcStream",
    "JobSize",
    "KnownCheck",
    "MergeWrite",
    "Name",
    "NoAuth",
    "OnePage",
    "Paging",
    "Policy",
    "Project",
    "Rate",
    "ReplaceWrite",
    "Retry",
    "RowCheck",
    "Scd2Write",
    "Source",
    "SourceOverride",
    "Stream",
    "StreamBase",
    "Strict",
    "Warehouse",
    "WatermarkRead",
    "Window",
    "Write",
    "json_schemas",
    "load_deployed",
    "load_project",
    "parse_date",
]
