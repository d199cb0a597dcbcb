"""What a simulator remembers beyond a restart."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

S = TypeVar("S", bound=BaseModel)


class Kept(Generic[S]):
    """A state and the file that keeps it. Hold `lock` while changing it, then `save`."""

    def __init__(self, state: type[S], folder: Path, source: str) -> None:
        self.lock = threading.RLock()
        self._file = folder / f"{source}.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.state = state.model_validate_json(self._file.read_text() if self._file.exists() else "{}")

    def save(self) -> None:
        """Replaces the file in one move."""
        new = self._file.with_suffix(".new")
        new.write_text(self.state.model_dump_json())
        new.replace(self._file)
