"""Secrets as canaries: the forms in which one may get out, and where a run may have let it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import boto3

from headwater.client import Client
from headwater.redaction import secrets_in
from local.stack import Stack

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, / as it is": quote,
    "percent in lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "plus": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON of Java": lambda text: json.dumps(text)[1:-1].translate({ord(c): f"\\u{ord(c):04x}" for c in "&<>='"}),
    "JSON in capitals": lambda text: "".join(
        f"\\u{unit:04X}" for unit in memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H")
    ),
    "HTML": html.escape,
    "HTML by number": lambda text: "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text),
    "HTML in hexadecimal": lambda text: "".join(c if c.isalnum() else f"&#x{ord(c):X};" for c in text),
    "Python": lambda text: repr(text)[1:-1],
    "bytes of Python": lambda text: repr(text.encode())[2:-1],
}
ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "Base64": base64.b64encode,
    "Base64 for URLs": base64.urlsafe_b64encode,
}

_NAMES = {"app_id", "client_id", "login_customer_id", "email"}
"""What a secret holds beside addresses that is no secret by itself."""
_KEPT_BY_SERVERS = {"rds", "warehouse", "mysql", "kafka", "snowflake", "push", "simulators"}
"""Folders of a stack that stand for other systems, which know their own secrets."""

Text = tuple[str, str]
"""Where a text is, and the text."""


def canaries() -> dict[str, str]:
    """Every secret value that Secrets Manager keeps, by its place."""
    manager = boto3.client("secretsmanager")
    names = [kept["Name"] for page in manager.get_paginator("list_secrets").paginate() for kept in page["SecretList"]]
    found: dict[str, str] = {}
    for name in names:
        held: Mapping[str, str] = json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
        hidden = {key: value for key, value in held.items() if key not in _NAMES and not key.endswith("_life")}
        for key, value in hidden.items():
            found |= {f"{name}: {key} {number}": each for number, each in enumerate(_each(secrets_in({key: value})))}
    return found


def _each(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        lines = [line for line in value.splitlines() if len(line) > 40 and "-----" not in line]
        yield from lines or [value]


def written(secret: str) -> set[str]:
    """A secret in every form in which it may get out; in Base64 wherever it begins, without what its neighbours decide."""
    forms = {form(secret) for form in FORMS.values()}
    content = secret.encode()
    for encode in ENCODED.values():
        for before in range(3):
            encoded = encode(bytes(before) + content).decode().rstrip("=")
            forms.add(encoded[-(-before * 8 // 6) : (before + len(content)) * 8 // 6])
    # A state holds its input as JSON, which holds the input of what it started as JSON.
    for _ in range(2):
        forms |= {json.dumps(form)[1:-1] for form in forms}
    return forms


def found_in(texts: Iterable[Text], secrets: Mapping[str, str]) -> list[str]:
    """Where which of some secrets is, in whatever form."""
    forms = {form: place for place, secret in secrets.items() for form in written(secret)}
    return [f"{where}: {place}" for where, text in texts for form, place in forms.items() if form in text]


def said(stack: Stack, client: Client) -> Iterator[Text]:
    """All that runs on a stack have said: logs, alerts, states, and what they keep in S3 and in the warehouse about themselves."""
    for path in sorted(stack.home.rglob("*")):
        if path.is_file() and path.relative_to(stack.home).parts[0] not in _KEPT_BY_SERVERS and _is_text(path):
            yield str(path), path.read_text(errors="replace")
    yield from _states()
    yield from _logs()
    yield from _job_runs(client.deployment.prefix)
    yield from _kept(client.deployment.prefix)
    yield from _audited(client)


def _is_text(path: Path) -> bool:
    return path.suffix in {".log", ".json", ".jsonl", ".txt", ".html", ".sql", ""} or path.name.startswith("events_")


def _states() -> Iterator[Text]:
    machines = boto3.client("stepfunctions")
    for machine in machines.list_state_machines()["stateMachines"]:
        for run in machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            arn = run["executionArn"]
            yield arn, _plain(machines.describe_execution(executionArn=arn))
            yield f"{arn}: history", _plain(machines.get_execution_history(executionArn=arn))


def _logs() -> Iterator[Text]:
    logs = boto3.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
            yield f"log group {name}", "\n".join(event["message"] for event in page["events"])


def _job_runs(prefix: str) -> Iterator[Text]:
    glue = boto3.client("glue")
    for name in glue.list_jobs(MaxResults=1000)["JobNames"]:
        if name.startswith(prefix):
            yield f"runs of {name}", _plain(glue.get_job_runs(JobName=name, MaxResults=200))


def _kept(prefix: str) -> Iterator[Text]:
    s3 = boto3.client("s3")
    for bucket, about in (
        (f"{prefix}-raw", ("_", "/manifests/", "/verdicts/", "/books/")),
        (f"{prefix}-lake", ("load/",)),
    ):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for listed in page.get("Contents", ()):
                key = listed["Key"]
                if key.endswith(".json") and any(key.startswith(word) or word in key for word in about):
                    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                    yield f"s3://{bucket}/{key}", body.decode("utf-8", "replace")


def _audited(client: Client) -> Iterator[Text]:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'etl'"
    for (name,) in client.query("redshift", tables).rows:
        yield f"etl.{name}", _plain(client.query("redshift", f"SELECT * FROM etl.{name}").rows)


def _plain(answer: Any) -> str:
    return json.dumps(answer, default=str)
