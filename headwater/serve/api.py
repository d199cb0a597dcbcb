"""What the Lambda `answer_query` decides: who asks, whether it may, what of, and how much of the answer there is.

A page that follows is asked for by the query itself, with the same values and a token: the version of gold that the answer is of,
and Athena's own token. Whatever a token says, it leads to nothing but an answer to this query with these values.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import boto3
from pydantic import ValidationError

from headwater.callers import Fresh, caller_of
from headwater.config import Query, Strict
from headwater.config.environment import Consumer, QueryApi
from headwater.config.query import RESERVED
from headwater.config.strict import unknown
from headwater.ledger.bucket import Bucket
from headwater.log import get_logger
from headwater.open_project import OpenProject
from headwater.serve.answers import Answers, GoneError, Question, gold_version
from headwater.serve.problems import ProblemError, Reply
from headwater.serve.quota import Quota
from headwater.serve.rows import Page

FORMATS = ("json", "csv")
# API Gateway gives a function up after thirty seconds.
PATIENCE_SECONDS = 20.0
ASK_AGAIN_SECONDS = 3
_POLL_SECONDS = 0.3
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")

log = get_logger(__name__)


@dataclass(frozen=True)
class Call:
    """One call of the API."""

    id: str
    method: str
    query: str
    key: str
    parameters: str

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Call:
        """Takes a call as API Gateway hands it over (payload format 2.0)."""
        context = event["requestContext"]
        headers = {name.lower(): value for name, value in event["headers"].items()}
        return cls(
            context["requestId"],
            context["http"]["method"],
            event["pathParameters"]["query"],
            headers.get("x-api-key", ""),
            event["rawQueryString"],
        )


class _Token(Strict):
    """Where an answer goes on: the version of gold that it is of, and Athena's token, without which it is the beginning."""

    version: str
    athena: str | None = None

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def of(cls, text: str) -> _Token:
        try:
            return cls.model_validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, binascii.Error, ValidationError):
            raise ProblemError(
                400, "bad-page", "page is no token of this API", "take it from `next` of the page before"
            ) from None


@dataclass(frozen=True)
class QueryAnswerer:
    """Answers the calls of one environment's query API; `keys` reads the consumers' keys by their names."""

    opened: OpenProject
    keys: Callable[[], Mapping[str, str]]
    answers: Answers
    patience_seconds: float = PATIENCE_SECONDS
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def deployed(cls, projects: Fresh[OpenProject], secrets: Fresh[dict[str, str]]) -> QueryAnswerer:
        """Opens the deployed project; it and the keys are read again when they are no longer fresh."""
        opened = projects.get("project", OpenProject.deployed)
        return cls.of(opened, lambda: secrets.get("keys", lambda: opened.secret(QueryApi.secret)))

    @classmethod
    def of(cls, opened: OpenProject, keys: Callable[[], Mapping[str, str]]) -> QueryAnswerer:
        """Answers for an opened project."""
        environment = opened.project.environment
        results = Bucket(opened.ledger.bucket.s3, environment.bucket("logs"))
        return cls(opened, keys, Answers(boto3.client("athena"), results, environment))

    def answer(self, call: Call) -> Reply:
        """Answers one call, or says why not."""
        try:
            reply = self._answer(call)
        except ProblemError as problem:
            reply = problem.reply
            log.info("not answered", call=call.id, status=problem.status, problem=problem.code)
        return reply

    def _answer(self, call: Call) -> Reply:
        # A caller without a key learns nothing, not even which queries there are.
        name, consumer = self._consumer(call)
        quota = Quota(self.answers.results, name, call.id)
        now = self.now()
        if not quota.take(f"{now:%Y-%m-%d/%H:%M}", consumer.calls_a_minute):
            raise _too_many("calls_a_minute", consumer.calls_a_minute, 60 - now.second)
        if call.method != "GET":
            raise ProblemError(405, "method", f"{call.method} is not answered", "ask by GET", allow="GET")
        query = self._query(call, consumer)
        given = _parameters(call, query)
        form, page = given.pop("format", FORMATS[0]), given.pop("page", None)
        if form not in FORMATS:
            raise ProblemError(
                400, "bad-parameter", f"format must be one of {', '.join(FORMATS)}", "leave it out for json"
            )
        try:
            values = query.values(given)
        except ValueError as error:
            raise ProblemError(400, "bad-parameter", str(error), f"{query.query}: see its parameters") from None
        token = _Token.of(page) if page is not None else None
        version = token.version if token else gold_version(self.opened.lake, query.reads)
        question = Question(query, values, version)
        execution = self._pinned(question) if token else self._begun(question, lambda: _spend(quota, consumer, now))
        log.info("asked", call=call.id, consumer=name, query=query.query, execution=execution)
        if not self._ended(execution):
            return _running(call, query, _Token(version=version))
        at = token.athena if token else None
        try:
            found = self.answers.page(execution, at)
        except GoneError:
            if at is None:
                self.answers.forget(question)
            raise _gone() from None
        following = _Token(version=version, athena=found.following) if found.following else None
        return _written(call, query, found, version, following, form)

    def _consumer(self, call: Call) -> tuple[str, Consumer]:
        api = self.opened.project.environment.query_api
        name = caller_of(call.key, self.keys())
        if api is None or name is None or name not in api.consumers:
            hint = "send a key that you were given as the header x-api-key"
            raise ProblemError(401, "no-key", "the header x-api-key holds no key of a known consumer", hint)
        return name, api.consumers[name]

    def _query(self, call: Call, consumer: Consumer) -> Query:
        queries = self.opened.project.queries
        known = [name for name in queries if not consumer.queries or name in consumer.queries]
        if call.query not in known:
            said = unknown("query", call.query, known)
            raise ProblemError(404, "unknown-query", said, "ask whoever gave you the key for other queries")
        return queries[call.query]

    def _pinned(self, question: Question) -> str:
        execution = self.answers.kept(question)
        if execution is None:
            raise _gone()
        return execution

    def _begun(self, question: Question, spend: Callable[[], None]) -> str:
        """The execution that answers a question: one that is there and has not come to nothing, else a new one."""
        kept = self.answers.kept(question)
        if kept is not None and self._is_good(kept):
            return kept
        spend()
        return self.answers.start(question, kept)

    def _is_good(self, execution: str) -> bool:
        try:
            state, _ = self.answers.state(execution)
        except GoneError:
            return False
        return state not in {"FAILED", "CANCELLED"}

    def _ended(self, execution: str) -> bool:
        """Waits for an execution as long as there is patience; ProblemError when it has failed."""
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                state, reason = self.answers.state(execution)
            except GoneError:
                raise _gone() from None
            if state == "SUCCEEDED":
                return True
            if state in _ENDED:
                log.warning("failed", execution=execution, state=state, reason=reason)
                raise ProblemError(500, "failed", "the query failed", "ask again; if it fails again, tell its owner")
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)


def _parameters(call: Call, query: Query) -> dict[str, str]:
    given: dict[str, str] = {}
    known = [*query.parameters, *RESERVED]
    for name, value in parse_qsl(call.parameters, keep_blank_values=True):
        # What is not known may be anything, a key as well: it is not repeated.
        if name not in known:
            said = f"a parameter is not known; known: {', '.join(sorted(known))}"
            raise ProblemError(400, "unknown-parameter", said, "leave out what is not known")
        if name in given:
            raise ProblemError(400, "bad-parameter", f"{name} is given twice", "give each parameter once")
        given[name] = value
    return given


def _spend(quota: Quota, consumer: Consumer, now: datetime) -> None:
    if not quota.take(f"{now:%Y-%m-%d}/executions", consumer.executions_a_day):
        left = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
        raise _too_many("executions_a_day", consumer.executions_a_day, left)


def _too_many(limit: str, most: int, seconds: int) -> ProblemError:
    said = f"the limit of this key is reached, {limit}: {most}"
    return ProblemError(429, "too-many", said, "wait as many seconds as Retry-After says", retry_after=str(seconds))


def _gone() -> ProblemError:
    said = "this answer is not kept, or has no such page"
    return ProblemError(410, "gone", said, "ask again without page, which begins anew")


def _at(call: Call, token: _Token) -> str:
    """Where an answer goes on, relative to where it was asked for: the same query with the same values."""
    kept = [pair for pair in parse_qsl(call.parameters, keep_blank_values=True) if pair[0] != "page"]
    return f"?{urlencode([*kept, ('page', str(token))])}"


def _running(call: Call, query: Query, token: _Token) -> Reply:
    told = {"query": query.query, "status": "running", "next": str(token)}
    headers = {"location": _at(call, token), "retry-after": str(ASK_AGAIN_SECONDS)}
    return Reply(202, "application/json", json.dumps(told), headers)


def _written(call: Call, query: Query, page: Page, version: str, following: _Token | None, form: str) -> Reply:
    headers = {"link": f'<{_at(call, following)}>; rel="next"'} if following else {}
    if form == "csv":
        return Reply(200, "text/csv; charset=utf-8", page.as_csv(), headers)
    head = {"query": query.query, "version": version}
    return Reply(200, "application/json", page.as_json(head, str(following) if following else None), headers)
