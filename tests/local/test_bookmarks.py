"""Job bookmarks: what a run reads, what its commit moves, and how they are reset and rewound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.awsglue.bookmarks import S3File, has_seen, state_after
from local.gateway.glue.bookmarks import BookmarkStore, VersionMismatchError
from local.mariadb import MariaDbServer
from local.postgres import PostgresServer, free_port
from tests.support.aws import Aws

BAND = 900
READ = """
import sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
args = getResolvedOptions(sys.argv, ["JOB_NAME", "path", "end"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)
rows = glue.create_dynamic_frame.from_options(
    connection_type="s3", connection_options={"paths": [args["path"]]}, format="json", transformation_ctx="numbers"
).toDF()
print("numbers", sorted(row.n for row in rows.collect()), "columns", rows.columns)
if args["end"] == "raise":
    raise RuntimeError("before the commit")
if args["end"] == "commit":
    job.commit()
"""
ENABLE = {"job-bookmark-option": "job-bookmark-enable"}


class Reader:
    """A job that prints the numbers that are new to it."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.job = aws.job("reader", READ)

    def put(self, name: str, *numbers: int) -> None:
        self.aws.put(f"in/{name}.json", "\n".join(json.dumps({"n": number}) for number in numbers))

    def read(self, end: str = "commit", **options: str) -> tuple[list[int], str]:
        """Runs the job; returns the numbers and the run's id."""
        arguments = {"path": f"s3://{self.aws.bucket}/in/", "end": end, **(options or ENABLE)}
        run = self.aws.run(self.job, **arguments)
        log = self.aws.log(self.job, run)
        found = re.search(r"numbers (\[.*?\])", log)
        assert found is not None, log
        return json.loads(found[1]), run["Id"]


@pytest.fixture
def reader(aws: Aws) -> Reader:
    return Reader(aws)


def test_a_file_is_read_once(reader: Reader) -> None:
    reader.put("a", 1, 2)
    assert reader.read()[0] == [1, 2]
    assert reader.read()[0] == []
    reader.put("b", 3)
    assert reader.read()[0] == [3]


def test_a_modified_file_is_read_again(reader: Reader) -> None:
    reader.put("a", 1)
    reader.read()
    reader.put("a", 4)
    assert reader.read()[0] == [4]


def test_nothing_moves_without_a_commit(reader: Reader) -> None:
    reader.put("a", 1)
    assert reader.read(end="stop")[0] == [1]
    assert reader.read(end="raise")[0] == [1]
    assert reader.read()[0] == [1]
    assert reader.read()[0] == []


def test_disabled_bookmarks_read_everything(reader: Reader) -> None:
    reader.put("a", 1)
    reader.read()
    option = {"job-bookmark-option": "job-bookmark-disable"}
    assert reader.read(**option)[0] == [1]
    assert reader.read(path=f"s3://{reader.aws.bucket}/in/")[0] == [1]


def test_a_paused_bookmark_reads_what_is_new_and_does_not_move(reader: Reader) -> None:
    reader.put("a", 1)
    reader.read()
    reader.put("b", 2)
    pause = {"job-bookmark-option": "job-bookmark-pause"}
    assert reader.read(**pause)[0] == [2]
    assert reader.read(**pause)[0] == [2]
    assert reader.read()[0] == [2]


def test_a_paused_bookmark_reads_what_lies_between_two_runs(reader: Reader) -> None:
    runs = []
    for number in (1, 2, 3):
        reader.put(f"f{number}", number)
        runs.append(reader.read()[1])
    pause = {"job-bookmark-option": "job-bookmark-pause"}
    between = {"job-bookmark-from": runs[0], "job-bookmark-to": runs[1]}
    assert reader.read(**pause, **between)[0] == [2]


def test_a_reset_reads_everything_again(reader: Reader) -> None:
    reader.put("a", 1)
    reader.read()
    reader.aws.client("glue").reset_job_bookmark(JobName=reader.job)
    assert reader.read()[0] == [1]


def test_a_rewind_reads_what_came_after_the_run(reader: Reader) -> None:
    runs = []
    for number in (1, 2, 3):
        reader.put(f"f{number}", number)
        runs.append(reader.read()[1])
    entry = reader.aws.client("glue").reset_job_bookmark(JobName=reader.job, RunId=runs[0])["JobBookmarkEntry"]
    assert entry["RunId"] == runs[0]
    assert reader.read()[0] == [2, 3]


def test_the_glue_api_shows_the_bookmark(reader: Reader) -> None:
    glue = reader.aws.client("glue")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_job_bookmark(JobName=reader.job)
    reader.put("a", 1)
    first, second = reader.read()[1], reader.read()[1]
    entry = glue.get_job_bookmark(JobName=reader.job)["JobBookmarkEntry"]
    assert (entry["Version"], entry["Run"], entry["RunId"], entry["PreviousRunId"]) == (2, 2, second, first)
    assert set(json.loads(entry["JobBookmark"])) == {"numbers"}
    assert glue.get_job_bookmark(JobName=reader.job, RunId=first)["JobBookmarkEntry"]["Version"] == 1


def test_each_context_has_its_own_position() -> None:
    store = BookmarkStore()
    store.commit("job", "jr_1", 0, 0, {"a": {"at": 1}})
    store.commit("job", "jr_2", 0, 1, {"b": {"at": 2}})
    assert store.current("job").states == {"a": {"at": 1}, "b": {"at": 2}}


def test_of_two_runs_that_read_the_same_version_one_commits() -> None:
    store = BookmarkStore()
    store.commit("job", "jr_1", 0, 0, {"a": {"at": 1}})
    with pytest.raises(VersionMismatchError, match="Expected version 0 but found version 1"):
        store.commit("job", "jr_2", 0, 0, {"a": {"at": 2}})
    assert store.current("job").run_id == "jr_1"


def test_a_reset_while_a_run_is_under_way_wins() -> None:
    store = BookmarkStore()
    store.commit("job", "jr_1", 0, 0, {"a": {"at": 1}})
    store.reset("job", None)
    with pytest.raises(VersionMismatchError):
        store.commit("job", "jr_2", 0, 1, {"a": {"at": 2}})


def _file(name: str, second: int, etag: str = "e") -> S3File:
    return S3File(datetime(2024, 5, 1, tzinfo=UTC) + timedelta(seconds=second), f"s3://b/{name}", etag)


def test_files_of_the_same_second_are_neither_lost_nor_doubled() -> None:
    state = state_after(None, [_file("a", 5)], BAND)
    assert has_seen(state, _file("a", 5), BAND)
    assert not has_seen(state, _file("b", 5), BAND)
    assert not has_seen(state, _file("a", 5, "changed"), BAND)


def test_a_file_that_shows_up_late_with_an_earlier_time_is_read() -> None:
    state = state_after(None, [_file("a", 500)], BAND)
    assert not has_seen(state, _file("multipart", 10), BAND)


def test_files_older_than_the_band_count_as_read() -> None:
    state = state_after(None, [_file("a", 0), _file("b", 5_000)], BAND)
    assert state is not None
    assert list(state["recent"]) == ["s3://b/b"]
    assert has_seen(state, _file("a", 0), BAND)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("rds") / "data", free_port()) as started:
        yield started


JDBC = """
import json, sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext
args = getResolvedOptions(sys.argv, ["JOB_NAME", "engine", "options"])
glue = GlueContext(SparkContext.getOrCreate())
job = Job(glue)
job.init(args["JOB_NAME"], args)
rows = glue.create_dynamic_frame.from_options(
    connection_type=args["engine"], connection_options=json.loads(args["options"]), transformation_ctx="orders"
).toDF()
print("ids", sorted(int(row.id) for row in rows.collect()), "partitions", rows.rdd.getNumPartitions())
job.commit()
"""


class JdbcReader:
    """A job that prints the ids of the orders that are new to it."""

    def __init__(self, aws: Aws, server: PostgresServer, **options: Any) -> None:
        self.aws = aws
        self.server = server
        self.job = aws.job("jdbc", JDBC)
        self.options = {
            "url": f"jdbc:postgresql://127.0.0.1:{server.port}/{server.database}",
            "user": server.user,
            "password": server.password,
            "dbtable": "orders",
            "jobBookmarkKeys": ["id"],
            "jobBookmarkKeysSortOrder": "asc",
            **options,
        }
        self.execute("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id bigint, region text, at timestamp)")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.server.dsn) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def insert(self, *ids: int) -> None:
        rows = ", ".join(
            f"({number}, 'r{number % 3}', '2024-01-01'::timestamp + {number} * interval '1 s')" for number in ids
        )
        self.execute(f"INSERT INTO orders VALUES {rows}")

    def read(self) -> tuple[list[int], int]:
        return read_ids(self.aws, self.job, "postgresql", self.options)


def read_ids(aws: Aws, job: str, engine: str, options: dict[str, Any]) -> tuple[list[int], int]:
    """Runs the job; returns the ids that it printed, and how many partitions it read them in."""
    run = aws.run(job, engine=engine, options=json.dumps(options), **ENABLE)
    log = aws.log(job, run)
    found = re.search(r"ids (\[.*?\]) partitions (\d+)", log)
    assert found is not None, log
    return json.loads(found[1]), int(found[2])


def test_rows_beyond_the_bookmark_key_are_read_once(aws: Aws, server: PostgresServer) -> None:
    reader = JdbcReader(aws, server)
    reader.insert(1, 2)
    assert reader.read()[0] == [1, 2]
    reader.insert(3)
    assert reader.read()[0] == [3]
    assert reader.read()[0] == []


def test_a_descending_key_reads_what_lies_below(aws: Aws, server: PostgresServer) -> None:
    reader = JdbcReader(aws, server, jobBookmarkKeysSortOrder="desc")
    reader.insert(10, 9)
    assert reader.read()[0] == [9, 10]
    reader.insert(11, 8)
    assert reader.read()[0] == [8]


def test_several_keys_are_compared_as_one(aws: Aws, server: PostgresServer) -> None:
    reader = JdbcReader(aws, server, jobBookmarkKeys=["at", "id"])
    reader.insert(5, 6)
    assert reader.read()[0] == [5, 6]
    reader.execute("INSERT INTO orders SELECT 7, region, at FROM orders WHERE id = 6")
    reader.execute("INSERT INTO orders SELECT 4, region, at FROM orders WHERE id = 6")
    assert reader.read()[0] == [7]


def test_a_subquery_is_read_in_parallel_without_losing_rows(aws: Aws, server: PostgresServer) -> None:
    query = "(SELECT * FROM orders WHERE id <> 2) chosen"
    for parallel in ({"hashexpression": "id"}, {"hashfield": "region"}):
        reader = JdbcReader(aws, server, dbtable=query, hashpartitions="4", **parallel)
        reader.insert(-3, -1, 1, 2, 3, 4, 5)
        reader.execute("UPDATE orders SET region = NULL WHERE id = 5")
        assert reader.read() == ([-3, -1, 1, 3, 4, 5], 4)


def test_numbers_beyond_what_a_float_can_tell_apart_are_bookmarks_in_mysql(aws: Aws, tmp_path: Path) -> None:
    first = 2**63 + 1
    with MariaDbServer(tmp_path / "mysql", free_port()) as mysql:

        def insert(*ids: int) -> None:
            with mysql.connect(autocommit=True) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE TABLE IF NOT EXISTS orders (id bigint unsigned PRIMARY KEY)")
                cursor.executemany("INSERT INTO orders VALUES (%s)", [[number] for number in ids])

        options = {
            "url": f"jdbc:mysql://127.0.0.1:{mysql.port}/{mysql.database}",
            "user": mysql.user,
            "password": mysql.password,
            "dbtable": "orders",
            "jobBookmarkKeys": ["id"],
            "jobBookmarkKeysSortOrder": "asc",
            "hashexpression": "id",
            "hashpartitions": "3",
        }
        job = aws.job("jdbc", JDBC)
        insert(first, first + 1, first + 2)
        assert read_ids(aws, job, "mysql", options) == ([first, first + 1, first + 2], 3)
        insert(first + 3)
        assert read_ids(aws, job, "mysql", options)[0] == [first + 3]
        assert read_ids(aws, job, "mysql", options)[0] == []
