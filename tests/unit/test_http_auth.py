"""Secrets that stay secret: in messages, in reprs and in the log."""

from __future__ import annotations

import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import FatalSourceError, RetriableSourceError
from headwater.sources.http.auth import Auth
from tests.support.http_fakes import FakeSend, always, answer, client

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=4, max_size=40).map("EAAB{}".format)


@given(SECRETS)
def test_no_secret_reaches_a_message_or_a_repr(secret):
    echo = json.dumps({"message": f"bad token {secret}", "url": f"/x?access_token={secret}&limit=1"})
    auth = Auth({"Authorization": f"Bearer {secret}"}, {"appsecret_proof": "0123abcd"}, (secret,))
    send = always(answer(echo.encode(), 401))
    shop = client(send, auth=auth)
    with pytest.raises(FatalSourceError) as caught:
        shop.get("/orders", {"limit": "1"})
    told = "".join(traceback.format_exception(caught.value)) + repr(shop) + repr(send.requests) + repr(auth)
    assert secret not in told.replace("***", "")
    assert "0123abcd" not in told


@pytest.mark.parametrize("before", range(440, 520, 7))
def test_a_secret_is_struck_out_before_a_long_message_is_cut(before):
    send = always(answer(b"x" * before + b"s3cr3t-token-s3cr3t-token" + b"x" * 500, 400))
    with pytest.raises(FatalSourceError) as caught:
        client(send, auth=Auth(secrets=("s3cr3t-token-s3cr3t-token",))).get("/orders")
    assert "s3cr" not in str(caught.value)


def test_no_secret_reaches_the_log(caplog):
    auth = Auth({}, {"appsecret_proof": "0123abcd"}, ("s3cr3t/+token",))
    problem = RetriableSourceError("no connection to /x?t=s3cr3t%2F%2Btoken&appsecret_proof=0123abcd&passcode=open")
    client(FakeSend(problem, answer({})), auth=auth).get("/orders")
    assert "request failed" in caplog.text
    for secret in ("s3cr3t", "0123abcd", "open"):
        assert secret not in caplog.text
