"""Parts of the world beside the shop: each makes its tables and rows from the shop's, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence

from local.world.clevertap import APP_EVENTS
from local.world.google_ads import GOOGLE_ADS
from local.world.http_push import PUSHED_EVENTS
from local.world.hubspot import CRM
from local.world.kafka import STREAM_EVENTS
from local.world.kinesis import WEB_EVENTS
from local.world.part import Part
from local.world.rds_mysql import PAYMENTS_AND_INVENTORY
from local.world.rds_postgres_loyalty import LOYALTY
from local.world.redshift import BEHAVIOR
from local.world.s3_drops import DROPS
from local.world.snowflake import B2B
from local.world.zendesk import HELPDESK

PARTS: Sequence[Part] = (
    GOOGLE_ADS,
    CRM,
    APP_EVENTS,
    B2B,
    BEHAVIOR,
    LOYALTY,
    PAYMENTS_AND_INVENTORY,
    STREAM_EVENTS,
    WEB_EVENTS,
    PUSHED_EVENTS,
    DROPS,
    HELPDESK,
)
"""In the order in which they happen: a later one may read what an earlier one has written."""
