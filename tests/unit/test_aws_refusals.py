"""AWS errors that a person can act on are one line; others keep their traceback."""

from __future__ import annotations

import sys

import botocore.exceptions as aws
import pytest

from headwater import cli
from headwater.desk.refusals import refusal

EXPECTED = {
    "no credentials": aws.NoCredentialsError(),
    "half credentials": aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
    "no such profile": aws.ProfileNotFound(profile="nope"),
    "no region": aws.NoRegionError(),
    "broken config": aws.ConfigParseError(path="~/.aws/config", error="x"),
    "not signed in": aws.SSOTokenLoadError(error_msg="x"),
    "signed out": aws.UnauthorizedSSOTokenError(),
    "nobody answers": aws.EndpointConnectionError(endpoint_url="https://states.eu-west-1.amazonaws.com/"),
    "too slow": aws.ConnectTimeoutError(endpoint_url="https://states.eu-west-1.amazonaws.com/"),
    **{
        code: aws.ClientError({"Error": {"Code": code, "Message": "said so"}}, "ListExecutions")
        for code in (
            *("ExpiredToken", "ExpiredTokenException", "AccessDenied", "AccessDeniedException", "403"),
            *("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "RequestExpired"),
            *("StateMachineDoesNotExist", "NoSuchBucket", "ThrottlingException"),
        )
    },
}


def exit_code(monkeypatch: pytest.MonkeyPatch, error: Exception) -> object:
    def fail(env: str) -> None:
        raise error

    monkeypatch.setattr(cli, "client_of", fail)
    monkeypatch.setattr(sys, "argv", ["headwater", "status", "--env", "dev"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("name", EXPECTED)
def test_what_aws_refuses_is_one_line_with_a_hint(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(monkeypatch, EXPECTED[name]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "hint: " in said
    assert "Traceback" not in said


def test_a_token_in_an_error_of_aws_is_struck_out() -> None:
    error = aws.ClientError({"Error": {"Code": "ExpiredToken", "Message": "token=abcdef ran out"}}, "GetObject")
    assert "abcdef" not in str(refusal(error))


@pytest.mark.parametrize(
    "error",
    [
        aws.ClientError({"Error": {"Code": "ValidationException", "Message": "a bug of ours"}}, "StartExecution"),
        aws.ParamValidationError(report="a bug of ours"),
        RuntimeError("a bug of ours"),
    ],
)
def test_what_nobody_expects_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error), match="a bug of ours"):
        exit_code(monkeypatch, error)
