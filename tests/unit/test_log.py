"""A log line hides what is named like a secret, and can be read."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from headwater.redaction import redact

VALUES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4)


@given(st.sampled_from(["access_token", "client_secret", "password"]), VALUES, st.integers(0, 3))
def test_json_within_json_is_redacted_and_stays_json(name: str, value: str, depth: int) -> None:
    text = json.dumps({name: f"{value}\\{value}", "other": 1})
    for _ in range(depth):
        text = json.dumps({"error": text})
    hidden = redact(redact(text))
    for _ in range(depth):
        hidden = json.loads(hidden)["error"]
    assert json.loads(hidden) == {name: "***", "other": 1}
