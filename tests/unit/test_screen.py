"""What the command line prints is the text that it was given, whatever is in it."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from headwater.desk import screen

# Surrogates too, which JSON from outside may hold.
TEXTS = st.text(st.characters(), max_size=40)
MARKUP = st.sampled_from(
    ["[red]x[/red]", "[/]", "[bold", ":smile:", "[link=http://e]x[/link]", "\x1b[31m", "\x9b2J", "\u202e"]
)
ANY = st.lists(TEXTS | MARKUP, max_size=4).map("".join)


@contextmanager
def console(name: str) -> Any:
    """A terminal that takes colours, whose output is kept."""
    kept = io.StringIO()
    before = getattr(screen, name)
    setattr(
        screen, name, Console(file=kept, force_terminal=True, width=10_000, markup=False, emoji=False, highlight=False)
    )
    try:
        yield kept
    finally:
        setattr(screen, name, before)


def obeyed(text: str) -> set[str]:
    """What a terminal would obey, less the colours that the command line itself gives."""
    for own in ("\x1b[31m", "\x1b[1m", "\x1b[0m", "\n"):
        text = text.replace(own, "")
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


def printed(name: str, act: Callable[[], None]) -> str:
    with console(name) as kept:
        act()
    return str(kept.getvalue())


@given(ANY)
@example("[red]")
def test_a_text_reads_back_from_how_it_is_shown(text: str) -> None:
    shown = screen.plain(text)
    assert obeyed(shown) == set()
    assert "\n" not in shown
    if not text.isascii() or not text.isprintable() or "\\" not in text:
        assert len(shown) >= len(text)
    kept = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    remaining = iter(shown)
    assert all(c in remaining for c in kept)


@given(ANY)
def test_a_sentence_a_cell_and_an_error_are_never_markup(text: str) -> None:
    shown = screen.plain(text)
    for name, act in {
        "say": lambda: screen.say(False, {}, f"a{text}z"),
        "show": lambda: screen.show(False, [{"c": f"a{text}z"}], ["c"]),
    }.items():
        out = printed("out", act)
        assert f"a{shown}z" in out, name
        assert obeyed(out) == set()
    for act in (lambda: screen.refuse(f"K{text}", f"a{text}z"), lambda: screen.note(f"a{text}z")):
        out = printed("err", act)
        assert obeyed(out) == set()
        assert out.count("\n") == 1


@given(ANY)
def test_a_column_name_is_never_markup(text: str) -> None:
    out = printed("out", lambda: screen.show(False, [{f"a{text}z": 1}], [f"a{text}z"]))
    assert f"a{screen.plain(text)}z" in out
    assert obeyed(out) == set()


@given(st.dictionaries(ANY, st.none() | st.booleans() | st.integers() | ANY, max_size=4))
def test_json_reads_back_as_what_it_was(value: dict[str, Any]) -> None:
    out = printed("out", lambda: screen.print_json(value))
    assert obeyed(out) == set()
    assert json.loads(out) == value


def test_what_a_person_reads_keeps_its_letters() -> None:
    assert screen.plain("Zoë, 日本, 1 €") == "Zoë, 日本, 1 €"
    assert json.loads(printed("out", lambda: screen.print_json(["Zoë"]))) == ["Zoë"]
    assert "Zoë" in printed("out", lambda: screen.print_json(["Zoë"]))


def test_a_status_is_never_markup() -> None:
    with screen.waiting("[red]starting[/]") as status:
        assert str(status.status) == "[red]starting[/]"


def test_the_check_for_obeyed_characters_can_fail() -> None:
    assert obeyed("\x1b[2J") == {"\x1b"}
    with pytest.raises(AssertionError):
        assert obeyed("\u202e") == set()


def test_more_columns_than_the_screen_can_show_are_a_line_for_each_field(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = io.StringIO()
    monkeypatch.setattr(screen, "out", Console(file=kept, width=80, markup=False, emoji=False, highlight=False))
    names = [f"column_{number}" for number in range(1, 13)]
    screen.show(False, [dict.fromkeys(names, "[red]long enough\x1b[31m"), {"column_2": None}], names)
    lines = kept.getvalue().splitlines()
    assert lines[:2] == ["row 1", "  column_1   [red]long enough\\x1b[31m"]
    assert lines[13:16] == ["row 2", "  column_1", "  column_2"]
    kept.truncate(0)
    screen.show(False, [dict.fromkeys(names[:11], 1)], names[:11])
    assert "row 1" not in kept.getvalue()
