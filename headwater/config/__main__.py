"""Writes the JSON Schema of each kind of config file: `python -m headwater.config config/schema`."""

import json
import sys
from pathlib import Path

from headwater.config import json_schemas

for name, schema in json_schemas().items():
    (Path(sys.argv[1]) / f"{name}.schema.json").write_text(json.dumps(schema, indent=1) + "\n")
