"""Opening a client: what it needs of the secret, and where the secret goes."""

from __future__ import annotations

import pytest

from headwater.errors import FatalSourceError
from headwater.sources.http.connect import open_client
from tests.support.http_fakes import never_saved, source


def test_a_secret_without_the_token_needs_a_person():
    declared = source(auth={"kind": "bearer"}, secret="shop/token")
    with (
        pytest.raises(FatalSourceError, match="'shop/token' has no 'access_token'"),
        open_client(declared, {}, never_saved),
    ):
        pass


def test_the_token_goes_into_the_header_and_not_into_the_address():
    with open_client(
        source(auth={"kind": "bearer"}, secret="shop/token"), {"access_token": "s3cr3t-token"}, never_saved
    ) as opened:
        assert opened.auth.headers == {"Authorization": "Bearer s3cr3t-token"}
        assert opened.auth.params == {}
        assert "s3cr3t" not in repr(opened)
