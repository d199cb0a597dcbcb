"""Config files as they were written: their values, and the line of each, so that a problem says where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml.constructor import ConstructorError

from headwater.config.strict import Place, unknown
from headwater.errors import ConfigError

# Beyond what anybody writes: aliases that repeat aliases, or themselves, have no end.
_MOST_VALUES = 100_000
_DEEPEST = 50


@dataclass(frozen=True)
class Document:
    """One YAML file: its path below the project's root, its value, and the line on which each of its values begins."""

    path: Path
    value: Any
    lines: Mapping[Place, int] = field(repr=False)

    def says(self, place: Iterable[str | int], problem: str) -> str:
        """A problem as one line: file, line, path within the file, and what is wrong.

        Of a place that leads beyond what is written, such as to a key that is missing, the line is that of the last
        value on the way; a step that is none of the file's, such as the kind of a variant, is left out.
        """
        found = tuple(self._written(place))
        line = next(self.lines[found[:end]] for end in range(len(found), -1, -1) if found[:end] in self.lines)
        where = ".".join(map(str, found))
        return f"{self.path}:{line}: {f'{where}: ' if where else ''}{problem}"

    def _written(self, place: Iterable[str | int]) -> Iterator[str | int]:
        """The steps of a place that are the file's own, and the last one, which may be missing from a mapping."""
        value, steps = self.value, [*place]
        for number, step in enumerate(steps, 1):
            match value, step:
                case dict(), _ if step in value:
                    value = value[step]
                case list(), int() if step < len(value):
                    value = value[step]
                case dict(), _ if number == len(steps):
                    pass
                case _:
                    continue
            yield step


# What YAML 1.1 takes for a number or a truth and nobody means: 12:30 is 750, 007 is 7, 1_000 is 1000, NO is false.
_AS_MEANT = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:int": (r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


# The parser in C: ten times as quick, and a project is some seventy files.
class _Loader(yaml.CSafeLoader):
    """Reads numbers and truths as YAML 1.2 does, and says where one is that is none, such as the date 2026-02-30."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            problem = f"what looks like {kind} is none. hint: put it in quotes where it is meant as text"
            raise ConstructorError(None, None, problem, node.start_mark) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag not in _AS_MEANT]
    for first, forms in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_form, _first) in _AS_MEANT.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_form})$"), list(_first))


def read_text(root: Path, path: Path) -> str:
    """The text of a file below a root; ConfigError says the line of what is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.relative_to(root)}:{line}: is no text in UTF-8") from None


def read_document(root: Path, path: Path) -> Document:
    """Reads a YAML file below a root; ConfigError says the line of what is no YAML, or of a key that comes twice."""
    shown = path.relative_to(root)
    loader = _Loader(read_text(root, path))
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{shown}:1: is empty")
        lines = dict(islice(_lines(shown, node, ()), _MOST_VALUES))
        if len(lines) == _MOST_VALUES:
            raise ConfigError(f"{shown}:1: has more than {_MOST_VALUES:,} values, with what aliases repeat")
        return Document(shown, loader.construct_document(node), {(): 1, **lines})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{shown}:{line}: not readable as YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{shown}:1: not readable as YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{shown}:1: not readable as YAML: values lie too deep in one another") from None
    finally:
        loader.dispose()


def _lines(path: Path, node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if len(place) > _DEEPEST:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: more than {_DEEPEST} values lie in one another")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{path}:{line}: a key must be a word")
            if key.value in seen:
                raise ConfigError(f"{path}:{line}: {'.'.join(map(str, (*place, key.value)))}: this key comes twice")
            seen.add(key.value)
            yield (*place, key.value), line
            yield from _lines(path, value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*place, number), item.start_mark.line + 1
            yield from _lines(path, item, (*place, number))


def problems_of(error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Where and what is wrong, once for each mistake, in words that show no value: it may be a secret."""
    problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        place, context = problem["loc"], problem.get("ctx", {})
        # A list is too short where its only item is wrong, which is told.
        if problem["type"] == "too_short" and any(
            other["loc"][: len(place)] == place for other in problems if other != problem
        ):
            continue
        if "problems" in context:
            for within, said in context["problems"]:
                yield (*place, *within), said
        else:
            yield _in_words(problem, context)


def _in_words(problem: ErrorDetails, context: Mapping[str, Any]) -> tuple[Place, str]:
    place = problem["loc"]
    match problem["type"]:
        case "missing":
            return place, "is missing"
        case "union_tag_invalid":
            key = _discriminator(context)
            known = context["expected_tags"].replace("'", "").split(", ")
            return (*place, key), unknown(key, str(context["tag"]), known)
        case "union_tag_not_found":
            return place, f"is no mapping with `{_discriminator(context)}`, which says what it is"
        case "model_type" | "model_attributes_type" | "dict_type":
            return place, "must be a mapping"
        case _:
            return place, problem["msg"].removeprefix("Value error, ")


def _discriminator(context: Mapping[str, Any]) -> str:
    """The key that tells variants apart, as people write it: the alias, which comes last."""
    names: list[str] = re.findall(r"\w+", context["discriminator"])
    return names[-1]
