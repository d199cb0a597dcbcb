"""docs/deploy.md as a person goes by it: its commands and the files that it has written, read out of the page itself."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

_PAGE = ROOT / "docs" / "deploy.md"


def text(heading: str) -> str:
    """The text below a heading."""
    sections = re.split(r"^## ", _PAGE.read_text(), flags=re.MULTILINE)
    [section] = [section for section in sections if section.startswith(heading)]
    return section


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of one language below a heading, in the page's order; AssertionError when there are none."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text(heading), flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/deploy.md has no {language} below {heading!r}"
    return found


def commands(heading: str) -> list[str]:
    """The shell commands below a heading, less their comments."""
    lines = [line for block in blocks(heading, "sh") for line in block.splitlines()]
    return [command for line in lines if (command := re.sub(r"(^|\s)# .*", "", line).strip())]


def inline(heading: str, begins: str) -> list[str]:
    """The code within the text below a heading that begins so."""
    return [code for code in re.findall(r"`([^`\n]+)`", text(heading)) if code.startswith(begins)]
