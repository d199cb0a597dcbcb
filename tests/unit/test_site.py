"""The static site of docs/: every page is there, links lead somewhere, search has all of it, and nothing comes from another host."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from headwater.deploy.site.build import site, write_site
from headwater.errors import ConfigError
from tests.support.paths import ROOT


@cache
def files() -> dict[str, str]:
    return site(ROOT)


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    @property
    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}


@cache
def pages() -> dict[str, Tags]:
    return {name: Tags(text) for name, text in files().items() if name.endswith(".html")}


def test_nothing_is_loaded_from_another_host() -> None:
    for name, page in pages().items():
        for tag, attributes in page.tags:
            assert tag not in {"img", "iframe", "object", "embed", "base", "form", "style", "video", "audio"}, (
                name,
                tag,
            )
            for loaded in {attributes.get("src"), attributes.get("href") if tag == "link" else None} - {None}:
                assert loaded in files(), (name, loaded)
            assert not any(attribute.startswith("on") or attribute == "style" for attribute in attributes), (name, tag)
        policies = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policies == ["default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'"]
    assert not re.search(r"url\(|@import", files()["style.css"])
    assert not re.search(r"fetch|XMLHttpRequest|import\b|https?:|innerHTML|eval", files()["search.js"])


def test_every_link_within_the_site_leads_to_what_is_there() -> None:
    for name, page in pages().items():
        for tag, attributes in page.tags:
            href = attributes.get("href", "")
            if tag != "a" or not href or href.startswith(("https://", "http://127.0.0.1")):
                continue
            target, _, anchor = href.partition("#")
            assert (target or name) in files(), (name, href)
            if anchor:
                assert anchor in pages()[target or name].ids, (name, href)


def test_every_page_of_docs_is_there_and_search_knows_its_headings() -> None:
    index = json.loads(files()["index.js"].removeprefix("const INDEX = ").rstrip(";\n"))
    found = {(entry["page"], entry["id"]) for entry in index}
    for name, page in pages().items():
        headings = {(name, a["id"]) for tag, a in page.tags if tag in {"h1", "h2", "h3", "h4"} and "id" in a}
        assert headings <= found
    assert len(pages()) == 3 + len(list((ROOT / "docs").rglob("*.md")))
    assert any("roas" in entry["text"] and entry["page"] == "data-dictionary.html" for entry in index)


def test_what_a_page_says_is_text_and_no_markup(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "docs" / "openapi.json").write_text("{}")
    (tmp_path / "docs" / "odd.md").write_text(
        "# <script>alert(1)</script>\n\n</script><b onclick='x'>b</b>\n\n[x](javascript:alert(1))\n"
    )
    made = site(tmp_path)
    page = Tags(made["odd.html"])
    assert {tag for tag, _ in page.tags if tag in {"b", "script"}} == {"script"}
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert "</script>" not in made["index.js"]
    assert not any("javascript:" in attributes.get("href", "") for _, attributes in page.tags)
    (tmp_path / "docs" / "odd.md").write_text("# a\n\n[gone](nowhere.md)\n")
    with pytest.raises(ConfigError, match=r"docs/odd\.md: the link to nowhere\.md leads nowhere"):
        site(tmp_path)


def test_the_site_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / "old.html").write_text("old")
    write_site(ROOT, out)
    assert {path.name for path in out.iterdir()} == {*files()}
