"""Where the tests' clients ask: at the endpoint that they are told, or at the LocalStack that the environment names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.aws import Aws, client_of, localstack


class Counted(ThreadingHTTPServer):
    """Something on a port, which refuses whatever it is asked and counts it."""

    asked = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Refusal(BaseHTTPRequestHandler):
    server: Counted

    def do_GET(self) -> None:
        self._refuse()

    def do_POST(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        self.server.asked += 1
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Counted]:
    with Counted(("127.0.0.1", 0), Refusal) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADWATER_AWS", "LOCALSTACK_HOST", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(endpoint: str, service: str, operation: str) -> None:
    client = client_of(endpoint, service, '{"retries": {"total_max_attempts": 1}}')
    with pytest.raises(client.exceptions.ClientError):
        getattr(client, operation)()


@pytest.mark.parametrize(("variable", "value"), [("LOCALSTACK_HOST", "{}"), ("AWS_ENDPOINT_URL", "http://{}")])
@pytest.mark.parametrize(
    ("service", "operation"),
    [("s3", "list_buckets"), ("sqs", "list_queues"), ("redshift-serverless", "list_workgroups")],
)
def test_a_localstack_is_asked_when_the_environment_says_so(
    server: Counted, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, service: str, operation: str
) -> None:
    monkeypatch.setenv("HEADWATER_AWS", "localstack")
    monkeypatch.setenv(variable, value.format(server.host))
    found = localstack()
    assert found is not None
    ask(found, service, operation)
    assert server.asked == 1


def test_it_is_looked_for_where_it_listens_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_AWS", "localstack")
    assert localstack() == "http://localhost:4566"


def test_without_being_asked_for_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALSTACK_HOST", "127.0.0.1:1")
    assert localstack() is None


def test_an_unknown_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_AWS", "LocalStack")
    with pytest.raises(ValueError, match="known: localstack"):
        localstack()


def test_a_client_asks_where_it_is_told_whatever_the_environment_says(
    server: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    ask(f"http://{server.host}", "s3", "list_buckets")
    assert server.asked == 1


def test_what_only_our_gateway_has_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_AWS", "localstack")
    aws = Aws("http://127.0.0.1:1", tmp_path, "some")
    with pytest.raises(pytest.skip.Exception):
        aws.own("clock")
    with pytest.raises(pytest.skip.Exception):
        aws.log("job", {"Id": "jr_1"})
