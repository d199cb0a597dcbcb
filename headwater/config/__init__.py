"""The declared pipeline: strict, frozen models of config/, read from YAML or from the deployed project file.

Unknown keys are refused with file and path. Terraform reads the same YAML, and drops unknown keys silently, so
`headwater validate` runs before every plan.
"""

from headwater.config.deployed import json_schemas, load_deployed
from headwater.config.environment import Environment, SharedStage, SourceOverride, Warehouse
from headwater.config.files_source import (
    CsvFormat,
    DropEntrance,
    ExcelFormat,
    FilesSource,
    FilesStream,
    HttpEntrance,
    JsonLinesFormat,
    ParquetFormat,
)
from headwater.config.gold import GoldColumn, GoldTable
from headwater.config.http_auth import (
    AnyAuth,
    BasicAuth,
    BearerAuth,
    ClientCredentials,
    Grant,
    HeadersAuth,
    LongLivedToken,
    NoAuth,
    OAuth,
    QueryAuth,
)
from headwater.config.http_paging import (
    AnyPaging,
    CursorPaging,
    LinkHeaderPaging,
    NextUrlPaging,
    OffsetPaging,
    OnePage,
    PagePaging,
)
from headwater.config.http_source import (
    Flatten,
    HttpSource,
    HttpStream,
    Rate,
    Read,
    Retry,
    UpdatedSinceRead,
    WholeRead,
    WindowRead,
)
from headwater.config.jdbc_source import BookmarkRead, JdbcSource, JdbcStream, LogRead, WatermarkRead
from headwater.config.kafka_source import KafkaSource, KafkaStream
from headwater.config.kinesis_source import DirectDelivery, KinesisSource, KinesisStream, QueueDelivery
from headwater.config.policy import Policy
from headwater.config.project import (
    AnySource,
    Project,
    Source,
    Stream,
    parse_date,
)
from headwater.config.query import Query
from headwater.config.redshift_source import RedshiftSource, RedshiftStream
from headwater.config.relation import RelationStream
from headwater.config.snowflake_source import SnowflakeSource, SnowflakeStream
from headwater.config.stream import (
    Drift,
    JobSize,
    JsonStream,
    Parser,
    Rollout,
    SourceBase,
    StreamBase,
)
from headwater.config.strict import Identifier, Name, Strict
from headwater.config.table import Column, InsertWrite, MergeWrite, ReplaceWrite, Scd2Write, Table, Write

__all__ = [
    "AnyAuth",
    "AnyPaging",
    "AnySource",
    "BasicAuth",
    "BearerAuth",
    "BookmarkRead",
    "ClientCredentials",
    "Column",
    "CsvFormat",
    "CursorPaging",
    "DirectDelivery",
    "Drift",
    "DropEntrance",
    "Environment",
    "ExcelFormat",
    "FilesSource",
    "FilesStream",
    "Flatten",
    "GoldColumn",
    "GoldTable",
    "Grant",
    "HeadersAuth",
    "HttpEntrance",
    "HttpSource",
    "HttpStream",
    "Identifier",
    "InsertWrite",
    "JdbcSource",
    "JdbcStream",
    "JobSize",
    "JsonLinesFormat",
    "JsonStream",
    "KafkaSource",
    "KafkaStream",
    "KinesisSource",
    "KinesisStream",
    "LinkHeaderPaging",
    "LogRead",
    "LongLivedToken",
    "MergeWrite",
    "Name",
    "NextUrlPaging",
    "NoAuth",
    "OAuth",
    "OffsetPaging",
    "OnePage",
    "PagePaging",
    "ParquetFormat",
    "Parser",
    "Policy",
    "Project",
    "Query",
    "QueryAuth",
    "QueueDelivery",
    "Rate",
    "Read",
    "RedshiftSource",
    "RedshiftStream",
    "RelationStream",
    "ReplaceWrite",
    "Retry",
    "Rollout",
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
    "Table",
    "UpdatedSinceRead",
    "Warehouse",
    "WatermarkRead",
    "WholeRead",
    "WindowRead",
    "Write",
    "json_schemas",
    "load_deployed",
    "parse_date",
]
