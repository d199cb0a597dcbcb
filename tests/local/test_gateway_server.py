"""The gateway process: HTTP, S3 as Spark and boto3 use it, faults, and its end."""

from __future__ import annotations

import http.client
import os
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.exceptions import ClientError

from local.gateway import faults
from local.gateway.server import running_gateway
from tests.support.aws import Aws


def presigned(aws: Aws, key: str) -> str:
    """Path and query of a request to write an object, signed beforehand."""
    url = aws.client("s3", signature_version="s3v4").generate_presigned_url(
        "put_object", {"Bucket": aws.bucket, "Key": key}
    )
    return url.removeprefix(aws.endpoint)


def test_a_connection_is_kept_for_many_requests(aws: Aws) -> None:
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint).netloc)
    try:
        for number in range(3):
            connection.request("PUT", presigned(aws, f"kept/{number}"), body=b"x" * number)
            answer = connection.getresponse()
            assert (answer.status, answer.read(), answer.will_close) == (200, b"", False)
    finally:
        connection.close()


def test_a_chunked_request_body_is_put_together(aws: Aws) -> None:
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint).netloc)
    try:
        parts = iter([b"one ", b"two"])
        connection.request("PUT", presigned(aws, "chunked"), body=parts, encode_chunked=True)
        connection.getresponse().read()
    finally:
        connection.close()
    assert aws.client("s3").get_object(Bucket=aws.bucket, Key="chunked")["Body"].read() == b"one two"


def test_signed_chunks_of_the_java_sdk_are_decoded(aws: Aws) -> None:
    signature = b"0" * 64
    body = b"5;chunk-signature=%s\r\nhello\r\n0;chunk-signature=%s\r\n\r\n" % (signature, signature)
    headers = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-decoded-content-length": "5",
        "Content-Encoding": "aws-chunked",
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20240101/eu-west-1/s3/aws4_request, Signature=0",
    }
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint).netloc)
    try:
        connection.request("PUT", f"/{aws.bucket}/signed", body=body, headers=headers)
        connection.getresponse().read()
    finally:
        connection.close()
    assert aws.client("s3").get_object(Bucket=aws.bucket, Key="signed")["Body"].read() == b"hello"


def test_large_objects_parts_ranges_and_odd_keys_survive(aws: Aws) -> None:
    s3 = aws.client("s3")
    body = os.urandom(12 << 20)
    key = "odd key/+ü%2F=.bin"
    upload = s3.create_multipart_upload(Bucket=aws.bucket, Key=key, Metadata={"under_score": "kept"})["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(body), 6 << 20), start=1):
        part = body[start : start + (6 << 20)]
        answer = s3.upload_part(Bucket=aws.bucket, Key=key, PartNumber=number, UploadId=upload, Body=part)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=aws.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    head = s3.head_object(Bucket=aws.bucket, Key=key)
    assert (head["ContentLength"], head["Metadata"]) == (len(body), {"under_score": "kept"})
    piece = s3.get_object(Bucket=aws.bucket, Key=key, Range="bytes=7000000-7000009")["Body"].read()
    assert piece == body[7_000_000:7_000_010]


def test_of_many_writers_that_create_one_key_one_succeeds(aws: Aws) -> None:
    s3 = aws.client("s3", retries={"total_max_attempts": 1})
    created: list[int] = []
    refused: list[str] = []
    barrier = threading.Barrier(8)

    def create(number: int) -> None:
        barrier.wait()
        try:
            s3.put_object(Bucket=aws.bucket, Key="manifest", Body=str(number), IfNoneMatch="*")
            created.append(number)
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(created), refused) == (1, ["PreconditionFailed"] * 7)
    assert s3.get_object(Bucket=aws.bucket, Key="manifest")["Body"].read() == str(created[0]).encode()


def test_a_workgroup_without_tags_has_an_empty_list_of_tags(aws: Aws) -> None:
    athena = aws.client("athena")
    athena.create_work_group(Name="local", Configuration={})
    arn = "arn:aws:athena:eu-west-1:123456789012:workgroup/local"
    assert athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


def test_an_error_fault_is_answered_with_slow_down_as_often_as_asked(aws: Aws) -> None:
    s3 = aws.client("s3", retries={"total_max_attempts": 1})
    aws.own("faults", "POST", {"method": "PUT", "path": f"^/{aws.bucket}/x", "action": "error", "times": 2, "skip": 1})
    codes = []
    for number in range(4):
        try:
            s3.put_object(Bucket=aws.bucket, Key=f"x{number}", Body=b"")
            codes.append("written")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes == ["written", "SlowDown", "SlowDown", "written"]
    [fault] = aws.own("faults")["faults"]
    assert fault["fired"] == 2


def test_what_is_denied_is_not_worth_another_try(aws: Aws) -> None:
    aws.own("faults", "POST", {"method": "GET", "path": f"^/{aws.bucket}/x", "action": "deny", "times": 9})
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.client("s3", retries={"total_max_attempts": 5}).get_object(Bucket=aws.bucket, Key="x")
    [fault] = aws.own("faults")["faults"]
    assert fault["fired"] == 1


def test_a_dropped_reply_took_effect(aws: Aws) -> None:
    aws.own("faults", "POST", {"path": "sns.CreateTopic", "action": "drop_reply"})
    sns = aws.client("sns", retries={"total_max_attempts": 1})
    with pytest.raises(Exception, match="Connection was closed"):
        sns.create_topic(Name=f"dropped-{aws.bucket}")
    topics = [topic["TopicArn"] for topic in sns.list_topics()["Topics"]]
    assert any(arn.endswith(f"dropped-{aws.bucket}") for arn in topics)


def test_a_fault_that_makes_no_sense_is_refused(aws: Aws) -> None:
    for document in ({"action": "explode", "path": "x"}, {"action": "error"}, {"action": "kill", "path": "x"}):
        with pytest.raises(HTTPError) as refused:
            aws.own("faults", "POST", document)
        with refused.value:
            assert refused.value.code == 400


def test_a_named_point_raises_what_was_injected() -> None:
    faults.hit("redshift.after_commit")
    faults.TABLE.add({"point": "redshift.after_commit", "action": "error"})
    try:
        with pytest.raises(faults.InjectedFault):
            faults.hit("redshift.after_commit")
        faults.hit("redshift.after_commit")
    finally:
        faults.TABLE.clear()


def test_an_object_that_is_put_back_is_as_old_as_it_was(aws: Aws) -> None:
    aws.put("old", b"")
    aws.put("new", b"")
    aws.own("modified", "POST", {aws.bucket: {"old": 86_400.5}})
    s3 = aws.client("s3")
    assert s3.head_object(Bucket=aws.bucket, Key="old")["LastModified"].isoformat() == "1970-01-02T00:00:00+00:00"
    listed = {item["Key"]: item["LastModified"] for item in s3.list_objects_v2(Bucket=aws.bucket)["Contents"]}
    assert listed["old"].year == 1970
    assert listed["new"].year > 1970


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.ZombieProcess:
        # What an earlier test has stopped and nobody has waited for yet.
        return ""


def test_the_gateway_ends_with_every_process_that_it_started(tmp_path: Path) -> None:
    with running_gateway(tmp_path, workers=1):
        [gateway] = [child for child in psutil.Process().children() if str(tmp_path) in _command_of(child)]
        children = gateway.children(recursive=True)
        assert children
    assert not [child for child in [gateway, *children] if child.is_running() and child.status() != "zombie"]
