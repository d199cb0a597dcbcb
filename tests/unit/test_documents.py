"""Config files say where each value stands, and each mistake is told once, where it is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from headwater.config.documents import Document, problems_of, read_document, read_text
from headwater.config.strict import Strict
from headwater.errors import ConfigError

KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
VALUES = st.recursive(
    st.integers() | KEYS,
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=4) | st.lists(inner, min_size=1, max_size=4),
    max_leaves=20,
)


def places(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, item in inner for found in places(item, (*place, key)))]


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
def test_every_value_is_on_the_line_that_it_is_said_to_be_on(tmp_path_factory: Any, value: Any) -> None:
    root = tmp_path_factory.mktemp("documents")
    text = yaml.safe_dump(value, sort_keys=False)
    (root / "a.yaml").write_text(text)
    document = read_document(root, root / "a.yaml")
    assert document.value == value
    for place in places(value)[1:]:
        line = int(document.says(place, "wrong").split(":")[1])
        [*_, last] = place
        written = text.splitlines()[line - 1]
        assert (str(last) if isinstance(last, str) else "- ") in written


def document(tmp_path: Path, text: str) -> Document:
    (tmp_path / "a.yaml").write_text(text)
    return read_document(tmp_path, tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"^a\.yaml:1: is empty$"),
        ("a: 1\nb: [1\n", r"^a\.yaml:\d: not readable as YAML: "),
        ("a: 1\n\tb: 2\n", r"^a\.yaml:2: not readable as YAML: "),
        ("a:\n  b: 1\n  b: 2\n", r"^a\.yaml:3: a\.b: this key comes twice$"),
        ("a: [{b: 1, b: 2}]\n", r"^a\.yaml:1: a\.0\.b: this key comes twice$"),
        ("a: !!python/object:os.system {}\n", r"^a\.yaml:1: not readable as YAML: "),
        ("a:\n  b: 2026-02-30\n", r"^a\.yaml:2: not readable as YAML: what looks like timestamp is none"),
        ("a: 1\nb: " + "9" * 5000, r"^a\.yaml:2: not readable as YAML: what looks like int is none"),
        ("a: 1\n? [b, c]\n: 2\n", r"^a\.yaml:2: a key must be a word$"),
        ("a: 1\nb: &b [*b]\n", r"^a\.yaml:2: more than 50 values lie in one another$"),
        ("a: \x00\n", r"^a\.yaml:1: not readable as YAML: [^\n]+$"),
    ],
)
def test_what_is_no_document_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        document(tmp_path, text)


def test_aliases_of_aliases_are_refused_before_they_are_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(20))]
    with pytest.raises(ConfigError, match=r"^a\.yaml:1: has more than 100,000 values, with what aliases repeat$"):
        document(tmp_path, "\n".join(lines))


def test_what_is_no_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xff\n")
    for read in (read_document, read_text):
        with pytest.raises(ConfigError, match=r"^a\.yaml:2: is no text in UTF-8$"):
            read(tmp_path, tmp_path / "a.yaml")


@given(st.text("&*?!|>-[]{}:,'\"#%@ \t\nabc019.~<", max_size=40))
def test_whatever_is_written_is_a_document_or_refused(tmp_path_factory: Any, text: str) -> None:
    root = tmp_path_factory.mktemp("documents")
    with suppress(ConfigError):
        document(root, text)


class Cat(Strict):
    is_: Literal["cat"] = Field(alias="is")
    lives: int


class Dog(Strict):
    is_: Literal["dog"] = Field(alias="is")
    bark: str = ""


class House(Strict):
    pets: dict[str, list[Annotated[Cat | Dog, Field(discriminator="is_")]]] = Field({})
    owner: str


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pets: {}\n", ["a.yaml:1: owner: is missing"]),
        ("owner: x\npest: {}\n", ["a.yaml:2: pest: no such key pest, did you mean pets? known: owner, pets"]),
        ("owner: x\npets:\n  a:\n    - is: cat\n", ["a.yaml:4: pets.a.0.lives: is missing"]),
        (
            "owner: x\npets:\n  a:\n    - is: dgo\n",
            ["a.yaml:4: pets.a.0.is: no is dgo, did you mean dog? known: cat, dog"],
        ),
        ("owner: x\npets: { a: [cat] }\n", ["a.yaml:2: pets.a.0: must be a mapping"]),
        (
            "owner: x\npets: { a: [{ lives: 9 }] }\n",
            ["a.yaml:2: pets.a.0: is no mapping with `is`, which says what it is"],
        ),
        (
            "owner: x\npets:\n  a:\n    - { is: cat, lives: many }\n    - { is: dog, barks: x, bites: y }\n",
            [
                "a.yaml:4: pets.a.0.lives: Input should be a valid integer, unable to parse string as an integer",
                "a.yaml:5: pets.a.1.barks: no such key barks, did you mean bark? known: bark, is",
                "a.yaml:5: pets.a.1.bites: no such key bites; known: bark, is",
            ],
        ),
    ],
)
def test_a_mistake_is_told_once_with_line_and_path(tmp_path: Path, text: str, said: list[str]) -> None:
    written = document(tmp_path, text)
    with pytest.raises(ValidationError) as error:
        House.model_validate(written.value)
    assert [written.says(*problem) for problem in problems_of(error.value)] == said


@given(st.text(min_size=8))
def test_no_value_is_in_what_is_said_of_it(secret: str) -> None:
    with pytest.raises(ValidationError) as error:
        House.model_validate({"owner": [secret], "pets": {"a": [{"is": "cat", "lives": f"x{secret}"}]}})
    assert all(secret not in said for _, said in problems_of(error.value))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[
            (text, text)
            for text in ("NO", "no", "yes", "on", "off", "y", "12:30", "007", "1_000", "0x1f", "0o17", "1e5", "1.2.3")
        ],
        ("7", 7),
        ("-12", -12),
        ("0", 0),
        ("1.50", 1.5),
        ("-.5e3", -500.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("'7'", "7"),
    ],
)
def test_only_what_people_mean_as_a_number_or_a_truth_is_one(tmp_path: Path, written: str, value: Any) -> None:
    read = document(tmp_path, f"a: {written}\n").value["a"]
    assert (read, type(read)) == (value, type(value))
