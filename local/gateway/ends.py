"""Of what has ended, Step Functions and Glue send EventBridge events."""

from __future__ import annotations

from moto.stepfunctions.parser.backend.execution import Execution

from local.gateway.glue.runs import JobRun
from local.gateway.lambdas.events import tell
from local.gateway.settings import GatewaySettings

_GLUE_SAYS = {"FAILED": "Job run failed", "TIMEOUT": "Job run timed out", "SUCCEEDED": "Job run succeeded"}


def tell_of_execution(settings: GatewaySettings, execution: Execution) -> None:
    """Sends the event of an execution that is over, however it ended."""
    described = execution.to_describe_output()
    detail = {
        **{name: value for name, value in described.items() if name not in {"startDate", "stopDate", "traceHeader"}},
        "startDate": int(execution.start_date.timestamp() * 1000),
        "stopDate": int(execution.stop_date.timestamp() * 1000) if execution.stop_date else None,
    }
    detail = {"output": None, "error": None, "cause": None, **detail}
    tell(settings, "aws.states", "Step Functions Execution Status Change", [execution.exec_arn], detail)


def tell_of_job_run(settings: GatewaySettings, run: JobRun) -> None:
    """Sends the event of a job run that is over, however it ended."""
    detail = {
        "jobName": run.job.name,
        "jobRunId": run.id,
        "severity": "INFO" if run.state == "SUCCEEDED" else "ERROR",
        "state": run.state,
        "message": run.error_message or _GLUE_SAYS.get(run.state, run.state),
    }
    tell(settings, "aws.glue", "Glue Job State Change", [], detail)
