"""Step Functions' limits, which moto lacks or draws elsewhere: the events of a history, and the bytes of what is passed on."""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.parser import quotas
from moto.stepfunctions.parser.api import ExecutionFailedEventDetails, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

_MOST_BYTES = 256 << 10
_ENDS = {
    HistoryEventType.ExecutionSucceeded,
    HistoryEventType.ExecutionFailed,
    HistoryEventType.ExecutionAborted,
    HistoryEventType.ExecutionTimedOut,
}
_TOO_MUCH = StatesErrorName(typ=StatesErrorNameType.StatesStatesDataLimitExceeded)
_ALL = StatesErrorName(typ=StatesErrorNameType.StatesALL)


def install(most_events: int) -> None:
    """Ends an execution whose history is full, and fails what passes on more than 256 KiB."""
    _end_full_histories(most_events)
    _count_every_byte()
    _limit_parameters()
    _keep_the_data_limit_from_states_all()


def refuse_large_input(text: str) -> None:
    """ValidationException when an execution's input is larger than Step Functions takes."""
    if len(text.encode()) > _MOST_BYTES:
        raise ValidationException(
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_MOST_BYTES}"
        )


def _end_full_histories(most_events: int) -> None:
    # The last event is the execution's end, whichever; what would be another one in its place fails the execution as a whole.
    make, add, set_error = ExecutionWorker._get_evaluation_environment, EventManager.add_event, Environment.set_error
    counting = threading.Lock()
    failure = ExecutionFailedEventDetails(
        error=StatesErrorNameType.StatesRuntime.to_name(),
        cause=f"The execution reached the maximum number of history events ({most_events}).",
    )

    def environment(self: ExecutionWorker) -> Environment:
        env = make(self)
        env.event_manager.execution = env
        env.event_manager.is_full = False
        return env

    def add_event(
        self: EventManager, context: EventHistoryContext, event_type: HistoryEventType, *args: Any, **named: Any
    ) -> int:
        with counting:
            if event_type in _ENDS or len(self._history_event_list) < most_events - 1:
                return int(add(self, context, event_type, *args, **named))
            self.is_full = True
        self.execution.set_error(failure)
        if _is_told_of_an_end(event_type):
            return int(context.last_published_event_id)
        raise FailureEventException(
            FailureEvent(
                env=self.execution,
                error_name=StatesErrorName(typ=StatesErrorNameType.StatesRuntime),
                event_type=HistoryEventType.ExecutionFailed,
                event_details=EventDetails(executionFailedEventDetails=failure),
            )
        )

    def set_first_error(self: Environment, error: ExecutionFailedEventDetails) -> None:
        # What breaks off on its way out is no cause of its own.
        set_error(self, failure if self.event_manager.is_full else error)

    ExecutionWorker._get_evaluation_environment = environment
    EventManager.add_event = add_event
    Environment.set_error = set_first_error


def _is_told_of_an_end(event_type: HistoryEventType) -> bool:
    # Whoever tells of these is about to say that its part has ended, which others wait for.
    name = str(event_type.value)
    return name.startswith("MapIteration") or name.endswith(("Failed", "Aborted", "TimedOut"))


def _count_every_byte() -> None:
    def is_within(value: Any) -> bool:
        text: str = value if isinstance(value, str) else to_json_str(value, separators=(",", ":"))
        return len(text.encode()) <= _MOST_BYTES

    original = quotas.is_within_size_quota
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and getattr(module, "is_within_size_quota", None) is original:
            vars(module)["is_within_size_quota"] = is_within


def _limit_parameters() -> None:
    evaluate = StateTask._eval_parameters

    def eval_parameters(self: StateTask, env: Environment) -> dict[str, Any]:
        parameters: dict[str, Any] = evaluate(self, env)
        self._verify_size_quota(env, parameters)
        return parameters

    StateTask._eval_parameters = eval_parameters


def _keep_the_data_limit_from_states_all() -> None:
    evaluate = ErrorEqualsDecl._eval_body

    def eval_body(self: ErrorEqualsDecl, env: Environment) -> None:
        is_too_much = env.stack[-1] == _TOO_MUCH
        evaluate(self, env)
        if is_too_much and _ALL in self.error_names:
            env.stack[-1] = False

    ErrorEqualsDecl._eval_body = eval_body
