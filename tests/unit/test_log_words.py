"""Terraform's metric filters count log lines by a word: a line that is worded otherwise would turn an alarm off in silence."""

from __future__ import annotations

import ast

import hcl2

from headwater import log
from tests.support.paths import ROOT

MEASURES = ROOT / "terraform" / "modules" / "alerts" / "measures.tf"


def measures() -> dict[str, dict[str, str]]:
    """The file's maps of words, by name."""
    [found] = hcl2.loads(MEASURES.read_text())["locals"]
    return {
        name: {key: str(value).strip('"') for key, value in values.items()}
        for name, values in found.items()
        if isinstance(values, dict)
    }


def calls(word: str) -> list[ast.Call]:
    """Every log line of the library that is worded by a constant."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "headwater").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    return [node for node in nodes if isinstance(node.args[0], ast.Name) and node.args[0].id == word]


def test_the_filters_look_for_the_words_that_jobs_log() -> None:
    assert measures()["extract_events"] == {"started": log.STARTED, "appended": log.APPENDED}
    for word in (log.CLOSED, log.EXPIRING):
        assert f'pattern        = "{{ $.event = \\"{word}\\" }}"' in MEASURES.read_text()


def test_each_word_is_logged_in_one_place() -> None:
    assert {word: len(calls(word)) for word in ("STARTED", "APPENDED", "CLOSED", "EXPIRING")} == {
        "STARTED": 1,
        "APPENDED": 1,
        "CLOSED": 1,
        "EXPIRING": 1,
    }
