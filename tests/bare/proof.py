"""What the bare machine shows once it is set up: Java and MariaDB that setup brought, Kafka, and a run that read both."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from headwater.client import Client
from headwater.run.audit import books_of
from local import java, mariadb_programs
from tests.e2e.pipeline import Pipeline, own_stack

_ABSENT = ("java", "mariadbd", "mysqld", "terraform", "chromium", "docker")
_SOURCES = frozenset({"kafka", "rds_mysql"})
# Of fewer, one day has so few orders that the one bad row among them is more than its check lets pass.
_HOUSEHOLDS = 60


def main() -> None:
    """Runs the pipeline over two sources; AssertionError unless rows of both came through and every book balances."""
    found = [program for program in _ABSENT if shutil.which(program)]
    assert not found, f"this machine is not bare: it has {', '.join(found)}"
    assert java.home() == java.wheel()
    programs = mariadb_programs.unpacked()
    assert mariadb_programs.installed() is None
    assert programs is not None
    print(f"Java {java.version(java.home())} in {java.home()}\nMariaDB in {programs.server}", flush=True)
    with TemporaryDirectory() as folder, own_stack(Path(folder), _HOUSEHOLDS, _SOURCES) as stack:
        print("databases, MariaDB, Kafka, gateway and simulators answer", flush=True)
        stack.deploy()
        client = Client(stack.deployment())
        run = Pipeline(stack, client).run_well()
        books = books_of(client.opened, {run.run_id})
    read = {source: sum(book.extracted for book in books if book.source == source) for source in sorted(_SOURCES)}
    assert all(read.values()), read
    assert all(book.balances for book in books), books
    print(f"{run.run_id} {run.status}, rows read by Spark: {read}; {len(books)} books balance")


if __name__ == "__main__":
    main()
