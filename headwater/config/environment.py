"""Environments: the places the pipeline runs in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.config.http_source import Retry
from headwater.config.strict import Name, Strict


class Warehouse(Strict):
    """Where Load goes: a Redshift Serverless workgroup."""

    workgroup: str
    database: str
    copy_role: str = Field(description="ARN of the role that COPY assumes.")


class SourceOverride(Strict):
    """What differs for a source in one environment."""

    base_url: str | None = None
    accounts: tuple[str, ...] | None = None
    retry: Retry | None = None


class Environment(Strict):
    """One place the pipeline runs in."""

    name: Name
    prefix: str = Field(pattern=r"^[a-z][a-z0-9-]{1,40}$", description="Starts the name of everything in AWS.")
    region: str
    account: str = Field(pattern=r"^\d{12}$")
    reporting_currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    warehouse: Warehouse
    sources: dict[Name, SourceOverride] = Field({}, description="Per-source differences.")

    def bucket(self, zone: Literal["raw", "lake", "artifacts", "logs"]) -> str:
        """Names the bucket of one purpose."""
        return f"{self.prefix}-{zone}"

    def database(self, zone: Literal["bronze", "silver", "gold", "quarantine"]) -> str:
        """Names the catalog database of one zone."""
        return f"{self.prefix.replace('-', '_')}_{zone}"

    def crawler(self, zone: str, source: str | None = None) -> str:
        """Names the crawler of one zone; bronze has one for each source."""
        return f"{self.prefix}-{zone}-{source}" if source else f"{self.prefix}-{zone}"
