"""Says of each call and of each act of a service whether it is allowed, and notes it; denied unless a policy allows it.

moto asks itself before each action of each service whether it is permitted, and says yes to everything. Here policies decide.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError, InvalidClientTokenIdError, JsonRESTError, _RESTError
from moto.core.responses import ActionResult, BaseResponse
from moto.kms.models import kms_backends
from moto.redshiftdata.responses import RedshiftDataAPIServiceResponse
from moto.s3.exceptions import S3AccessDeniedError, S3ClientError, S3InvalidAccessKeyIdError
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.sts.responses import TokenResponse

from local.gateway import logs
from local.gateway.calls import Asked, Call, Calls, asked_of, signature
from local.gateway.iam import web_identity
from local.gateway.iam.acts import acts
from local.gateway.iam.documents import not_evaluated
from local.gateway.iam.keys import Keys
from local.gateway.iam.policy import Request, Statement, decide, read
from local.gateway.iam.principals import Principal, Principals
from local.gateway.settings import GatewaySettings

# Everybody may ask who he is.
_FREE = {"sts:GetCallerIdentity"}
# A token says who asks for these, and nobody signs them.
_UNSIGNED = {"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"}
_UNKNOWN = "The security token included in the request is invalid."
_EXPIRED = "The security token included in the request is expired"
_OWNED = {"redshift-data:DescribeStatement", "redshift-data:GetStatementResult", "redshift-data:CancelStatement"}


class Authority:
    """Decides by the policies that IAM, keys, buckets, topics, queues and roles have at this moment."""

    def __init__(self, settings: GatewaySettings, principals: Principals) -> None:
        self.calls = Calls()
        self.principals = principals
        self._settings = settings
        self._keys = Keys(settings)
        self._owners: dict[str, str] = {}
        self._served = threading.local()

    def caller(self, authorization: str) -> Principal:
        """Finds who signed a request by its header; refused when nobody did, or nobody whom the account knows."""
        signed = signature(authorization)
        principal = self.principals.find(signed[0]) if signed else None
        if principal is None:
            raise JsonRESTError("UnrecognizedClientException", _UNKNOWN)
        return principal

    def admit(self, authorization: str, asked: Iterable[Asked]) -> Principal:
        """Finds who makes a call that the gateway answers without moto, by its header; JsonRESTError where that one may not make it."""
        signed = signature(authorization)
        if signed and self.principals.has_expired(signed[0]):
            raise JsonRESTError("ExpiredTokenException", _EXPIRED)
        principal = self.caller(authorization)
        wanted = tuple(asked)
        if not self.allows(principal, wanted):
            raise JsonRESTError("AccessDeniedException", _denied(principal, wanted[0].action, wanted[0].resource))
        return principal

    def allows(self, principal: Principal, asked: Iterable[Asked]) -> bool:
        """Decides about what is asked for and the uses of keys that it leads to, and notes each."""
        answers = [self._allows(principal, one) for one in asked]
        return all(answers)

    def _allows(self, principal: Principal, asked: Asked) -> bool:
        every = [self._decides(principal, part) for part in (asked, *self._keys.uses(asked))]
        return all(every)

    def _decides(self, principal: Principal, asked: Asked) -> bool:
        self.calls.note(Call.of(principal.name, principal.userid, asked))
        told = {**principal.told, **self._keys.aliases(asked.resource), **asked.told}
        request = Request(principal.names, asked.action, asked.resource, told)
        policy, delegated = self._policy_of(asked)
        return decide(request, principal.identity, policy, delegated=delegated, boundary=principal.boundary).allowed

    def allows_role(self, role_arn: str, service: str, *asked: Asked) -> bool:
        """Decides about what a service asks for in a role's name."""
        return self.allows(self.principals.of_service(role_arn, service, service.partition(".")[0]), asked)

    def may_log(self, role_arn: str, service: str, group: str) -> bool:
        """Decides whether a service may write a log in a role's name, and make the group where there is none."""
        arn = f"arn:aws:logs:{self._settings.region}:{self._settings.account_id}:log-group:{group}"
        asked = [Asked(f"logs:{action}", f"{arn}:log-stream:any") for action in ("CreateLogStream", "PutLogEvents")]
        if not logs.exists(self._settings, group):
            asked.insert(0, Asked("logs:CreateLogGroup", arn))
        return self.allows_role(role_arn, service, *asked)

    def act(self, name: str, role_arn: str, **values: str) -> bool:
        """Decides about an act of acts.yaml that a service does in a role's name."""
        act = acts()[name]
        principal = self.principals.of_service(role_arn, str(act.of), name)
        request = act.request(role_arn, self._values(role_arn) | values)
        return self.allows(principal, [Asked(request.action, request.resource, dict(request.context))])

    def in_service(self, service: str, asked: Asked) -> bool:
        """Decides about what a service asks for in its own name, key of the resource included."""
        told = {"aws:SecureTransport": ("true",), "aws:SourceAccount": (self._settings.account_id,)}
        for part in (asked, *self._keys.uses(asked)):
            # EventBridge tells KMS and SNS neither account nor source.
            nameless = service == "events.amazonaws.com" and not part.action.startswith("sqs:")
            known = {key: value for key, value in told.items() if not (nameless and key == "aws:SourceAccount")}
            request = Request(frozenset({service}), part.action, part.resource, {**known, **part.told})
            if not decide(request, (), self._policy_of(part)[0]).allowed:
                return False
        return True

    def _values(self, role_arn: str) -> dict[str, str]:
        return {
            "region": self._settings.region,
            "account": self._settings.account_id,
            "name": role_arn.rpartition("/")[2],
        }

    def _policy_of(self, asked: Asked) -> tuple[tuple[Statement, ...], bool]:
        """The policy of what is asked for, and whether identities' policies count only where it says so."""
        service, name = asked.action.partition(":")[0], asked.resource.rpartition(":")[2]
        account, region = self._settings.account_id, self._settings.region
        found: Any = None
        if service == "kms" and (key := kms_backends[account][region].keys.get(name.rpartition("/")[2])):
            return read(key.policy), True
        if service == "sts" and (role := self.principals.role(asked.resource)):
            return read(str(role.assume_role_policy_document)), True
        if service == "s3":
            bucket = s3_backends[account]["aws"].buckets.get(name.partition("/")[0])
            found = bucket.policy if bucket else None
        elif service == "sqs":
            queue = sqs_backends[account][region].queues.get(name)
            found = queue.policy if queue else None
        elif service == "sns":
            topic = sns_backends[account][region].topics.get(asked.resource)
            found = topic.policy if topic else None
        text = found.decode() if isinstance(found, bytes) else found if isinstance(found, str) else json.dumps(found)
        return (read(text) if found else ()), False

    def judge(self, response: BaseResponse, resource: str) -> None:
        """Lets a request pass, or answers it as AWS answers what is not allowed."""
        signed = signature(response.headers.get("Authorization", "")) or _presigned(response)
        if signed is None:
            if isinstance(response, TokenResponse) and response._get_action() == "AssumeRoleWithWebIdentity":
                self._judge_token(response)
                return
            if response._get_action() in _UNSIGNED:
                return
            raise _unsigned(response)
        access_key, service = signed
        if self.principals.has_expired(access_key):
            raise _expired(response)
        principal = self.principals.find(access_key)
        if principal is None:
            raise _unknown(response)
        self._served.userid = principal.userid
        action = f"{service}:{response._get_action()}"
        if action in _FREE:
            return
        asked = list(asked_of(self._settings, response, service, resource))
        if action in _OWNED:
            # A statement of a batch is `<id of the batch>:<number>`.
            owner = self._owners.get(str(response._get_param("Id")).partition(":")[0], "-")
            asked = [Asked(action, "*", {"redshift-data:statement-owner-iam-userid": (owner,)})]
        if not self.allows(principal, asked):
            raise _refusal(response, principal, action, asked[0].resource)
        if refusal := not_evaluated(action, response._get_param, is_query=_is_query(response)):
            raise refusal

    def _judge_token(self, response: TokenResponse) -> None:
        role = self.principals.role(str(response._get_param("RoleArn")))
        token = web_identity.read(self._settings.account_id, str(response._get_param("WebIdentityToken")))
        if role is None or token is None or not token.may_assume(role):
            raise _RESTError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")

    def keep_owner(self, statement: str) -> None:
        """Remembers that whoever is served in this thread has started a statement of the Data API."""
        self._owners[statement] = str(getattr(self._served, "userid", "-"))

    def owns(self, statement: str, *, as_role: bool) -> bool:
        """True when whoever is served in this thread has started a statement, or, `as_role`, another session of the same role has."""
        owner, asks = self._owners.get(statement, "-"), str(getattr(self._served, "userid", "-"))
        return owner.partition(":")[0] == asks.partition(":")[0] if as_role else owner == asks


def _presigned(response: BaseResponse) -> tuple[str, str] | None:
    credential = parse_qs(response.parsed_url.query).get("X-Amz-Credential")
    return signature(f"Credential={credential[0]}") if credential else None


def _unsigned(response: BaseResponse) -> Exception:
    said = "Request is missing Authentication Token"
    refusal: Exception = JsonRESTError("MissingAuthenticationTokenException", said)
    if isinstance(response, S3Response):
        # Nothing here is public, though a policy names everybody: its account's buckets block that.
        refusal = S3AccessDeniedError()
    elif _is_query(response):
        refusal = _RESTError("MissingAuthenticationToken", said)
    return refusal


def _unknown(response: BaseResponse) -> Exception:
    refusal: Exception = JsonRESTError("UnrecognizedClientException", _UNKNOWN)
    if isinstance(response, S3Response):
        refusal = S3InvalidAccessKeyIdError()
    elif _is_query(response):
        refusal = InvalidClientTokenIdError()
    return refusal


def _expired(response: BaseResponse) -> Exception:
    refusal: Exception = JsonRESTError("ExpiredTokenException", _EXPIRED)
    if isinstance(response, S3Response):
        refusal = S3ClientError("ExpiredToken", _EXPIRED)
    elif _is_query(response):
        refusal = _RESTError("ExpiredToken", _EXPIRED)
    return refusal


def _is_query(response: BaseResponse) -> bool:
    return "x-www-form-urlencoded" in response.headers.get("Content-Type", "")


def _refusal(response: BaseResponse, principal: Principal, action: str, resource: str) -> Exception:
    refusal: Exception
    if isinstance(response, S3Response):
        refusal = S3AccessDeniedError()
    elif _is_query(response):
        refusal = AccessDeniedError(principal.arn, action)
    else:
        refusal = JsonRESTError("AccessDeniedException", _denied(principal, action, resource))
    return refusal


def _denied(principal: Principal, action: str, resource: str) -> str:
    return f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"


def install(authority: Authority) -> None:
    """Has every signed call judged, who asks told who he is, and what the Data API has started kept by who started it."""

    def judge(self: BaseResponse, _iam_request: type, resource: str = "*") -> None:
        authority.judge(self, resource)

    def get_caller_identity(self: TokenResponse) -> ActionResult:
        caller = authority.caller(self.headers["Authorization"])
        return ActionResult({"UserId": caller.userid, "Account": self.current_account, "Arn": caller.caller})

    ActionAuthenticatorMixin._authenticate_and_authorize_action = judge
    TokenResponse.get_caller_identity = get_caller_identity
    # Without a warehouse, moto's Data API is there, which knows no batches.
    for name in {"execute_statement", "batch_execute_statement"} & vars(RedshiftDataAPIServiceResponse).keys():
        _keep_owners(authority, name)


def _keep_owners(authority: Authority, name: str) -> None:
    original = getattr(RedshiftDataAPIServiceResponse, name)

    def started(self: RedshiftDataAPIServiceResponse) -> Any:
        answer = original(self)
        body = answer[2] if isinstance(answer, tuple) else answer
        with suppress(ValueError, TypeError, KeyError):
            authority.keep_owner(str((body if isinstance(body, Mapping) else json.loads(body))["Id"]))
        return answer

    setattr(RedshiftDataAPIServiceResponse, name, started)
