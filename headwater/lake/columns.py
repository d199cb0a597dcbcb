"""Columns that the pipeline adds to the rows of the lake."""

from __future__ import annotations

BATCH = "_batch"
FILE = "_file"
ROW = "_file_row"
"""Where a row stood in its raw file: greater than of those before it; NULL in what was appended before there was the column."""
AGAIN = "_again"
"""True for a row that was refused when it arrived, and is judged once more."""
REASONS = "_reasons"
RAW = "_raw"
PLACE = (BATCH, FILE, ROW)
"""What orders rows as they arrived."""
MICROSECONDS = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
"""What `to_json` writes times by; left alone, it cuts them off at milliseconds."""
