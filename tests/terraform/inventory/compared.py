"""What differs between two inventories, and the list of what may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tests.terraform.inventory.shapes import Inventory


@dataclass(frozen=True)
class Difference:
    """A thing that only one side has, or a setting that differs."""

    type: str
    name: str
    only: Literal["terraform", "local"] | None = None
    setting: str = ""
    terraform: str = ""
    local: str = ""

    def __str__(self) -> str:
        thing = f"{self.type} {self.name}"
        if self.only:
            return f"{thing}: only {self.only} makes it"
        return f"{thing}, {self.setting}: {self.terraform[:300] or 'nothing'} by Terraform, {self.local[:300] or 'nothing'} locally"


class Known(BaseModel):
    """An entry of the list: which differences it is about (`*` stands for anything) and why they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    name: str = "*"
    only: Literal["terraform", "local"] | None = None
    setting: str = ""
    why: str = Field(min_length=20)

    @model_validator(mode="after")
    def _about_one_or_the_other(self) -> Known:
        if bool(self.only) == bool(self.setting):
            raise ValueError(f"{self.type} {self.name}: say either `only` or `setting`")
        return self

    def is_about(self, found: Difference) -> bool:
        """Tells whether a difference is one of those."""
        pairs = ((found.type, self.type), (found.name, self.name), (found.setting, self.setting))
        return found.only == self.only and all(fnmatchcase(told, pattern) for told, pattern in pairs)


def known(path: Path) -> list[Known]:
    """Reads a list; pydantic's ValidationError says which entry is wrong."""
    entries: list[Any] = yaml.safe_load(path.read_text())
    return [Known.model_validate(entry) for entry in entries]


def differences(terraform: Inventory, local: Inventory) -> Iterator[Difference]:
    """Lists what differs, type by type, name by name, setting by setting."""
    for kind in sorted(terraform.keys() | local.keys()):
        made, listed = terraform.get(kind, {}), local.get(kind, {})
        for name in sorted(made.keys() | listed.keys()):
            if name not in listed:
                yield Difference(kind, name, only="terraform")
            elif name not in made:
                yield Difference(kind, name, only="local")
            else:
                for setting in sorted(made[name].keys() | listed[name].keys()):
                    values = made[name].get(setting, ""), listed[name].get(setting, "")
                    if values[0] != values[1]:
                        yield Difference(kind, name, None, setting, *values)


def unexpected(found: Iterable[Difference], entries: Iterable[Known]) -> list[str]:
    """Lists the differences that no entry is about, and the entries that are about no difference."""
    found, entries = list(found), list(entries)
    unlisted = [str(one) for one in found if not any(entry.is_about(one) for entry in entries)]
    idle = [
        f"{entry.type} {entry.name}, {entry.setting or f'only {entry.only}'}: no longer differs, take it off the list"
        for entry in entries
        if not any(entry.is_about(one) for one in found)
    ]
    return unlisted + idle
