"""The README of a Terraform folder: its files, inputs and outputs, as its .tf files declare them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

_IN_A_CELL = 60
"""Characters of a type that a table's cell has room for; a longer one gets a block of its own."""


def module_pages(terraform: Path) -> dict[Path, str]:
    """Writes the README of each folder below `terraform` that holds .tf files, by path."""
    folders = {path.parent for path in terraform.rglob("*.tf") if ".terraform" not in path.parts}
    return {folder / "README.md": _page(folder) for folder in sorted(folders)}


def _page(folder: Path) -> str:
    lines = [f"# {folder.name}", "", "Generated from the .tf files by `make docs`; edit those, not this page.", ""]
    lines += ["| file | what is there |", "|---|---|"]
    for path in sorted(folder.glob("*.tf")):
        says = " ".join(_says(path)).strip()
        lines += [f"| `{path.name}` | {says.replace('<', '&lt;')} |"] if says else []
    inputs = _declared(folder, "variable")
    if inputs:
        lines += ["", "## Inputs", "", "| name | type | default | what it is |", "|---|---|---|---|"]
        lines += [_input(name, body) for name, body in inputs.items()]
        for name, body in inputs.items():
            kind = _expression(body["type"])
            if len(kind) > _IN_A_CELL:
                lines += ["", f"`{name}`:", "", "```hcl", *_indented(kind), "```"]
    outputs = _declared(folder, "output")
    if outputs:
        lines += ["", "## Outputs", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {_text(body.get('description'))} |" for name, body in outputs.items()]
    return "\n".join([*lines, ""])


def _says(path: Path) -> Iterator[str]:
    """Reads what stands at the top of a file, and which kinds of resources it makes."""
    for line in path.read_text().splitlines():
        if not line.startswith("# "):
            break
        yield line.removeprefix("# ")
    blocks = _parsed(path.read_text()).get("resource", [])
    made = {_text(kind) for block in blocks for kind in block}
    if made:
        yield ", ".join(f"`{kind}`" for kind in sorted(made))


@cache
def _parsed(text: str) -> dict[str, Any]:
    """A file's blocks; parsing HCL in Python takes as long as all the rest."""
    return dict(hcl2.loads(text))


def _declared(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Reads the blocks of a kind by name, in the order of the files and their lines."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.tf")):
        for block in _parsed(path.read_text()).get(kind, []):
            found |= {_text(name): body for name, body in block.items()}
    return found


def _input(name: str, body: dict[str, Any]) -> str:
    kind = _expression(body["type"])
    short = kind if len(kind) <= _IN_A_CELL else re.sub(r"object\(.*\}\)", "object", kind)
    default = f"`{_value(body['default'])}`" if "default" in body else "required"
    below = "" if short == kind else ", below"
    return f"| `{name}` | `{short}`{below} | {default} | {_text(body.get('description'))} |"


def _text(written: str | None) -> str:
    """Reads a string as HCL quotes it, for a table's cell."""
    return (written or "").removeprefix('"').removesuffix('"').replace('\\"', '"').replace("|", "\\|")


def _expression(written: str) -> str:
    return written.removeprefix("${").removesuffix("}") if written.startswith("${") else written


def _value(default: Any) -> str:
    match default:
        case None:
            return "null"
        case bool():
            return str(default).lower()
        case str():
            return _expression(default)
        case list():
            return f"[{', '.join(map(_value, default))}]"
        case dict():
            inner = ", ".join(f"{name} = {_value(value)}" for name, value in default.items() if name != "__is_block__")
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return str(default)


def _indented(kind: str) -> list[str]:
    """Breaks an object's type into lines, a field on each."""
    lines, line, open_brackets = [], "", ""

    def end_line() -> None:
        lines.append("  " * open_brackets.count("{") + line.strip())

    for piece in re.findall(r"\{\}|[(){},]|[^(){},]+", kind):
        match piece:
            case "," if open_brackets.endswith("{"):
                end_line()
                line = ""
            case "{":
                line += piece
                end_line()
                line, open_brackets = "", open_brackets + piece
            case "}":
                end_line()
                line, open_brackets = piece, open_brackets[:-1]
            case "(":
                line, open_brackets = line + piece, open_brackets + piece
            case ")":
                line, open_brackets = line + piece, open_brackets[:-1]
            case _:
                line += piece
    end_line()
    return lines
