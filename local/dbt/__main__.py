"""Builds and tests the dbt project on the local stack, and compares each model with what Redshift's SQL gives: `make dbt`."""

from __future__ import annotations

import sys

from headwater.errors import HeadwaterError
from local.dbt.comparison import compare
from local.dbt.project import DbtProject
from local.dbt.stack import StackWarehouse
from local.stack import ROOT, Stack


def main() -> int:
    """Does all of it; 1 where a model means something else to Redshift."""
    warehouse = StackWarehouse.of(Stack.default())
    project = DbtProject(warehouse.place, ROOT / "build" / "dbt")
    if missing := warehouse.missing():
        print(f"without {', '.join(missing)}, which this stack does not make, and what reads them", flush=True)  # noqa: T201
    project.build(missing)
    project.freshness(missing)
    built = warehouse.relations("marts")
    differing = 0
    for one in compare([model for model in project.for_redshift() if model.name in built], warehouse.ask):
        print(one, flush=True)  # noqa: T201
        differing += not one.is_alike
    return int(differing > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HeadwaterError as error:
        sys.exit(str(error))
