"""Runs one Lambda function's handler, warm: events come in as JSON lines on a pipe, results go out on another.

    python lambda_bootstrap.py EVENTS_FD RESULTS_FD

Stands alone, because the function must not see this repository.
"""

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


class Context:
    """The context object of an invocation."""

    def __init__(self, invocation: dict[str, Any]) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = invocation["arn"]
        self.aws_request_id = invocation["id"]
        self.identity = None
        self.client_context = None
        self._deadline = invocation["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is cut off."""
        return max(0, int((self._deadline - time.time()) * 1000))


def _failure(kind: str, message: str, trace: list[str]) -> dict[str, Any]:
    return {"error": {"errorMessage": message, "errorType": kind, "stackTrace": trace}}


def _load(handler: str) -> Any:
    module, _, name = handler.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


def _invoke(function: Any, invocation: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": json.dumps(function(invocation["event"], Context(invocation)))}
    except Exception as error:  # noqa: BLE001 - the function's failure is its answer
        traceback.print_exc()
        return _failure(type(error).__name__, str(error), traceback.format_tb(error.__traceback__)[1:])


def main(events_descriptor: int, results_descriptor: int) -> None:
    """Loads the handler and answers events until the pipe closes."""
    with os.fdopen(events_descriptor) as events, os.fdopen(results_descriptor, "w") as results:
        sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
        handler = os.environ["_HANDLER"]
        function, broken = None, None
        try:
            function = _load(handler)
        except AttributeError as error:
            broken = _failure("Runtime.HandlerNotFound", f"Handler '{handler}' missing: {error}", [])
        except ImportError as error:
            traceback.print_exc()
            broken = _failure("Runtime.ImportModuleError", f"Unable to import module '{handler}': {error}", [])
        except Exception as error:  # noqa: BLE001 - so is a module that cannot be loaded
            traceback.print_exc()
            broken = _failure(type(error).__name__, str(error), traceback.format_tb(error.__traceback__)[1:])
        for line in events:
            answer = broken or _invoke(function, json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            results.write(json.dumps(answer) + "\n")
            results.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
