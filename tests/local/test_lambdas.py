"""Lambda functions on the local runtime."""

from __future__ import annotations

import json
from typing import Any

from tests.support.aws import Aws, zipped
from tests.support.waiting import wait_for


def _invoke(aws: Aws, function: str, event: Any = None) -> tuple[Any, str | None]:
    answer = aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event or {}))
    return json.load(answer["Payload"]), answer.get("FunctionError")


def test_the_handler_gets_the_event_and_its_answer_comes_back(aws: Aws) -> None:
    function = aws.function(
        "def handler(event, context):\n    return {'twice': event['n'] * 2, 'me': context.function_name}"
    )
    assert _invoke(aws, function, {"n": 4}) == ({"twice": 8, "me": function}, None)


def test_a_function_stays_warm(aws: Aws) -> None:
    function = aws.function(
        "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count"
    )
    assert [_invoke(aws, function)[0] for _ in range(3)] == [1, 2, 3]


def test_an_exception_is_an_unhandled_error(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    raise KeyError('absent')")
    payload, error = _invoke(aws, function)
    assert (error, payload["errorType"], payload["errorMessage"]) == ("Unhandled", "KeyError", "'absent'")
    assert "handler.py" in payload["stackTrace"][0]


def test_a_function_past_its_timeout_is_cut_off_and_works_again(aws: Aws) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(event.get('seconds', 0))\n    return 'awake'"
    function = aws.function(source, Timeout=1)
    assert _invoke(aws, function)[0] == "awake"
    payload, error = _invoke(aws, function, {"seconds": 30})
    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert "Task timed out after 1.00 seconds" in payload["errorMessage"]
    assert _invoke(aws, function)[0] == "awake"


def test_a_process_that_exits_is_an_error_and_works_again(aws: Aws) -> None:
    function = aws.function("import os\ndef handler(event, context):\n    return os._exit(7) if event else 'fine'")
    payload, _ = _invoke(aws, function, {"die": True})
    assert (payload["errorType"], payload["errorMessage"][-13:]) == ("Runtime.ExitError", "exit status 7")
    assert _invoke(aws, function)[0] == "fine"


def test_a_module_that_is_missing_is_named(aws: Aws) -> None:
    payload, _ = _invoke(aws, aws.function("import no_such_module"))
    assert payload["errorType"] == "Runtime.ImportModuleError"


def test_variables_and_the_aws_endpoint_are_in_the_environment(aws: Aws) -> None:
    source = """
import boto3, os
def handler(event, context):
    boto3.client("s3").put_object(Bucket=event["bucket"], Key="from-lambda", Body=b"x")
    return [os.environ["COLOUR"], os.environ["AWS_REGION"]]
"""
    function = aws.function(source, Environment={"Variables": {"COLOUR": "blue"}})
    assert _invoke(aws, function, {"bucket": aws.bucket})[0] == ["blue", "eu-west-1"]
    aws.client("lambda").update_function_configuration(
        FunctionName=function, Environment={"Variables": {"COLOUR": "red"}}
    )
    assert _invoke(aws, function, {"bucket": aws.bucket})[0][0] == "red"
    assert aws.client("s3").list_objects_v2(Bucket=aws.bucket)["KeyCount"] == 1


def test_new_code_from_s3_replaces_the_old(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    return 'old'")
    assert _invoke(aws, function)[0] == "old"
    aws.put("code.zip", zipped({"handler.py": "def handler(event, context):\n    return 'new'"}))
    aws.client("lambda").update_function_code(FunctionName=function, S3Bucket=aws.bucket, S3Key="code.zip")
    assert _invoke(aws, function)[0] == "new"


def test_an_event_invocation_returns_at_once_and_runs(aws: Aws) -> None:
    source = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket=event["bucket"], Key="later", Body=b"x")
"""
    function = aws.function(source)
    payload = json.dumps({"bucket": aws.bucket})
    answer = aws.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
    assert answer["StatusCode"] == 202
    wait_for(lambda: aws.client("s3").list_objects_v2(Bucket=aws.bucket)["KeyCount"])


def test_what_a_function_prints_is_in_its_logs(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    print('hello from', event['name'])")
    _invoke(aws, function, {"name": "the test"})
    assert "hello from the test" in (aws.home / "logs" / "lambda" / f"{function}.log").read_text()
    events = aws.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    assert "hello from the test" in [event["message"] for event in events]
