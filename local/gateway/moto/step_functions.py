"""Where moto's state machine interpreter differs from Step Functions, and what to do about each difference."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ExecutionDoesNotExist
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue import (
    StateTaskServiceGlue,
)
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from local.gateway.clock import CLOCK
from local.gateway.iam.principals import key_of
from local.gateway.moto import step_functions_clock, step_functions_limits
from local.gateway.settings import GatewaySettings

AwaitRun = Callable[[str, str, float], bool]

_STOP_LOOK_SECONDS = 0.2
_SDK_NAMES_THAT_DIFFER = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions"}


def install(settings: GatewaySettings, await_glue_run: AwaitRun, ended: Callable[[Execution], None]) -> None:
    """Makes the interpreter run executions, and run them as AWS does; `ended` hears of each that is over.

    `await_glue_run` waits until a job's run has ended; False after so many seconds that it has not: asking Glue's API
    again and again would show nothing more, at the cost of a request each time.
    """
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    # What failed in an execution is in its history; moto would print each state's inner life as well.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
    step_functions_clock.install()
    step_functions_limits.install(settings.most_events)
    _reuse_clients(settings)
    _name_executions()
    _stop_executions(ended)
    _keep_sync_tasks_alive(await_glue_run)
    _name_sdk_errors()
    _count_retries_per_visit()
    _pass_on_reserved_error_names()
    StepFunctionResponse.list_state_machine_versions = _list_state_machine_versions
    StepFunctionResponse.validate_state_machine_definition = _validate_definition


def _reuse_clients(settings: GatewaySettings) -> None:
    # The interpreter builds a boto3 client for each call, from many threads, on the default session, which is not
    # safe and costs more than the call. Reading has no limit: TimeoutSeconds of the task is the limit.
    lock = threading.Lock()

    @lru_cache(maxsize=256)
    def client(region: str, service: str, role: str) -> Any:
        key = key_of(role, "states.amazonaws.com", "execution")
        session: Any = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key="states")  # noqa: S106
        return session.client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint,
            config=Config(
                parameter_validation=False,
                retries={"total_max_attempts": 1},
                read_timeout=86_400,
                max_pool_connections=64,
            ),
        )

    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        with lock:
            return client(region, service, state_credentials.role_arn)

    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and hasattr(module, "boto_client_for"):
            vars(module)["boto_client_for"] = boto_client_for


def _name_executions() -> None:
    # Two starts at once must not both pass the test for a duplicate, and no two unnamed executions may share a name.
    original = StepFunctionsParserBackend.start_execution
    lock = threading.Lock()

    def start_execution(
        self: StepFunctionsParserBackend,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str | None = None,
        trace_header: str | None = None,
    ) -> Execution:
        name = name or str(uuid.uuid4())
        self._validate_name(name)
        step_functions_limits.refuse_large_input(execution_input or "{}")
        with lock:
            return original(self, state_machine_arn, name, execution_input or "{}", trace_header)

    StepFunctionsParserBackend.start_execution = start_execution


def _stop_executions(ended: Callable[[Execution], None]) -> None:
    def stop_execution(self: StepFunctionResponse) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        if execution.exec_status == ExecutionStatus.RUNNING:
            _abort(execution, self._get_param("error"), self._get_param("cause"))
            ended(execution)
        return ActionResult({"stopDate": execution.stop_date})

    reflect = BaseExecutionWorkerCommunication._reflect_execution_status

    def reflect_unless_stopped(self: BaseExecutionWorkerCommunication) -> None:
        if self.execution.exec_status != ExecutionStatus.ABORTED:
            reflect(self)
            ended(self.execution)

    describe = StepFunctionResponse.describe_execution

    def describe_execution(self: StepFunctionResponse) -> ActionResult:
        answer = describe(self)
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        if execution.status == ExecutionStatus.TIMED_OUT.value:
            answer.result["stopDate"] = execution.stop_date
        return answer

    StepFunctionResponse.stop_execution = stop_execution
    StepFunctionResponse.describe_execution = describe_execution
    BaseExecutionWorkerCommunication._reflect_execution_status = reflect_unless_stopped


def _abort(execution: Any, error: str | None, cause: str | None) -> None:
    # The execution is over at once, whatever its thread still waits for (a retry's delay, an answer).
    execution.exec_status = ExecutionStatus.ABORTED
    execution.stop_date = CLOCK.moment()
    execution.error, execution.cause = error, cause
    environment = execution.exec_worker.env if execution.exec_worker is not None else None
    if environment is None:
        raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{execution.execution_arn}'")
    environment.set_stop(stop_date=execution.stop_date, cause=cause, error=error)


def _keep_sync_tasks_alive(await_glue_run: AwaitRun) -> None:
    # A .sync task without a task token has no callback endpoint, and moto's cleanup of it raises.
    original = StateTaskServiceCallback._eval_integration_pattern

    def eval_integration_pattern(
        self: StateTaskServiceCallback,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        if ResourceCondition.WaitForTaskToken in self._supported_integration_patterns:
            original(self, env, resource_runtime_part, normalised_parameters, state_credentials)
            return
        if isinstance(self, StateTaskServiceGlue):
            client = self._get_glue_client(resource_runtime_part, state_credentials)
            env.stack.append(_await_glue_run(self, env, client, env.stack.pop(), await_glue_run))
            return
        is_sync = self.resource.condition == ResourceCondition.Sync
        build = self._build_sync_resolver if is_sync else self._build_sync2_resolver
        resolve: Any = build(env, resource_runtime_part, normalised_parameters, state_credentials)
        env.stack.append(self._eval_sync(env, resolve, None, None, None))

    StateTaskServiceCallback._eval_integration_pattern = eval_integration_pattern


def _await_glue_run(
    task: StateTaskServiceGlue, env: Any, client: Any, submitted: dict[str, Any], await_glue_run: AwaitRun
) -> Any:
    # Every end but SUCCEEDED fails the task, with the run as JSON for its cause; a task that is cut short by a timeout
    # or an abort takes its run with it.
    name, run_id = submitted["JobName"], submitted["JobRunId"]
    while env.is_running():
        if not await_glue_run(name, run_id, _STOP_LOOK_SECONDS):
            continue
        run = _plain(client.get_job_run(JobName=name, RunId=run_id)["JobRun"], _epoch_milliseconds)
        if run["JobRunState"] == "SUCCEEDED":
            return run
        failure = StatesErrorNameType.StatesTaskFailed
        details = TaskFailedEventDetails(
            resource=task._get_sfn_resource(),
            resourceType=task._get_sfn_resource_type(),
            error=failure.to_name(),
            cause=json.dumps(run),
        )
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=StatesErrorName(typ=failure),
                event_type=HistoryEventType.TaskFailed,
                event_details=EventDetails(taskFailedEventDetails=details),
            )
        )
    client.batch_stop_job_run(JobName=name, JobRunIds=[run_id])
    return None


def _epoch_milliseconds(when: datetime | date) -> int:
    moment = when if isinstance(when, datetime) else datetime(when.year, when.month, when.day, tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _iso(when: datetime | date) -> str:
    if isinstance(when, datetime):
        return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return when.isoformat()


def _plain(value: Any, of_time: Callable[[datetime | date], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item, of_time) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, of_time) for item in value]
    return of_time(value) if isinstance(value, date) else value


@lru_cache(maxsize=128)
def boto_service(sdk_name: str) -> str:
    """Names a service as boto3 does: Step Functions and Scheduler write `redshiftdata`, boto3 `redshift-data`."""
    if sdk_name in _SDK_NAMES_THAT_DIFFER:
        return _SDK_NAMES_THAT_DIFFER[sdk_name]
    services = boto3.session.Session().get_available_services()
    return next((name for name in services if name.replace("-", "") == sdk_name), sdk_name)


def sdk_service_name(service_id: str) -> str:
    """Spells a service id as AWS does in error names: `Redshift Data` is RedshiftData, `SNS` is Sns."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", service_id)
    return "".join(word.capitalize() for word in words)


def _name_sdk_errors() -> None:
    boto_name = StateTaskServiceAwsSdk._get_boto_service_name
    evaluate = StateTaskServiceAwsSdk._eval_service_task
    failure = StateTaskServiceAwsSdk._from_error

    def get_boto_service_name(self: StateTaskServiceAwsSdk, boto_service_name: str | None = None) -> str:
        return boto_service(boto_name(self, boto_service_name))

    def eval_service_task(self: StateTaskServiceAwsSdk, env: Any, *args: Any, **named: Any) -> None:
        evaluate(self, env, *args, **named)
        env.stack.append(_plain(env.stack.pop(), _iso))

    def from_error(self: StateTaskServiceAwsSdk, env: Any, ex: Exception) -> Any:
        if not isinstance(ex, ClientError):
            return failure(self, env, ex)
        model: Any = boto3.session.Session()._session.get_service_model(self._get_boto_service_name())
        service = sdk_service_name(str(model.service_id))
        code = str(ex.response["Error"]["Code"])
        # An error that the service's model does not know is the SDK's base exception of the service.
        name = code if code in {shape.error_code for shape in model.error_shapes} else service
        error = f"{service}.{name if name.endswith('Exception') else name + 'Exception'}"
        metadata = ex.response["ResponseMetadata"]
        cause = (
            f"{ex.response['Error']['Message']} (Service: {service}, Status Code: {metadata['HTTPStatusCode']}, "
            f"Request ID: {metadata.get('RequestId', '-')})"
        )
        return self._get_task_failure_event(env=env, error=error, cause=cause)

    StateTaskServiceAwsSdk._get_boto_service_name = get_boto_service_name
    StateTaskServiceAwsSdk._eval_service_task = eval_service_task
    StateTaskServiceAwsSdk._from_error = from_error


def _count_retries_per_visit() -> None:
    # AWS counts retries from zero each time a state is entered; moto for the whole execution, which a polling loop uses up.
    original = ExecutionState._eval_state

    def eval_state(self: ExecutionState, env: Any) -> None:
        for retrier in self.retry.retriers if self.retry else ():
            env.heap.pop(retrier.max_attempts._attempt_number_key(), None)
            env.heap.pop(retrier.backoff_rate._next_multiplier_key(), None)
        original(self, env)

    ExecutionState._eval_state = eval_state


def _pass_on_reserved_error_names() -> None:
    # What failed a branch, an iteration or, by way of a Catch, a Fail state keeps its name, a reserved one as well.
    reserved = {error.to_name(): error for error in StatesErrorNameType}

    def error_name(error_name: str | None) -> ErrorName:
        known = reserved.get(error_name or "")
        return StatesErrorName(typ=known) if known else CustomErrorName(error_name)

    for module in (branches_decl, iteration_worker, state_fail):
        vars(module)["CustomErrorName"] = error_name


def _list_state_machine_versions(self: StepFunctionResponse) -> ActionResult:
    machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
    versions = machine.versions.values() if isinstance(machine, StateMachine) else []
    newest_first = sorted(versions, key=lambda version: version.version, reverse=True)
    listed = [{"stateMachineVersionArn": item.arn, "creationDate": item.creation_date} for item in newest_first]
    return ActionResult({"stateMachineVersions": listed})


def _validate_definition(self: StepFunctionResponse) -> ActionResult:
    try:
        AmazonStateLanguageParser.parse(self._get_param("definition"))
    except Exception as error:  # noqa: BLE001 - whatever the parser raises is the verdict
        diagnostic = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": str(error)}
        return ActionResult({"result": "FAIL", "diagnostics": [diagnostic], "truncated": False})
    return ActionResult({"result": "OK", "diagnostics": [], "truncated": False})
