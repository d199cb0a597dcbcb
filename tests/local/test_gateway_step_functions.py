"""Executions on the local interpreter, where moto's own differs from AWS."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from local.gateway.moto.step_functions import sdk_service_name
from tests.support.aws import ROLE, Aws
from tests.support.waiting import wait_for

GLUE_SYNC = "arn:aws:states:::glue:startJobRun.sync"


def _machine(*states: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Chains states in order; a state that says where it goes keeps that."""
    named: dict[str, Any] = {}
    for number, (name, state) in enumerate(states):
        chained = dict(state)
        if state["Type"] not in {"Choice", "Succeed", "Fail"} and not {"Next", "End"} & set(state):
            chained |= {"Next": states[number + 1][0]} if number + 1 < len(states) else {"End": True}
        named[name] = chained
    return {"StartAt": states[0][0], "States": named}


def _glue(job: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": GLUE_SYNC, "Parameters": {"JobName": job}, "TimeoutSeconds": 120, **more}


def test_a_sync_glue_task_waits_for_the_run_and_returns_it(aws: Aws) -> None:
    job = aws.job("sync", "print('done')")
    execution = aws.executed(_machine(("Run", _glue(job))))
    assert execution["status"] == "SUCCEEDED", execution
    assert (execution["output"]["JobRunState"], execution["output"]["JobName"]) == ("SUCCEEDED", job)
    assert isinstance(execution["output"]["StartedOn"], int)


def test_a_failed_run_is_caught_with_the_run_as_cause(aws: Aws) -> None:
    job = aws.job("fails", "raise ValueError('no such luck')")
    caught = {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}
    definition = _machine(("Run", _glue(job, Catch=[caught])), ("Caught", {"Type": "Pass"}))
    execution = aws.executed(definition, {"kept": 1})
    assert execution["output"]["kept"] == 1
    cause = json.loads(execution["output"]["error"]["Cause"])
    assert (cause["JobRunState"], cause["ErrorMessage"]) == ("FAILED", "ValueError: no such luck")


def test_a_failure_that_was_caught_is_passed_on_under_its_own_name(aws: Aws) -> None:
    job = aws.job("passed-on", "raise ValueError('no such luck')")
    branch = _machine(("Each", {"Type": "Map", "ItemProcessor": _machine(("Run", _glue(job)))}))
    caught = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Failed"}
    definition = _machine(
        ("Both", {"Type": "Parallel", "Branches": [branch], "Catch": [caught]}),
        ("Failed", {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"}),
    )
    definition["States"]["Both"] |= {"InputPath": "$.items", "ResultPath": None}
    execution = aws.executed(definition, {"items": [1]})
    assert execution["error"] == "States.TaskFailed"
    assert "no such luck" in execution["cause"]


def test_a_failed_run_is_retried(aws: Aws) -> None:
    job = aws.job("retried", "raise OSError('again')")
    retry = {
        "ErrorEquals": ["States.TaskFailed"],
        "IntervalSeconds": 1,
        "MaxAttempts": 1,
        "BackoffRate": 2,
        "JitterStrategy": "FULL",
        "MaxDelaySeconds": 2,
    }
    execution = aws.executed(_machine(("Run", _glue(job, Retry=[retry]))))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert len(aws.client("glue").get_job_runs(JobName=job)["JobRuns"]) == 2


def test_a_stopped_run_fails_its_task(aws: Aws) -> None:
    job = aws.job("stopped", "import time\ntime.sleep(600)")
    states, glue = aws.client("stepfunctions"), aws.client("glue")
    arn = states.start_execution(stateMachineArn=aws.machine(_machine(("Run", _glue(job)))))["executionArn"]
    run = wait_for(lambda: glue.get_job_runs(JobName=job)["JobRuns"])[0]
    glue.batch_stop_job_run(JobName=job, JobRunIds=[run["Id"]])
    execution = aws.execution_ended(arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")


def test_a_task_past_its_timeout_fails_and_stops_its_run(aws: Aws) -> None:
    job = aws.job("late", "import time\ntime.sleep(600)")
    execution = aws.executed(_machine(("Run", _glue(job, TimeoutSeconds=2))))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    [run] = aws.client("glue").get_job_runs(JobName=job)["JobRuns"]
    assert aws.ended(job, run["Id"])["JobRunState"] == "STOPPED"


def test_stopping_an_execution_stops_its_run(aws: Aws) -> None:
    job = aws.job("aborted", "import time\ntime.sleep(600)")
    states, glue = aws.client("stepfunctions"), aws.client("glue")
    arn = states.start_execution(stateMachineArn=aws.machine(_machine(("Run", _glue(job)))))["executionArn"]
    run = wait_for(lambda: glue.get_job_runs(JobName=job)["JobRuns"])[0]
    states.stop_execution(executionArn=arn, error="Operator", cause="enough")
    execution = states.describe_execution(executionArn=arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Operator", "enough")
    assert aws.ended(job, run["Id"])["JobRunState"] == "STOPPED"
    assert states.describe_execution(executionArn=arn)["status"] == "ABORTED"


def test_a_refused_run_has_the_name_of_glues_error(aws: Aws) -> None:
    retried = {"ErrorEquals": ["Glue.ConcurrentRunsExceededException"], "IntervalSeconds": 1, "MaxAttempts": 0}
    job = aws.job("busy", "import time\ntime.sleep(600)")
    run_id = aws.start(job)
    execution = aws.executed(_machine(("Run", _glue(job, Retry=[retried]))))
    assert execution["error"] == "Glue.ConcurrentRunsExceededException"
    aws.client("glue").batch_stop_job_run(JobName=job, JobRunIds=[run_id])
    aws.ended(job, run_id)


def test_unnamed_executions_have_names_of_their_own(aws: Aws) -> None:
    states = aws.client("stepfunctions")
    arn = aws.machine(_machine(("Done", {"Type": "Pass"})))
    first, second = (states.start_execution(stateMachineArn=arn)["executionArn"] for _ in range(2))
    assert first != second
    assert not first.endswith(":None")
    assert states.describe_execution(executionArn=first)["input"] == "{}"


def test_a_name_is_used_once(aws: Aws) -> None:
    aws.own("clock", "POST", {"pace": "held"})
    states = aws.client("stepfunctions")
    arn = aws.machine(_machine(("Wait", {"Type": "Wait", "Seconds": 3})))
    start = {"stateMachineArn": arn, "name": "daily-1"}
    first = states.start_execution(**start, input='{"a": 1}')
    assert states.start_execution(**start, input='{"a": 1}')["executionArn"] == first["executionArn"]
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(**start, input='{"a": 2}')
    aws.moved(3)
    aws.execution_ended(first["executionArn"])
    with pytest.raises(states.exceptions.ExecutionAlreadyExists):
        states.start_execution(**start, input='{"a": 1}')


def test_a_map_runs_lambdas_with_intrinsics_and_the_context(aws: Aws) -> None:
    function = aws.function("def handler(event, context):\n    return {**event, 'seen': True}")
    invoke = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": function,
            "Payload": {
                "job.$": "States.Format('{}-{}-extract', 'pre', $.source)",
                "run_id.$": "$$.Execution.Name",
                "started.$": "$$.Execution.StartTime",
                "index.$": "$.index",
                "words.$": "States.StringSplit('a,b', ',')",
            },
        },
        "ResultSelector": {"answer.$": "$.Payload"},
        "ResultPath": "$.result",
        "TimeoutSeconds": 30,
        "Retry": [{"ErrorEquals": ["Lambda.ServiceException"], "IntervalSeconds": 1, "MaxAttempts": 2}],
    }
    sources = {
        "Type": "Map",
        "ItemsPath": "$.sources",
        "ItemSelector": {"source.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"},
        "MaxConcurrency": 3,
        "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **_machine(("Invoke", invoke))},
    }
    execution = aws.executed(_machine(("Sources", sources)), {"sources": ["a", "b", "c", "d"]})
    assert execution["status"] == "SUCCEEDED", execution
    answers = [item["result"]["answer"] for item in execution["output"]]
    assert [answer["job"] for answer in answers] == [f"pre-{name}-extract" for name in "abcd"]
    assert {answer["run_id"] for answer in answers} == {execution["name"]}
    assert answers[0]["started"].endswith("Z") or "+" in answers[0]["started"]
    assert answers[3] | {"index": 3, "words": ["a", "b"], "seen": True} == answers[3]


def test_a_map_runs_glue_jobs_side_by_side_and_catches_one(aws: Aws) -> None:
    script = """
import sys
from awsglue.utils import getResolvedOptions
if getResolvedOptions(sys.argv, ["source"])["source"] == "bad":
    raise ValueError("bad")
"""
    job = aws.job("mapped", script, ExecutionProperty={"MaxConcurrentRuns": 5})
    parameters = {"JobName": job, "Arguments": {"--source.$": "$"}}
    caught = {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Noted"}
    each = _machine(
        ("Run", _glue(job, Parameters=parameters, ResultPath=None, Catch=[caught], Next="Good")),
        ("Good", {"Type": "Pass", "Result": "good", "End": True}),
        ("Noted", {"Type": "Pass", "Result": "failed", "End": True}),
    )
    sources = {
        "Type": "Map",
        "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **each},
        "ItemsPath": "$.sources",
    }
    execution = aws.executed(_machine(("Sources", sources)), {"sources": ["one", "bad", "two"]})
    assert execution["output"] == ["good", "failed", "good"]


def test_the_error_of_a_lambda_is_the_class_of_its_exception(aws: Aws) -> None:
    function = aws.function("class LoadError(Exception): pass\ndef handler(event, context):\n    raise LoadError('no')")
    invoke = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function}}
    execution = aws.executed(_machine(("Invoke", invoke)))
    assert execution["error"] == "LoadError"
    assert json.loads(execution["cause"])["errorMessage"] == "no"


@pytest.mark.parametrize(
    ("action", "parameters", "error"),
    [
        ("glue:getCrawler", {"Name": "none"}, "Glue.EntityNotFoundException"),
        ("redshiftdata:describeStatement", {"Id": str(uuid.UUID(int=1))}, "RedshiftData.ResourceNotFoundException"),
    ],
)
def test_sdk_tasks_name_errors_as_aws_does(aws: Aws, action: str, parameters: dict[str, str], error: str) -> None:
    task = {"Type": "Task", "Resource": f"arn:aws:states:::aws-sdk:{action}", "Parameters": parameters}
    assert aws.executed(_machine(("Ask", task)))["error"] == error


@pytest.mark.parametrize(
    ("service_id", "name"),
    [("Redshift Data", "RedshiftData"), ("Glue", "Glue"), ("SNS", "Sns"), ("DynamoDB", "DynamoDb"), ("S3", "S3")],
)
def test_services_are_spelled_as_in_error_names(service_id: str, name: str) -> None:
    assert sdk_service_name(service_id) == name


def test_a_crawler_is_started_and_polled_by_sdk_tasks(aws: Aws) -> None:
    glue, name = aws.client("glue"), f"crawler-{uuid.uuid4().hex[:6]}"
    glue.create_database(DatabaseInput={"Name": f"db_{name[-6:]}"})
    glue.create_crawler(Name=name, Role=ROLE, DatabaseName=f"db_{name[-6:]}", Targets={"DeltaTargets": []})
    sdk = "arn:aws:states:::aws-sdk:glue:"
    status = {"Variable": "$.crawler.Crawler.State", "StringEquals": "READY", "Next": "Done"}
    definition = _machine(
        ("Start", {"Type": "Task", "Resource": f"{sdk}startCrawler", "Parameters": {"Name": name}, "ResultPath": None}),
        (
            "Get",
            {"Type": "Task", "Resource": f"{sdk}getCrawler", "Parameters": {"Name": name}, "ResultPath": "$.crawler"},
        ),
        ("Ready", {"Type": "Choice", "Choices": [status], "Default": "Pause"}),
        ("Pause", {"Type": "Wait", "Seconds": 1, "Next": "Get"}),
        ("Done", {"Type": "Succeed"}),
    )
    execution = aws.executed(definition)
    assert execution["output"]["crawler"]["Crawler"]["LastCrawl"]["Status"] == "SUCCEEDED", execution


def test_retries_are_counted_anew_each_time_a_state_is_entered(aws: Aws) -> None:
    source = """
import boto3, os
def handler(event, context):
    s3 = boto3.client("s3")
    key = f"{event['visit']}/{event['run']}"
    seen = "Contents" in s3.list_objects_v2(Bucket=event["bucket"], Prefix=key)
    s3.put_object(Bucket=event["bucket"], Key=key, Body=b"")
    if not seen:
        raise RuntimeError("the first try of every visit fails")
    return event["visit"] + 1
"""
    invoke = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": aws.function(source),
            "Payload": {"visit.$": "$.visit", "run.$": "$$.Execution.Name", "bucket": aws.bucket},
        },
        "ResultSelector": {"visit.$": "$.Payload"},
        "Retry": [{"ErrorEquals": ["RuntimeError"], "IntervalSeconds": 1, "MaxAttempts": 1}],
    }
    again = {"Variable": "$.visit", "NumericLessThan": 3, "Next": "Visit"}
    definition = _machine(
        ("Visit", invoke),
        ("Again", {"Type": "Choice", "Choices": [again], "Default": "Done"}),
        ("Done", {"Type": "Succeed"}),
    )
    execution = aws.executed(definition, {"visit": 0})
    assert execution["status"] == "SUCCEEDED", execution


def test_sns_publish_lands_in_the_outbox(aws: Aws) -> None:
    topic = aws.client("sns").create_topic(Name=f"alerts-{uuid.uuid4().hex[:6]}")["TopicArn"]
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": topic, "Subject": "failed", "Message": {"input.$": "$"}},
    }
    assert aws.executed(_machine(("Publish", publish)), {"source": "a"})["status"] == "SUCCEEDED"
    [mail] = [item for item in aws.own("outbox")["messages"] if item["topic"] == topic]
    assert (mail["subject"], json.loads(mail["message"])) == ("failed", {"input": {"source": "a"}})


def test_versions_can_be_listed_and_definitions_validated(aws: Aws) -> None:
    states = aws.client("stepfunctions")
    definition = _machine(("Done", {"Type": "Pass"}))
    arn = aws.machine(definition)
    assert states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    states.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition), publish=True)
    [version] = states.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]
    assert version["stateMachineVersionArn"] == f"{arn}:1"
    assert states.validate_state_machine_definition(definition=json.dumps(definition))["result"] == "OK"
    assert states.validate_state_machine_definition(definition='{"StartAt": "x"}')["result"] == "FAIL"
