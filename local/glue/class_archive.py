"""An archive of the classes that jobs use, which a JVM maps instead of reading them from hundreds of jars.

A driver with the archive starts faster, and its first jobs take a fifth less of the processor. The JVM looks whether the
archive fits its own build and class path, and does without one that does not.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from headwater.errors import HeadwaterError
from local import java
from local.jars import SPARK, class_path


def archive() -> Path:
    """Its path, beside the Spark that its classes are of; a Glue worker shares that of the checkout's environment."""
    spark = find_spec("pyspark")
    return Path(str(spark and spark.origin)).resolve().parent.with_name("spark-classes.jsa")


def is_current() -> bool:
    """True when it is complete and was made for this Java and these jars."""
    try:
        return archive().exists() and _made_for().read_text() == _wanted()
    except FileNotFoundError:
        return False


def build() -> None:
    """Makes it in a rehearsal of what jobs do; HeadwaterError when the JVM has not written it."""
    _build_base()
    unfinished, log = archive().with_suffix(".unfinished"), archive().with_suffix(".log")
    unfinished.unlink(missing_ok=True)
    with log.open("wb") as out:
        command = [sys.executable, "-m", "local.glue.rehearsal", str(unfinished)]
        done = subprocess.run(command, stdout=out, stderr=out, check=False)
    if done.returncode != 0 or not unfinished.exists():
        raise HeadwaterError(
            f"{archive().name} could not be made. hint: is there room on the disk? What Spark said is in {log}"
        )
    unfinished.replace(archive())
    _made_for().write_text(_wanted())


def _build_base() -> None:
    """Makes the archive of Java's own classes that any other builds on: distributions ship it, the wheel does not."""
    base = java.home() / "lib" / "server" / "classes.jsa"
    if base.exists():
        return
    unfinished = base.with_suffix(".unfinished")
    command = [str(java.program()), "-Xshare:dump", f"-XX:SharedArchiveFile={unfinished}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HeadwaterError(f"Java cannot archive its own classes: {(done.stderr or done.stdout).strip()[-500:]}")
    unfinished.replace(base)


def _made_for() -> Path:
    return archive().with_suffix(".made-for")


def _wanted() -> str:
    home = java.home()
    found = [str(jar) for bundle in SPARK for jar in class_path(bundle)]
    return "\n".join([str(home), str(java.version(home)), *found])
