"""What an earlier version wrote into the ledger is read and written back as it is, document by document."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from pydantic import BaseModel

from headwater.ledger.entries import Book, LeaseHolder, Manifest, Verdict
from headwater.ledger.positions import (
    DaysPosition,
    KeyPosition,
    ModifiedPosition,
    OffsetsPosition,
    RecordsPosition,
    ShardsPosition,
    SnapshotPosition,
    WatermarkPosition,
)
from tests.upgrade import stored

MODELS: dict[str, type[BaseModel]] = {"manifests": Manifest, "verdicts": Verdict, "books": Book, "_leases": LeaseHolder}


def kind(key: str) -> str:
    parts = key.split("/")
    return parts[0] if parts[0].startswith("_") else parts[2]


DOCUMENTS = {key: body for key, body in stored.documents() if kind(key) in MODELS}
POSITIONS = {
    "facebook_ads/ads_insights": {"accounts", "slices", "until"},
    "fx_rates/rates": {"accounts", "slices", "until"},
    "http_push/pushed_events": {"until"},
    "kafka/events": {"offsets", "topic_id", "until"},
    "kinesis/web_events": {"shards"},
    "kinesis/web_events_queued": {"records"},
    "rds_postgres/customers": {"overlap", "watermark"},
    "rds_postgres/loyalty_accounts": {"lsn", "slot", "snapshot"},
    "rds_postgres/order_items": {"key"},
    "redshift/customer_behavior": {"overlap", "watermark"},
    "s3_drops/partner_orders": {"until"},
    "snowflake/orders": {"overlap", "watermark"},
}


MODELS_OF_POSITIONS = {
    "facebook_ads/ads_insights": DaysPosition,
    "fx_rates/rates": DaysPosition,
    "http_push/pushed_events": ModifiedPosition,
    "kafka/events": OffsetsPosition,
    "kinesis/web_events": ShardsPosition,
    "kinesis/web_events_queued": RecordsPosition,
    "rds_postgres/customers": WatermarkPosition,
    "rds_postgres/loyalty_accounts": SnapshotPosition,
    "rds_postgres/order_items": KeyPosition,
    "redshift/customer_behavior": WatermarkPosition,
    "s3_drops/partner_orders": ModifiedPosition,
    "snowflake/orders": WatermarkPosition,
}


def position(key: str) -> Any:
    return json.loads(DOCUMENTS[key])["position_after"]


@pytest.mark.parametrize("key", DOCUMENTS)
def test_a_stored_document_is_read_and_written_back_as_it_is_and_what_is_new_says_nothing_of_it(key: str) -> None:
    document = MODELS[kind(key)].model_validate_json(DOCUMENTS[key])
    stored = json.loads(DOCUMENTS[key])
    written = json.loads(document.model_dump_json())
    assert {name: written.pop(name) for name in stored} == stored
    assert not any(written.values())


def test_every_kind_of_document_and_every_shape_of_a_position_is_among_them() -> None:
    assert Counter(map(kind, DOCUMENTS)).keys() == MODELS.keys()
    manifests = {key.rpartition("/manifests/")[0]: key for key in DOCUMENTS if kind(key) == "manifests"}
    assert {stream: set(position(key)) for stream, key in manifests.items()} == POSITIONS


@pytest.mark.parametrize("key", [key for key in DOCUMENTS if kind(key) == "manifests"])
def test_a_stored_position_is_read_as_the_model_of_its_way_to_read(key: str) -> None:
    found = Manifest.model_validate_json(DOCUMENTS[key]).position_after
    assert type(found) is MODELS_OF_POSITIONS[key.rpartition("/manifests/")[0]]
