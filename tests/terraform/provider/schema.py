"""Cuts the schema of the AWS provider down to what terraform/ declares, for the stand-in:

terraform providers schema -json | python -m tests.terraform.provider.schema tests/terraform/provider/aws.schema.json.gz
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = "registry.terraform.io/hashicorp/aws"
_DECLARED = re.compile(r'^(resource|data) "(aws_[a-z0-9_]+)"', re.MULTILINE)


def declared(root: Path) -> set[tuple[str, str]]:
    """Lists (resource or data, type) of everything that terraform/ declares."""
    return {found for path in (root / "terraform").rglob("*.tf") for found in _DECLARED.findall(path.read_text())}


def cut(schema: dict[str, Any], kept: set[tuple[str, str]]) -> dict[str, Any]:
    """Leaves of a schema the provider itself and some types of resources and data sources."""
    aws = schema["provider_schemas"][ADDRESS]
    parts = {
        f"{key}_schemas": {name: body for name, body in aws[f"{key}_schemas"].items() if (kind, name) in kept}
        for kind, key in (("resource", "resource"), ("data", "data_source"))
    }
    return {"provider_schemas": {ADDRESS: {"provider": aws["provider"], **parts}}}


if __name__ == "__main__":
    left = json.dumps(cut(json.load(sys.stdin), declared(ROOT)), separators=(",", ":"), sort_keys=True)
    Path(sys.argv[1]).write_bytes(gzip.compress(left.encode(), mtime=0))
