"""No text says a secret: not by its value, however that is written, nor behind a name that tells it is one."""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Callable

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from headwater.brief import told_briefly
from headwater.errors import HeadwaterError
from headwater.log import get_logger, shortened
from headwater.redaction import keep_out, redact, secrets_in, strike_out
from headwater.secrets import read_secret
from tests.support.canaries import ENCODED, FORMS

CANARY = 'Zq/8+w<7&"é\\😀 canary'
SECRETS = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="*"), min_size=8, max_size=24
).filter(lambda text: not text.startswith("-----"))


@given(SECRETS, st.sampled_from(sorted(FORMS)), st.sampled_from(["JSON", "as it is", "percent", "HTML"]))
def test_a_secret_is_found_in_every_form_and_in_a_form_of_it(secret: str, inner: str, outer: str) -> None:
    written = FORMS[outer](FORMS[inner](secret))
    assert strike_out(f"it said {written} and no more", [secret]) == "it said *** and no more"


@given(SECRETS, st.binary(max_size=4), st.binary(max_size=4), st.sampled_from(sorted(ENCODED)), st.booleans())
def test_a_secret_is_found_within_base64_wherever_it_begins(
    secret: str, before: bytes, after: bytes, form: str, as_json: bool
) -> None:
    said = ENCODED[form](before + (json.dumps(secret)[1:-1] if as_json else secret).encode() + after).decode()
    hidden = strike_out(said, [secret])
    assert "***" in hidden
    # Around it stays what is of its neighbours, and no more than a byte's part of itself.
    assert len(hidden) <= len("***") + 4 * (len(before) + len(after)) // 3 + 6


def test_the_longest_secret_is_struck_first() -> None:
    assert strike_out("abcdef-ghi abcdef", ["abcdef", "abcdef-ghi"]) == "*** ***"


def test_a_secret_that_comes_later_costs_no_other_a_new_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_ = re.compile
    monkeypatch.setattr(re, "compile", lambda pattern, *flags: compiled.append(pattern) or compile_(pattern, *flags))
    tokens = [f"token-that-is-read-{number}" for number in range(9)]
    for number in range(1, 10):
        assert strike_out(" ".join(tokens), tokens[:number]).count("***") == number
    assert len(compiled) == 9


def test_of_a_key_in_several_lines_each_line_is_a_secret() -> None:
    lines = ["MIIEvQIBADANBgkq", "hkiG9w0BAQEFAASC"]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----\n"])
    for form in (pem, json.dumps(pem), f"bad line {lines[1]}"):
        assert not any(line in strike_out(form, [pem]) for line in lines)


NAMED = (
    "password=ab;{}",
    "password = {}",
    "Authorization: Basic {}",
    '"authorization": "Bearer {}"',
    "('Authorization', 'token {}')",
    "api_key={}",
    '{{"apiKey": "two {}"}}',
    "client_secret: {}",
    "secret_access_key='{}'",
    "private_key_passphrase={}",
    "GET /x?a=1&X-Amz-Signature={}&b=2",
    "x-amz-security-token: {}",
    "postgresql://reader:{}@db.example/shop",
    "https://{}:x@api.example/",
    "https://hooks.slack.com/services/T00/B00/{}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
)


@pytest.mark.parametrize("form", NAMED)
@given(value=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=20))
def test_what_is_named_like_a_secret_is_struck_whoever_knows_it(form: str, value: str) -> None:
    unknown = f"{value}~"
    assert unknown not in redact(form.format(unknown))


@given(st.sampled_from(["access_token", "client_secret", "password"]), st.text(min_size=1), st.integers(0, 2))
def test_any_value_behind_a_name_in_json_within_json_is_struck_and_it_stays_json(
    name: str, value: str, depth: int
) -> None:
    text = json.dumps({name: value, "other": 1})
    for _ in range(depth):
        text = json.dumps({"error": text})
    hidden = redact(redact(text))
    for _ in range(depth):
        hidden = json.loads(hidden)["error"]
    assert json.loads(hidden) == {name: "***", "other": 1}


@pytest.mark.parametrize(
    "text",
    [
        "snowflake: secret snowflake: protocol must be https beyond this machine",
        "SELECT token FROM t WHERE password IS NULL",
        "s3://bucket/key@2x.png, https://api.example/a@b?c=d:e",
        'relation "shop.passwords" does not exist',
    ],
)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert redact(text) == text


def test_addresses_and_names_of_a_secret_stay_and_what_signing_in_makes_of_it_does_not() -> None:
    secret = {"host": "db.example", "port": "5432", "username": "reader", "password": "hunter2-canary"}
    basic = base64.b64encode(b"reader:hunter2-canary").decode()
    said = strike_out(f"reader at db.example:5432 said hunter2-canary, {basic}", secrets_in(secret))
    assert said == "reader at db.example:5432 said ***, ***"


@mock_aws
def test_a_secret_that_was_read_is_kept_out_of_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    secret = {"host": "db.example", "password": "only-once/read+canary"}
    boto3.client("secretsmanager").create_secret(Name="shop", SecretString=json.dumps(secret))
    assert read_secret("shop") == secret
    said = redact(f"db.example refuses {FORMS['percent'](secret['password'])}")
    assert said == "db.example refuses ***"


def test_a_secret_is_struck_before_a_text_is_cut() -> None:
    keep_out([CANARY])
    assert CANARY[:5] not in shortened(f"{'x' * 20}{CANARY}", 25)


def test_no_logger_says_a_secret_neither_in_its_message_nor_in_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    keep_out([CANARY])
    get_logger("headwater.test")
    library = logging.getLogger("a.library")
    try:
        _say()
    except KeyError:
        library.exception("sent %s to %d", CANARY, 3)
    [formatted] = [logging.Formatter().format(record) for record in caplog.records]
    assert "sent *** to 3" in formatted
    assert "KeyError: '***'" in formatted
    assert not any(form(CANARY) in formatted for form in FORMS.values())


def test_a_message_that_its_values_do_not_fit_is_said_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    keep_out([CANARY])
    get_logger("headwater.test")
    logging.getLogger("a.library").warning("does not fit %d", CANARY)
    assert [record.getMessage() for record in caplog.records] == ["does not fit %d ('***',)"]


def _say() -> None:
    raise KeyError(CANARY)


def _by_cause() -> None:
    try:
        _say()
    except KeyError as error:
        raise HeadwaterError("plain") from error


def _by_context() -> None:
    try:
        _say()
    except KeyError:
        raise HeadwaterError("plain")  # noqa: B904 - what led to it


def _by_note() -> None:
    error = HeadwaterError("plain")
    error.add_note(CANARY)
    raise error


def _by_part() -> None:
    raise ExceptionGroup("plain", [ValueError(CANARY)])


@pytest.mark.parametrize("fail", [_by_cause, _by_context, _by_note, _by_part])
def test_no_error_leaves_a_job_with_a_secret_in_what_led_to_it(fail: Callable[[], None]) -> None:
    keep_out([CANARY])
    with pytest.raises(HeadwaterError, match="plain") as found, told_briefly():
        fail()
    printed = "".join(traceback.format_exception(found.value))
    assert not any(form(CANARY) in printed for form in FORMS.values())
    assert fail.__name__ in printed
