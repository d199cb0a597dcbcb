"""The counterparts of the sources: what each source reads on this machine, a module for each."""

from __future__ import annotations

from collections.abc import Mapping

from local.counterparts.clevertap import CleverTap
from local.counterparts.counterpart import Counterpart, Place
from local.counterparts.facebook_ads import FacebookAds
from local.counterparts.fx_rates import FxRates
from local.counterparts.google_ads import GoogleAds
from local.counterparts.http_push import HttpPush
from local.counterparts.hubspot import HubSpot
from local.counterparts.kafka import Kafka
from local.counterparts.kinesis import Kinesis
from local.counterparts.rds_mysql import RdsMySql
from local.counterparts.rds_postgres import RdsPostgres
from local.counterparts.redshift import Redshift
from local.counterparts.s3_drops import S3Drops
from local.counterparts.simulated import Simulated
from local.counterparts.snowflake import Snowflake
from local.counterparts.zendesk import Zendesk

__all__ = ["COUNTERPARTS", "Counterpart", "Place", "credentials"]

_ALL: tuple[type[Counterpart], ...] = (
    HttpPush,
    Kafka,
    Kinesis,
    RdsMySql,
    RdsPostgres,
    Redshift,
    S3Drops,
    Snowflake,
    FacebookAds,
    GoogleAds,
    FxRates,
    CleverTap,
    HubSpot,
    Zendesk,
)
COUNTERPARTS: Mapping[str, type[Counterpart]] = {counterpart.source: counterpart for counterpart in _ALL}
"""Counterparts by source, in the order in which they start."""


def credentials(source: str | None) -> Mapping[str, str]:
    """What a simulated source takes as credentials; none of a source that takes none."""
    counterpart = COUNTERPARTS.get(source or "")
    return counterpart.credentials if counterpart is not None and issubclass(counterpart, Simulated) else {}
