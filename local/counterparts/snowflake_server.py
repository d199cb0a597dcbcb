"""fakesnow's server with one database folder for all sessions: `python -m local.counterparts.snowflake_server PORT FOLDER`.

fakesnow's own command keeps databases in memory, and forgets them with the process.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import uvicorn
from fakesnow.instance import FakeSnow

# The package has a function of the same name as its module `server`.
_server: Any = importlib.import_module("fakesnow.server")
_arrow: Any = importlib.import_module("fakesnow.arrow")
_struct_of = _arrow.timestamp_to_sf_struct


def timestamps(column: pa.ChunkedArray) -> pa.Array:
    """Writes timestamps as Snowflake does; fakesnow 0.12.1 marks the parts of a missing one, and clients then read 1970."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    struct = _struct_of(whole)
    parts = [part.fill_null(0) for part in struct.flatten()]
    return pa.StructArray.from_arrays(parts, fields=list(struct.type), mask=whole.is_null())


def main(port: int, folder: Path) -> None:
    """Serves until it is told to end."""
    folder.mkdir(parents=True, exist_ok=True)
    _arrow.timestamp_to_sf_struct = timestamps
    _server.shared_fs = FakeSnow(db_path=folder)
    uvicorn.run(_server.app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
