"""Takes out of the way what every job run of a warm worker would pay again; changes no behaviour."""

from __future__ import annotations

import py_compile
import zipfile
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory
from typing import Any

from py4j.java_gateway import JavaClass, JavaPackage, JVMView

from local import service_models


def install() -> None:
    """Remembers what names mean in the JVM, and the models of AWS's services, for the life of the process."""
    for names in (JVMView, JavaPackage):
        names.__getattr__ = _remembered(names.__getattr__)
    service_models.remember()


def _remembered(look_up: Any) -> Any:
    # `functions` is looked for in every imported package of every jar, again for each column that a job names.
    def getattr_(self: Any, name: str) -> Any:
        found = look_up(self, name)
        # What is no class yet may become one by an import; a name in lower case is a package's and stays one.
        if isinstance(found, JavaClass) or name.islower():
            self.__dict__[name] = found
        return found

    return getattr_


def compile_zip(path: Path) -> None:
    """Puts the byte code of each module beside its source in a zip of modules, as Python does in a folder by itself.

    Without it every import compiles the source again. A module that does not compile stays as it is: its import says why.
    """
    with zipfile.ZipFile(path, "a") as archive, TemporaryDirectory() as folder:
        for name in archive.namelist():
            if not name.endswith(".py"):
                continue
            source = archive.extract(name, folder)
            # Not to be compared with the source: both are in the one file, which nobody edits.
            unchecked = PycInvalidationMode.UNCHECKED_HASH
            compiled = py_compile.compile(source, f"{source}c", f"{path}/{name}", quiet=2, invalidation_mode=unchecked)
            if compiled is not None:
                archive.write(compiled, f"{name}c")
