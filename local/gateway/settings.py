"""What every part of the gateway knows about the process that it runs in."""

from dataclasses import dataclass
from pathlib import Path

ACCOUNT_ID = "123456789012"
REGION = "eu-west-1"
DEFAULT_PORT = 4566


@dataclass(frozen=True)
class GatewaySettings:
    """Where the gateway listens, where it keeps its files, and which AWS account it plays."""

    port: int
    home: Path
    region: str = REGION
    account_id: str = ACCOUNT_ID
    warehouse_dsn: str | None = None
    """libpq connection string of the PostgreSQL that stands in for Redshift; None switches the Data API off."""

    most_events: int = 25_000
    """How many events the history of an execution may have."""

    @property
    def endpoint(self) -> str:
        """Base URL of the AWS API, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"
