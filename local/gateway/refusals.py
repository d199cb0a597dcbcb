"""How a service refuses: each has a form of its own, and where it throttles its own code and status."""

from __future__ import annotations

import json
import uuid

from local.gateway.http_server import Environ

_OWN_CODES = {
    "athena": ("400 Bad Request", "TooManyRequestsException"),
    "kinesis": ("400 Bad Request", "ProvisionedThroughputExceededException"),
    "lambda": ("429 Too Many Requests", "TooManyRequestsException"),
    "s3": ("503 Slow Down", "SlowDown"),
    "scheduler": ("429 Too Many Requests", "ThrottlingException"),
    "pipes": ("429 Too Many Requests", "ThrottlingException"),
    "sqs": ("403 Forbidden", "RequestThrottled"),
}
_SAID = "Rate exceeded (injected)"
Answer = tuple[str, list[tuple[str, str]], bytes]


def throttled(environ: Environ, service: str) -> Answer:
    """Makes the status, headers and body with which a service says that it gets too many requests."""
    common = "Throttling" if _is_query(environ) else "ThrottlingException"
    status, code = _OWN_CODES.get(service, ("400 Bad Request", common))
    return refused(environ, service, status, code, _SAID)


def refused(environ: Environ, service: str, status: str, code: str, said: str) -> Answer:
    """Makes the status, headers and body with which a service refuses a request; `said` has no markup."""
    if service == "s3":
        return status, _xml(), f"<Error><Code>{code}</Code><Message>{said}</Message></Error>".encode()
    if _is_query(environ):
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{said}</Message></Error>"
        request = f"<RequestId>{uuid.uuid4()}</RequestId>"
        return status, _xml(), f"<ErrorResponse>{error}{request}</ErrorResponse>".encode()
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", code),
        ("x-amzn-RequestId", str(uuid.uuid4())),
    ]
    return status, headers, json.dumps({"__type": code, "message": said, "Message": said}).encode()


def _is_query(environ: Environ) -> bool:
    return "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", "")


def _xml() -> list[tuple[str, str]]:
    return [("Content-Type", "application/xml")]
