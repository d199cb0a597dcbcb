"""Builds the zips that jobs and Lambdas run from, the same bytes from the same files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)


def library_zip(root: Path) -> bytes:
    """Zips the headwater package."""
    return _zip({path.relative_to(root).as_posix(): path for path in (root / "headwater").rglob("*.py")})


def lambda_zip(root: Path, folder: str) -> bytes:
    """Zips one Lambda's handler with the headwater package beside it."""
    files = {path.relative_to(root).as_posix(): path for path in (root / "headwater").rglob("*.py")}
    files["handler.py"] = root / "lambdas" / folder / "handler.py"
    return _zip(files)


def _zip(files: dict[str, Path]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()
