"""What a failed job says: its message is kept in the state and the log of the state machine."""

from __future__ import annotations

import traceback

import pytest

from headwater.brief import told_briefly
from headwater.errors import HeadwaterError, LedgerError


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error) if str(error) == "plain" else HeadwaterError) as found, told_briefly():
        raise error
    return found.value


def test_a_short_message_without_a_secret_is_let_out_as_it_is() -> None:
    error = LedgerError("plain")
    assert raised(error) is error


def test_a_secret_leaves_a_job_neither_in_its_message_nor_in_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    found = raised(ValueError("cannot connect: user=reader password=hunter2 host=db"))
    assert str(found) == "ValueError: cannot connect: user=reader password=*** host=db"
    printed = "".join(traceback.format_exception(found))
    assert "hunter2" not in printed + "".join(capfd.readouterr())
    assert "in raised" in printed


def test_a_long_message_is_shortened_to_what_a_state_has_room_for() -> None:
    found = str(raised(RuntimeError("x" * 100_000)))
    assert found.startswith("RuntimeError: xxx")
    assert len(found) < 2_100
