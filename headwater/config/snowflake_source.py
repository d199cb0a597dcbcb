"""Snowflake, read by its own connector as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from headwater.config.jdbc_source import WatermarkRead
from headwater.config.relation import RelationStream
from headwater.config.secret_name import SecretName
from headwater.config.stream import SourceBase
from headwater.config.strict import Identifier, Name


class SnowflakeStream(RelationStream):
    """A stream read from one table or view of a Snowflake database; a backfill's days are those of the watermark."""

    read: WatermarkRead

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that reading itself needs: the watermark."""
        return (self.read.column,)

    @property
    def position_note(self) -> str:
        """What the position is, in words."""
        return self.read.position_note


class SnowflakeSource(SourceBase):
    """A Snowflake database.

    Its secret holds account, user and either private_key (PEM; with private_key_passphrase if it is encrypted) or password; host,
    port and protocol only where the account's own address is not used.
    """

    kind: Literal["snowflake"]
    secret: SecretName
    database: Identifier
    warehouse: Identifier = Field(description="Virtual warehouse that runs the queries.")
    role: Identifier | None = Field(None, description="Role to assume; the user's default role if absent.")
    streams: dict[Name, SnowflakeStream] = Field(min_length=1)

    @property
    def speaks(self) -> str:
        """Its protocol, in words."""
        return "Snowflake's connector, Arrow"

    def limits(self) -> Iterator[str]:
        """The declared bounds, in words."""
        yield f"database `{self.database}`, virtual warehouse `{self.warehouse}`"
