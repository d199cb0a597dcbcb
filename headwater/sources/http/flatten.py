"""Makes one level of fields out of a row of objects within objects."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_CAPITAL = re.compile(r"(?<!^)([A-Z])")


def flatten(row: Any, omit: Collection[str] = ()) -> Any:
    """Names every field in snake case, after the objects it lies in: `metrics.costMicros` becomes `metrics_cost_micros`.

    Fields whose own name is in `omit` are left out at any depth; what is no object stays as it is.
    """
    if not isinstance(row, Mapping):
        return row
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = _CAPITAL.sub(r"_\1", key).lower()
        if name in omit:
            continue
        if isinstance(value, Mapping):
            flat.update({f"{name}_{inner}": leaf for inner, leaf in flatten(value, omit).items()})
        else:
            flat[name] = value
    return flat
