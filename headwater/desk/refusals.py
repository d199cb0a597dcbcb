"""Errors of AWS that a person can act on, each as one line with the way out; all others are for the traceback."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.session import Session

from headwater.redaction import redact

_SIGN_IN = "hint: sign in (aws sso login) and name the profile in AWS_PROFILE"
_UNKNOWN_TO_AWS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_FORBIDDEN = {"403", "AccessDenied", "AccessDeniedException", "Forbidden", "UnauthorizedOperation"}
_ABSENT = {
    "EntityNotFoundException",
    "NoSuchBucket",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
}
_BUSY = {
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


def refusal(error: BotoCoreError | ClientError) -> str | None:
    """Says what an error of AWS means to the person who sees it; None when it is none that a person could expect."""
    said = redact(" ".join(str(error).split())).rstrip(".")
    match error:
        case ClientError():
            hint = _hint_of(error)
            return None if hint is None else f"{said}. {hint}"
        case ProfileNotFound():
            return f"{said}. hint: AWS_PROFILE names none of {', '.join(Session().available_profiles) or 'none'}"
        case NoRegionError() | InvalidRegionError():
            return f"{said}. hint: set AWS_DEFAULT_REGION"
        case ConfigParseError() | ConfigNotFound() | InvalidConfigError():
            return f"{said}. hint: mend ~/.aws/config, or name another file in AWS_CONFIG_FILE"
        case NoCredentialsError() | PartialCredentialsError() | CredentialRetrievalError():
            return f"{said}. {_SIGN_IN}"
        case SSOError() | TokenRetrievalError():
            return f"{said}. {_SIGN_IN}"
        case HTTPClientError() | AwsConnectionError():
            return f"{said}. hint: is the network there, and does a proxy or AWS_ENDPOINT_URL point elsewhere?"
        case _:
            return None


def _hint_of(error: ClientError) -> str | None:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _UNKNOWN_TO_AWS:
        return f"{_SIGN_IN}; credentials that were good may have expired"
    if code in _FORBIDDEN:
        return (
            "hint: these credentials may not do that; ask the account's owner, or name another profile in AWS_PROFILE"
        )
    if code in _ABSENT:
        return "hint: is the environment deployed (docs/deploy.md; headwater deploy for local), and is it this account?"
    return "hint: try again in a minute" if code in _BUSY else None
