"""The declared pipeline: strict, frozen models of config/, read from YAML or from the deployed project file.

Unknown keys are refused with file and path. Terraform reads the same YAML, and drops unknown keys silently, so
`headwater validate` runs before every plan.
"""

from headwater.config.environment import Environment, SharedStage, SourceOverride, Warehouse
from headwater.config.files_source import FilesSource, FilesStream
from headwater.config.http_source import (
    Auth,
    BearerAuth,
    CursorPaging,
    HeadersAuth,
    HttpSource,
    HttpStream,
    NoAuth,
    OAuth,
    OnePage,
    Paging,
    Rate,
    Retry,
    Window,
)
from headwater.config.jdbc_source import BookmarkRead, JdbcSource, JdbcStream, WatermarkRead
from headwater.config.kafka_source import KafkaSource, KafkaStream
from headwater.config.kinesis_source import KinesisSource, KinesisStream
from headwater.config.policy import BatchCheck, KnownCheck, Policy, RowCheck
from headwater.config.project import (
    AnySource,
    Project,
    Source,
    Stream,
    json_schemas,
    load_deployed,
    load_project,
    parse_date,
)
from headwater.config.redshift_source import RedshiftSource, RedshiftStream
from headwater.config.snowflake_source import SnowflakeSource, SnowflakeStream
from headwater.config.stream import (
    Column,
    Drift,
    InsertWrite,
    JobSize,
    JsonStream,
    MergeWrite,
    Parser,
    ReplaceWrite,
    Rollout,
    Scd2Write,
    SourceBase,
    StreamBase,
    Write,
)
from headwater.config.strict import Identifier, Name, Strict

__all__ = [
    "AnySource",
    "Auth",
    "BatchCheck",
    "BearerAuth",
    "BookmarkRead",
    "Column",
    "CursorPaging",
    "Drift",
    "Environment",
    "FilesSource",
    "FilesStream",
    "HeadersAuth",
    "HttpSource",
    "HttpStream",
    "Identifier",
    "InsertWrite",
    "JdbcSource",
    "JdbcStream",
    "JobSize",
    "JsonStream",
    "KafkaSource",
    "KafkaStream",
    "KinesisSource",
    "KinesisStream",
    "KnownCheck",
    "MergeWrite",
    "Name",
    "NoAuth",
    "OAuth",
    "OnePage",
    "Paging",
    "Parser",
    "Policy",
    "Project",
    "Rate",
    "RedshiftSource",
    "RedshiftStream",
    "ReplaceWrite",
    "Retry",
    "Rollout",
    "RowCheck",
    "Scd2Write",
    "SharedStage",
    "SnowflakeSource",
    "SnowflakeStream",
    "Source",
    "SourceBase",
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
