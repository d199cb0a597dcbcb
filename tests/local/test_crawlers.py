"""Crawlers on the local stack: Delta logs and folders become catalog tables."""

from __future__ import annotations

import io
import time
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from local.gateway.glue.crawled import CrawlError, glue_type
from tests.support.aws import ROLE, Aws
from tests.support.waiting import wait_for


class Crawled:
    """A crawler with a database of its own."""

    def __init__(self, aws: Aws, targets: dict[str, Any], **settings: Any) -> None:
        self.glue = aws.client("glue")
        self.name = f"crawler-{uuid.uuid4().hex[:6]}"
        self.database = self.name.replace("-", "_")
        self.glue.create_database(DatabaseInput={"Name": self.database})
        self.glue.create_crawler(Name=self.name, Role=ROLE, DatabaseName=self.database, Targets=targets, **settings)

    def crawl(self) -> dict[str, Any]:
        self.glue.start_crawler(Name=self.name)
        return self.wait()

    def wait(self) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            crawler: dict[str, Any] = self.glue.get_crawler(Name=self.name)["Crawler"]
            return crawler if crawler["State"] == "READY" else None

        last: dict[str, Any] = wait_for(look)["LastCrawl"]
        return last

    def table(self, name: str) -> dict[str, Any]:
        table: dict[str, Any] = self.glue.get_table(DatabaseName=self.database, Name=name)["Table"]
        return table

    def state(self) -> str:
        return str(self.glue.get_crawler(Name=self.name)["Crawler"]["State"])

    def tables(self) -> list[str]:
        return [table["Name"] for table in self.glue.get_tables(DatabaseName=self.database)["TableList"]]

    def columns(self, name: str) -> dict[str, str]:
        return {item["Name"]: item["Type"] for item in self.table(name)["StorageDescriptor"]["Columns"]}


def _write(aws: Aws, path: str, table: pa.Table, **options: Any) -> str:
    uri = f"s3://{aws.bucket}/{path}"
    storage = {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ALLOW_HTTP": "true",
        "AWS_S3_ALLOW_UNSAFE_RENAME": "true",
    }
    write_deltalake(uri, table, storage_options=storage, **options)
    return uri


def _delta(*uris: str) -> dict[str, Any]:
    return {"DeltaTargets": [{"DeltaTables": list(uris), "CreateNativeDeltaTable": True, "WriteManifest": False}]}


ORDERS = pa.table({"id": [1, 2], "total": pa.array([1, 2], pa.decimal128(18, 2)), "day": ["a", "b"]})


def test_a_delta_table_becomes_a_native_catalog_table(aws: Aws) -> None:
    uri = _write(aws, "silver/orders", ORDERS, partition_by=["day"])
    crawler = Crawled(aws, _delta(uri), TablePrefix="shop_")
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    table = crawler.table("shop_orders")
    assert crawler.columns("shop_orders") == {"id": "bigint", "total": "decimal(18,2)"}
    assert table["PartitionKeys"] == [{"Name": "day", "Type": "string"}]
    assert table["Parameters"]["spark.sql.sources.provider"] == "delta"
    assert table["StorageDescriptor"]["Location"] == f"{uri}/"


def test_an_unchanged_table_gets_no_new_version(aws: Aws) -> None:
    uri = _write(aws, "silver/orders", ORDERS)
    crawler = Crawled(aws, _delta(uri))
    crawler.crawl()
    _write(aws, "silver/orders", ORDERS, mode="append")
    crawler.crawl()
    assert crawler.table("orders")["VersionId"] == "1"


@pytest.mark.parametrize(("behaviour", "columns"), [("UPDATE_IN_DATABASE", 4), ("LOG", 3)])
def test_a_new_column_is_taken_up_unless_the_policy_is_to_log(aws: Aws, behaviour: str, columns: int) -> None:
    uri = _write(aws, "silver/orders", ORDERS)
    policy = {"UpdateBehavior": behaviour, "DeleteBehavior": "LOG"}
    crawler = Crawled(aws, _delta(uri), SchemaChangePolicy=policy)
    crawler.crawl()
    more = ORDERS.append_column("note", pa.array(["x", "y"]))
    _write(aws, "silver/orders", more, mode="append", schema_mode="merge")
    crawler.crawl()
    assert len(crawler.columns("orders")) == columns


def test_a_table_that_does_not_exist_yet_is_passed_over(aws: Aws) -> None:
    uri = _write(aws, "silver/orders", ORDERS)
    crawler = Crawled(aws, _delta(f"s3://{aws.bucket}/silver/absent", uri))
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    names = [table["Name"] for table in crawler.glue.get_tables(DatabaseName=crawler.database)["TableList"]]
    assert names == ["orders"]


def test_a_crawl_that_fails_says_why(aws: Aws) -> None:
    uri = aws.put("bad/table/_delta_log/00000000000000000000.json", "this is not JSON").rpartition("/_delta_log")[0]
    last = Crawled(aws, _delta(uri)).crawl()
    assert last["Status"] == "FAILED"
    assert "JSONDecodeError" in last["ErrorMessage"]


def test_a_folder_of_parquet_becomes_a_table(aws: Aws) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"n": [1], "at": pa.array([0], pa.timestamp("us"))}), buffer)
    aws.put("files/day=2024-01-01/part-0.parquet", buffer.getvalue())
    aws.put("lines/a.json", '{"a": 1, "b": {"c": [1.5]}}\n')
    paths = [f"s3://{aws.bucket}/files/", f"s3://{aws.bucket}/lines/"]
    crawler = Crawled(aws, {"S3Targets": [{"Path": path} for path in paths]})
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert crawler.columns("files") == {"n": "bigint", "at": "timestamp"}
    assert crawler.table("files")["PartitionKeys"] == [{"Name": "day", "Type": "string"}]
    assert crawler.columns("lines") == {"a": "bigint", "b": "struct<c:array<double>>"}


def test_a_crawl_takes_minutes_on_the_clock_and_ten_are_billed(aws: Aws) -> None:
    crawler = Crawled(aws, _delta(_write(aws, "silver/orders", ORDERS)))
    aws.own("clock", "POST", {"pace": "held"})
    crawler.glue.start_crawler(Name=crawler.name)
    seen = [(crawler.state(), crawler.tables())]
    for seconds in (59, 2, 43, 2):
        aws.moved(seconds)
        seen.append((crawler.state(), crawler.tables()))
    assert seen == [
        ("RUNNING", []),
        ("RUNNING", []),
        ("STOPPING", ["orders"]),
        ("STOPPING", ["orders"]),
        ("READY", ["orders"]),
    ]
    [crawl] = crawler.glue.list_crawls(CrawlerName=crawler.name)["Crawls"]
    assert (crawl["EndTime"] - crawl["StartTime"]).total_seconds() == pytest.approx(105, abs=1)
    assert crawl["DPUHour"] == pytest.approx(2 * 10 / 60)
    [metrics] = crawler.glue.get_crawler_metrics(CrawlerNameList=[crawler.name])["CrawlerMetricsList"]
    assert metrics["LastRuntimeSeconds"] == pytest.approx(105, abs=1)
    assert (metrics["StillEstimating"], metrics["TablesCreated"]) == (False, 1)


def test_a_crawl_costs_nobody_its_minutes_where_nothing_else_works(aws: Aws) -> None:
    crawler = Crawled(aws, _delta(_write(aws, "silver/orders", ORDERS)))
    began = time.monotonic()
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert time.monotonic() - began < 20


def test_while_a_crawler_runs_it_is_neither_started_nor_changed_nor_deleted(aws: Aws) -> None:
    crawler = Crawled(aws, _delta(_write(aws, "silver/orders", ORDERS)))
    aws.own("clock", "POST", {"pace": "held"})
    glue = crawler.glue
    glue.start_crawler(Name=crawler.name)
    for _ in ("RUNNING", "STOPPING"):
        for call in (glue.start_crawler, glue.update_crawler, glue.delete_crawler):
            with pytest.raises(glue.exceptions.CrawlerRunningException):
                call(Name=crawler.name)
        aws.moved(61)
    assert crawler.state() == "READY"
    with pytest.raises(glue.exceptions.CrawlerNotRunningException):
        glue.stop_crawler(Name=crawler.name)
    glue.delete_crawler(Name=crawler.name)


def test_a_crawl_that_is_stopped_stops_at_once_and_takes_a_while_to_end(aws: Aws) -> None:
    crawler = Crawled(aws, _delta(_write(aws, "silver/orders", ORDERS)))
    aws.own("clock", "POST", {"pace": "held"})
    crawler.glue.start_crawler(Name=crawler.name)
    crawler.glue.stop_crawler(Name=crawler.name)
    assert crawler.state() == "STOPPING"
    with pytest.raises(crawler.glue.exceptions.CrawlerStoppingException):
        crawler.glue.stop_crawler(Name=crawler.name)
    aws.moved(46)
    assert crawler.wait()["Status"] == "CANCELLED"
    crawls = crawler.glue.list_crawls(CrawlerName=crawler.name)["Crawls"]
    assert [crawl["State"] for crawl in crawls] == ["STOPPED"]
    assert crawler.tables() == []


def test_a_crawler_can_be_updated(aws: Aws) -> None:
    uri = _write(aws, "silver/orders", ORDERS)
    crawler = Crawled(aws, _delta())
    crawler.glue.update_crawler(Name=crawler.name, Targets=_delta(uri))
    crawler.crawl()
    assert crawler.columns("orders")


def test_the_schema_is_found_in_a_checkpoint(aws: Aws) -> None:
    uri = _write(aws, "silver/orders", ORDERS)
    storage = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eu-west-1"}
    storage |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    DeltaTable(uri, storage_options=storage).create_checkpoint()
    aws.client("s3").delete_object(Bucket=aws.bucket, Key="silver/orders/_delta_log/00000000000000000000.json")
    crawler = Crawled(aws, _delta(uri))
    crawler.crawl()
    assert "total" in crawler.columns("orders")


def test_nested_delta_types_are_spelled_as_glue_does() -> None:
    fields = [{"name": "a", "type": "long"}, {"name": "b", "type": {"type": "array", "elementType": "decimal(9, 2)"}}]
    nested = {"type": "map", "keyType": "string", "valueType": {"type": "struct", "fields": fields}}
    assert glue_type(nested) == "map<string,struct<a:bigint,b:array<decimal(9,2)>>>"
    with pytest.raises(CrawlError):
        glue_type("variant")
