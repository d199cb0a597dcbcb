"""Rows into the world's tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from local.world.truth import Connection


def copy_rows(connection: Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """COPYs rows that were made in Python; `table` may name its columns."""
    with connection.cursor().copy(f"copy {table} from stdin") as copy:
        for row in rows:
            copy.write_row(row)


def copy_objects(connection: Connection, table: str, rows: Iterable[object]) -> None:
    """COPYs dataclass instances whose fields are the table's columns; lists and dicts become JSON."""
    copy_rows(
        connection,
        table,
        (
            [json.dumps(value) if isinstance(value, (list, dict)) else value for value in vars(row).values()]
            for row in rows
        ),
    )
