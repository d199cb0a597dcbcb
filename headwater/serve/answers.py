"""Answers: executions of Athena, one for each query with the same values at the same version of gold, however often it is asked.

Which execution that is, an object says that expires as the result of the execution does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from headwater.config import Environment, Query
from headwater.ledger.bucket import Bucket
from headwater.serve.problems import ProblemError
from headwater.serve.rows import Page

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

# Below the results of Athena.
PREFIX = "athena/api/answers/"
ROWS_A_PAGE = 1000
_BUSY = ("TooManyRequestsException", "ThrottlingException")
_GONE = "InvalidRequestException"


@dataclass(frozen=True)
class Question:
    """A query with the values that were chosen, at a version of gold."""

    query: Query
    values: Sequence[str]
    version: str

    @cached_property
    def digest(self) -> str:
        """What the answer is kept under."""
        told = json.dumps([self.query.text, list(self.values), self.version])
        return hashlib.sha256(told.encode()).hexdigest()


class GoneError(Exception):
    """Athena does not know an execution, or has its result no more, or not such a page of it."""


def gold_version(lake: Bucket, tables: Sequence[str]) -> str:
    """Names what gold tables hold now: another name for each commit; ProblemError when one is not there yet.

    The newest commit of a Delta log is told by its name, and by when it was written, since a table that is made anew counts from zero.
    """
    newest = []
    for table in tables:
        commits = [
            (key, written.isoformat())
            for key, written, _ in lake.keys(f"gold/{table}/_delta_log/0")
            if key.endswith(".json")
        ]
        if not commits:
            raise ProblemError(503, "not-computed", f"{table} has not been computed yet", "ask again later")
        newest.append(max(commits))
    return hashlib.sha256(json.dumps(newest).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Answers:
    """What Athena computes and keeps for one environment."""

    athena: AthenaClient
    results: Bucket
    environment: Environment

    def kept(self, question: Question) -> str | None:
        """Finds the execution that answers a question; None where nobody has asked it yet."""
        body = self.results.read(f"{PREFIX}{question.digest}")
        return body.decode() if body else None

    def start(self, question: Question, failed: str | None) -> str:
        """Starts an execution, or finds the one that somebody else starts at this moment; `failed` is one that came to nothing."""
        execution = self._start(question, hashlib.sha256(f"{question.digest} {failed}".encode()).hexdigest())
        self.results.write(f"{PREFIX}{question.digest}", execution.encode())
        return execution

    def forget(self, question: Question) -> None:
        """Forgets an execution whose result is no longer there, so that the question is answered anew."""
        self.results.write(f"{PREFIX}{question.digest}", b"")

    def _start(self, question: Question, token: str) -> str:
        # Athena takes no empty list.
        bound: dict[str, Any] = {"ExecutionParameters": list(question.values)} if question.values else {}
        try:
            return self.athena.start_query_execution(
                QueryString=question.query.text,
                QueryExecutionContext={"Database": self.environment.database("gold")},
                WorkGroup=self.environment.prefix,
                ClientRequestToken=token,
                **bound,
            )["QueryExecutionId"]
        except ClientError as error:
            raise _busy(error) from None

    def state(self, execution: str) -> tuple[str, str]:
        """Asks Athena for the state of an execution and the reason for it; GoneError when it does not know it."""
        try:
            status = self.athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]
        except ClientError as error:
            raise _gone(error) from None
        return status["State"], status.get("StateChangeReason", "")

    def page(self, execution: str, token: str | None) -> Page:
        """Reads the first page of a result, or the one that a token of Athena's names; GoneError when there is none."""
        following: dict[str, Any] = {"NextToken": token} if token else {}
        try:
            answer = self.athena.get_query_results(QueryExecutionId=execution, MaxResults=ROWS_A_PAGE, **following)
        except ClientError as error:
            raise _gone(error) from None
        found = answer["ResultSet"]
        columns = {column["Name"]: column["Type"] for column in found["ResultSetMetadata"]["ColumnInfo"]}
        rows = [[cell.get("VarCharValue") for cell in row["Data"]] for row in found["Rows"]]
        # The first row of the first page is the header.
        return Page(columns, rows if token else rows[1:], answer.get("NextToken"))


def _gone(error: ClientError) -> Exception:
    return GoneError(str(error)) if error.response["Error"]["Code"] == _GONE else _busy(error)


def _busy(error: ClientError) -> Exception:
    if error.response["Error"]["Code"] not in _BUSY:
        return error
    hint = "ask again after the seconds that Retry-After says"
    return ProblemError(503, "busy", "Athena takes no more calls at the moment", hint, retry_after="5")
