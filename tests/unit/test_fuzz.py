"""A short draw of `make fuzz`: whatever comes in, a reader says what is wrong with it, and nothing else escapes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.edits import edited
from tests.fuzz.readers import READERS

SHORT = settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])


@pytest.mark.parametrize("name", READERS)
def test_a_good_input_is_read(name: str) -> None:
    for good in READERS[name].good:
        READERS[name].read(good)


@pytest.mark.parametrize("name", READERS)
@SHORT
@given(draw=st.data())
def test_nothing_escapes_a_reader(name: str, draw: st.DataObject) -> None:
    READERS[name].read(draw.draw(edited(READERS[name].good)))
