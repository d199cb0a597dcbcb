"""Whether a model means the same in both dialects: what dbt-postgres has built, against what Redshift's SELECT gives.

dbt-postgres speaks to the local warehouse directly, past what translates Redshift's SQL there; the SELECT that dbt-redshift compiles
goes through the Data API, as on AWS, and so does the question for what was built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from headwater.errors import QueryError
from headwater.warehouse.data_api import Rows
from local.dbt.project import Model


@dataclass(frozen=True)
class Compared:
    """A model's rows: how many were built, their hash, and that of Redshift's SELECT, or why there is none."""

    model: str
    rows: int
    built: str
    redshift: str

    @property
    def is_alike(self) -> bool:
        """True when both give the same columns and rows."""
        return self.built == self.redshift

    def __str__(self) -> str:
        said = (
            "alike" if self.is_alike else f"differs: {self.built[:12]} was built, Redshift's SQL gives {self.redshift}"
        )
        return f"{self.model}: {self.rows} rows, {said}"


def compare(models: Iterable[Model], ask: Callable[[str], Rows]) -> Iterator[Compared]:
    """Compares models that are built with their SELECTs for Redshift; `ask` is the Data API's."""
    for model in models:
        built = ask(f"SELECT * FROM {model.relation}")
        try:
            redshift = digest(ask(model.select))
        except QueryError as refused:
            redshift = f"refused: {refused}"
        yield Compared(model.name, len(built.rows), digest(built), redshift)


def digest(rows: Rows) -> str:
    """Computes the SHA-256 of columns and rows, in whichever order the rows come."""
    hashed = hashlib.sha256(repr(rows.columns).encode())
    for row in sorted(map(repr, rows.rows)):
        hashed.update(row.encode())
    return hashed.hexdigest()
