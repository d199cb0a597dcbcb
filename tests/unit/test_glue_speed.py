"""What the local Glue runtime does once instead of at every run."""

from __future__ import annotations

import zipfile
from pathlib import Path
from zipimport import zipimporter

import pytest

from local.glue.speed import compile_zip


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    path = tmp_path / "modules.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "NAME = __name__")
        archive.writestr("broken.py", "def")
        archive.writestr("package/data.txt", "text")
    compile_zip(path)
    return path


def test_modules_of_a_zip_are_imported_from_their_byte_code(modules: Path) -> None:
    importer = zipimporter(str(modules))
    assert importer.get_filename("package") == f"{modules}/package/__init__.pyc"
    assert "__name__" in importer.get_code("package").co_names


def test_source_and_data_stay_in_the_zip(modules: Path) -> None:
    importer = zipimporter(str(modules))
    assert importer.get_source("package") == "NAME = __name__"
    assert importer.get_data(f"{modules}/package/data.txt") == b"text"


def test_a_module_that_does_not_compile_says_so_when_it_is_imported(modules: Path) -> None:
    with pytest.raises(SyntaxError):
        zipimporter(str(modules)).get_code("broken")
