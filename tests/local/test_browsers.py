"""Whatever a page of the web tells a browser to send here changes nothing: a real one tries, also by a name that DNS has led here."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support.aws import Aws

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
REBOUND = "rebound.example"
SCRIPT = "glue_jobs/extract.py"
OWNED = "import os; os.system('id > owned')"
CREDENTIAL = "test/20240101/eu-west-1/s3/aws4_request"
SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host, Signature=0"}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no chromium on the PATH (Debian: apt-get install chromium chromium-driver)",
)

# Each is what a page may try, as JavaScript that ends when it has; a fetch that the browser or we refuse is no failure of it.
ATTEMPTS = {
    "a form that uploads": """
        const form = document.createElement('form');
        form.method = 'POST'; form.enctype = 'multipart/form-data'; form.target = 'away';
        form.action = `${at}/${bucket}?X-Amz-Credential=${credential}`;
        for (const [name, value] of [['key', script], ['file', owned]]) {
            const field = document.createElement('input'); field.name = name; field.value = value; form.append(field);
        }
        const frame = document.createElement('iframe'); frame.name = 'away';
        document.documentElement.append(frame, form);
        // What is done is answered without content, which loads nothing.
        form.submit(); await pause(2000);
    """,
    "a request that needs no leave": """
        await fetch(`${at}/_headwater/faults`, {method: 'POST', mode: 'no-cors',
            body: JSON.stringify({method: 'GET', path: '/x', action: 'error'})});
        await fetch(`${at}/moto-api/reset`, {method: 'POST', mode: 'no-cors'});
        await fetch(`${at}/${bucket}/${script}?X-Amz-Credential=${credential}`, {method: 'POST', mode: 'no-cors', body: owned});
    """,
    "a request that asks for leave": """
        const form = {'Content-Type': 'application/x-www-form-urlencoded'};
        const other = {Authorization: signed.Authorization.replace('/s3/', '/sns/')};
        await fetch(`${at}/`, {method: 'POST', headers: {...form, ...other},
            body: 'Action=CreateTopic&Name=owned&Version=2010-03-31'});
        await fetch(`${at}/${bucket}/${script}`, {method: 'PUT', headers: signed, body: owned});
    """,
    "a look": """
        const answer = await fetch(`${at}/_headwater/health`);
        return await answer.text();
    """,
    "a picture": """
        const picture = new Image();
        const ended = new Promise(done => picture.onload = picture.onerror = done);
        picture.src = `${at}/?Action=CreateTopic&Name=owned&Version=2010-03-31&X-Amz-Credential=${credential}`
            .replace('/s3/', '/sns/');
        await ended;
    """,
}
_RUN = """
    const [at, bucket, script, owned, credential, signed, done] = arguments;
    const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
    (async () => { %s })().then(found => done(String(found)), error => done(`refused: ${error}`));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    flags = ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "no-first-run", "disable-extensions")
    # Newer browsers ask before a page may reach this machine; here nobody does, as in older ones and in others.
    checks = "disable-features=BlockInsecurePrivateNetworkRequests,LocalNetworkAccessChecks,PrivateNetworkAccessSendPreflights"
    profile = f"user-data-dir={tmp_path_factory.mktemp('profile')}"
    for flag in (*flags, checks, profile, f"host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP evil.example 127.0.0.1"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def evil() -> Iterator[str]:
    """A page of the web, by a name of its own."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><body>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://evil.example:{server.server_port}/"
        server.shutdown()


def attempt(browser: webdriver.Chrome, aws: Aws, page: str, at: str, what: str) -> str:
    browser.get(page)
    given = (at, aws.bucket, SCRIPT, OWNED, CREDENTIAL, SIGNED)
    said: str = browser.execute_async_script(_RUN % ATTEMPTS[what], *given)
    return said


def changed(aws: Aws) -> dict[str, Any]:
    """What a page would have liked to change."""
    return {
        "script": aws.client("s3").get_object(Bucket=aws.bucket, Key=SCRIPT)["Body"].read().decode(),
        "faults": aws.own("faults", "GET")["faults"],
        "topics": [topic["TopicArn"] for topic in aws.client("sns").list_topics()["Topics"]],
    }


@pytest.mark.parametrize("what", ATTEMPTS)
@pytest.mark.parametrize("rebound", [False, True], ids=["from elsewhere", "by a rebound name"])
def test_a_page_changes_nothing_and_learns_nothing(
    browser: webdriver.Chrome, aws: Aws, evil: str, rebound: bool, what: str
) -> None:
    aws.client("s3").put_object(Bucket=aws.bucket, Key=SCRIPT, Body=b"print('honest')")
    before = changed(aws)
    ours = f"http://{REBOUND}:{urlsplit(aws.endpoint).port}"
    # Of a name that has been led here, the page is of our own origin, as far as the browser can tell.
    page, at = (f"{ours}/", ours) if rebound else (evil, aws.endpoint)
    said = attempt(browser, aws, page, at, what)
    assert changed(aws) == before
    assert "ready" not in said


def test_what_a_page_of_our_own_sends_is_done_so_the_attempts_are_good_ones(
    browser: webdriver.Chrome, aws: Aws
) -> None:
    aws.client("s3").put_object(Bucket=aws.bucket, Key=SCRIPT, Body=b"print('honest')")
    page = f"{aws.endpoint}/_headwater/health"
    assert "ready" in attempt(browser, aws, page, aws.endpoint, "a look")
    attempt(browser, aws, page, aws.endpoint, "a request that asks for leave")
    assert changed(aws)["script"] == OWNED
    assert any(topic.endswith(":owned") for topic in changed(aws)["topics"])
