"""docs/secrets.md says of each source with a secret what that holds: what its declaration reads from it."""

from __future__ import annotations

import json
import re

import pytest

from headwater.config import BearerAuth, HttpSource, LongLivedToken, OAuth
from tests.support.declared import project
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "secrets.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SOURCES = [name for name, source in project().sources.items() if source.secret]


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_with_a_secret_has_a_section_that_shows_it(name: str) -> None:
    [shown] = re.findall(r"```json\n(.*?)\n```", SECTIONS[name], re.DOTALL)
    keys = json.loads(shown).keys()
    source = project().sources[name]
    match source.auth if isinstance(source, HttpSource) else None:
        case BearerAuth(token=token):
            assert token in keys
        case LongLivedToken() as auth:
            assert {auth.token, auth.client_id, auth.client_secret} <= keys
        case OAuth() as auth:
            assert {auth.client_id, auth.client_secret, auth.refresh_token} <= keys
        case _:
            assert keys


def test_no_section_is_of_a_source_that_is_gone() -> None:
    assert SECTIONS.keys() - {*SOURCES} == {"Lineage", "Query API", "Slack"}
