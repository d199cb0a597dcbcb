"""A new source's file, to start from: one commented template for each kind, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headwater.errors import ConfigError
from headwater.explore.relations import FILL_IN

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_COMMENT = re.compile(r"(^|\s)#.*")
_SECRETLESS = {"redshift", "files", "kinesis"}


def kinds() -> list[str]:
    """Lists the kinds that a source can be started as."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.yaml"))


def start(root: Path, name: str, kind: str) -> Path:
    """Writes config/sources/<name>.yaml from the kind's template; ConfigError when there is one, or the name cannot be one."""
    if not _NAME.match(name):
        raise ConfigError(
            f"source {name!r} cannot be called so; write lower case letters, digits and _, a letter first"
        )
    path = root / "config" / "sources" / f"{name}.yaml"
    text = (_TEMPLATES / f"{kind}.yaml").read_text().replace("NAME", name)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: is there, and stays as it is. hint: another name, or edit it") from None
    return path


def next_steps(name: str, kind: str, path: Path) -> Iterator[str]:
    """Says what to do with a new source, in order."""
    yield f"fill in what says {FILL_IN} in {path}"
    if kind not in _SECRETLESS:
        yield f"write its secret into a file that only you may read (chmod 600), such as ~/{name}.json"
    given = "" if kind in _SECRETLESS else f" --secret-file ~/{name}.json"
    yield f"headwater source check {name} --env dev{given}"
    yield f"headwater source discover {name} --env dev{given}"
    yield "paste what it proposes: streams in the place of the example, tables into config/tables"
    yield "say of each table what its rows must meet, in config/quality"
    yield f"headwater source preview {name} --env dev{given}"
    if kind not in _SECRETLESS:
        yield f"store the secret: aws secretsmanager create-secret --name headwater-dev/{name} --secret-string file://~/{name}.json"
        yield "say in docs/secrets.md what the secret holds"
    yield "make docs, then headwater validate"


def refuse_unfilled(path: Path, *, streams: bool) -> None:
    """ConfigError while a file has something left to fill in, before `streams:` or, where these matter too, after it."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("streams:") and not streams:
            return
        if FILL_IN in _COMMENT.sub("", line):
            raise ConfigError(f"{path}:{number}: still says {FILL_IN}: {line.strip()}")
