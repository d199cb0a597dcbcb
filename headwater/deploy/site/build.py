"""Pages of Markdown become pages of HTML, with one list of all of them and one index of what stands under each heading."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from headwater.errors import ConfigError

_FOLDER = Path(__file__).parent
_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages beside docs/."""
_API = Path("docs/openapi.json")
_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'"
_MOST_CHARACTERS = 4000
"""Of a section in the index: what is beyond is found by its page."""


@dataclass(frozen=True)
class Page:
    """A page of the site: its source within the repository, and its name there."""

    source: Path
    name: str
    title: str
    body: str
    sections: tuple[tuple[str, str, str], ...]
    """The id, the heading and the text of each section."""


def write_site(root: Path, out: Path) -> Path:
    """Writes the site of the repository below `root` to a folder, in place of what is there."""
    pages = site(root)
    if out.exists():
        shutil.rmtree(out)
    for name, text in pages.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return out


def site(root: Path) -> dict[str, str]:
    """Makes every file of the site, by its name; ConfigError names a link that leads nowhere."""
    sources = [Path(name) for name in _PAGES]
    sources += [path.relative_to(root) for path in sorted((root / "docs").rglob("*.md"))]
    names = {source: _name(source) for source in sources} | {_API: _API.name}
    pages = [_page(root, source, names) for source in sources]
    listed = "\n".join(
        f'<li><a href="{page.name}">{html.escape(page.title)}</a></li>' for page in pages if _is_listed(page)
    )
    layout = (_FOLDER / "page.html").read_text()
    files = {
        page.name: layout.replace("{{policy}}", _POLICY)
        .replace("{{title}}", html.escape(page.title))
        .replace("{{pages}}", listed)
        .replace("{{body}}", page.body)
        for page in pages
    }
    index = [
        {"page": page.name, "title": page.title, "id": anchor, "heading": heading, "text": text[:_MOST_CHARACTERS]}
        for page in pages
        for anchor, heading, text in page.sections
    ]
    told = json.dumps(index, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    files["index.js"] = f"const INDEX = {told};\n"
    files[_API.name] = (root / _API).read_text()
    for name in ("search.js", "style.css"):
        files[name] = (_FOLDER / name).read_text()
    return files


def _is_listed(page: Page) -> bool:
    return page.source.parent.name != "adr"


def _name(source: Path) -> str:
    """The file of a page: all are in one folder, so that links work from wherever the site lies."""
    if source == Path("README.md"):
        return "index.html"
    return "-".join(source.with_suffix("").parts).lower().removeprefix("docs-") + ".html"


def _page(root: Path, source: Path, names: dict[Path, str]) -> Page:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse((root / source).read_text())
    sections = list(_sections(tokens))
    for token in tokens:
        if token.attrs.pop("style", None) == "text-align:right":
            # A style of its own is refused by the page's policy.
            token.attrs["class"] = "right"
        for inline in token.children or ():
            if inline.type == "link_open":
                href = _link(root, source, str(inline.attrs.pop("href")), names)
                # What is no page is a file of the repository, which the site has not.
                inline.attrs |= {} if href is None else {"href": href}
    body = markdown.renderer.render(tokens, markdown.options, {})
    title = next((heading for _, heading, _ in sections if heading), source.stem)
    return Page(source, names[source], title, body, tuple(sections))


def _sections(tokens: list[Token]) -> Iterator[tuple[str, str, str]]:
    """Gives each heading an id, and lists what stands below it."""
    seen: dict[str, int] = {}
    anchor, heading = "", ""
    texts: list[str] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            if heading:
                yield anchor, heading, " ".join(texts)
            heading, texts = _text(tokens[place + 1]), []
            anchor = _anchor(heading, seen)
            token.attrs["id"] = anchor
        elif token.type == "inline" and tokens[place - 1].type != "heading_open":
            texts.append(_text(token))
        elif token.type in {"fence", "code_block"}:
            texts.append(token.content)
    if heading:
        yield anchor, heading, " ".join(texts)


def _anchor(heading: str, seen: dict[str, int]) -> str:
    """A heading's id, as GitHub makes it: links into a page work on both."""
    base = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    seen[base] = seen.get(base, -1) + 1
    return f"{base}-{seen[base]}" if seen[base] else base


def _text(token: Any) -> str:
    return "".join(inner.content for inner in token.children or () if inner.type in {"text", "code_inline"})


def _link(root: Path, source: Path, href: str, names: dict[Path, str]) -> str | None:
    """Where a link of a page leads on the site; None where it leads to no page of it."""
    parts = urlsplit(href)
    if parts.scheme or not parts.path:
        return href
    target = Path((root / source.parent / parts.path).resolve())
    if not target.is_relative_to(root.resolve()) or not target.exists():
        raise ConfigError(f"{source}: the link to {href} leads nowhere")
    within = target.relative_to(root.resolve())
    anchor = f"#{parts.fragment}" if parts.fragment else ""
    return f"{names[within]}{anchor}" if within in names else None
