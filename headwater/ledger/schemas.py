"""The schemas of the lake's tables, as their writers left them, and which of them the catalog has.

_schemas/<zone>/<table>.json     the newest schema; written only when it is another one
_schemas/crawled.json            by crawler, the schemas of its tables when it last crawled them
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.config.definition import spelled
from headwater.ledger.bucket import Bucket

_CRAWLED = "_schemas/crawled.json"


@dataclass(frozen=True)
class Schemas:
    """The documents below `_schemas/` in the raw bucket."""

    bucket: Bucket

    def note(self, table: str, schema: str) -> None:
        """Notes the schema of a table, `<zone>/<table>`, when it is another than the one that was noted."""
        key, body = f"_schemas/{table}.json", schema.encode()
        if self.bucket.read(key) != body:
            self.bucket.write(key, body)

    def columns(self, table: str) -> dict[str, str]:
        """The columns of a table as they were noted, in lower case, by name; their types as Spark SQL spells them."""
        body = self.bucket.read(f"_schemas/{table}.json")
        columns = json.loads(body)["columns"] if body else []
        return {column["name"].lower(): _spelled(column["type"]) for column in columns}

    def noted(self) -> dict[str, str]:
        """Lists the tables of which a schema was noted, each with a tag that is another one for another schema."""
        pages = self.bucket.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket.name, Prefix="_schemas/")
        items = [item for page in pages for item in page.get("Contents", [])]
        return {
            item["Key"].removeprefix("_schemas/").removesuffix(".json"): item["ETag"]
            for item in items
            if item["Key"] != _CRAWLED
        }

    def crawled(self) -> dict[str, str]:
        """Reads the digest of what each crawler has crawled."""
        body = self.bucket.read(_CRAWLED)
        digests: dict[str, str] = json.loads(body) if body else {}
        return digests

    def note_crawled(self, digests: Mapping[str, str]) -> None:
        """Notes what crawlers have crawled; the others stay as they are."""
        self.bucket.write(_CRAWLED, json.dumps({**self.crawled(), **digests}, indent=1, sort_keys=True).encode())


def _spelled(type_: Any) -> str:
    """Spells a type of a Delta schema, which is a name or describes what it is made of."""
    match type_:
        case {"type": "array", "elementType": element}:
            return f"array<{_spelled(element)}>"
        case {"type": "map", "keyType": key, "valueType": value}:
            return f"map<{_spelled(key)},{_spelled(value)}>"
        case {"type": "struct", "fields": fields}:
            named = (f"{one['name'].lower()}:{_spelled(one['type'])}" for one in fields)
            return f"struct<{','.join(named)}>"
        case _:
            return spelled(str(type_))


def digest_of(tables: Iterable[str], noted: Mapping[str, str]) -> str | None:
    """Makes a digest of the schemas of some tables; None when none of them was noted."""
    found = {table: noted[table] for table in sorted(tables) if table in noted}
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if found else None
