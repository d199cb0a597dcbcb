"""`headwater cost`: what a workload costs in a month."""

from __future__ import annotations

from typing import Annotated

import typer

from headwater.deploy.cost.bill import Bills
from headwater.deploy.cost.measured import measured
from headwater.deploy.cost.page import summary
from headwater.deploy.cost.workload import load_work
from headwater.deploy.project import Declared
from headwater.desk import choices
from headwater.desk.environments import ROOT, client_of
from headwater.desk.options import JsonOption
from headwater.desk.screen import note, print_json, show


def _workloads() -> list[str]:
    return list(load_work(ROOT).workloads)


def cost(
    workload: Annotated[
        str, typer.Argument(help="A workload of config/cost/workloads.yaml.", autocompletion=_workloads)
    ] = "prod",
    measured_in: Annotated[
        str | None,
        typer.Option(
            "--measured",
            metavar="ENV",
            help="Put what this environment's runs show in place of what is assumed.",
            autocompletion=choices.complete_environment,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute what a month costs: from config, prices, and what is assumed or measured."""
    work = load_work(ROOT)
    if measured_in is not None:
        work = work.with_measured(measured(client_of(measured_in), work.assumed))
    found = Bills(Declared(ROOT), work).of(work.workload(workload))
    lines = [
        {
            "service": item.quantity.service,
            "what": item.quantity.what,
            "a month": f"{item.quantity.amount:.1f}",
            "per": item.price.per,
            "usd": f"{item.usd:.2f}",
            "from": found.basis(item),
        }
        for item in found.items
    ]
    used = sorted({name for item in found.items for name in item.quantity.assumes})
    rests_on = {name: work.assumed[name] for name in used}
    if as_json:
        print_json(
            {
                "usd": f"{found.usd:.2f}",
                "items": lines,
                "assumed": {k: v.model_dump(mode="json") for k, v in rests_on.items()},
            }
        )
        return
    show(False, lines, list(lines[0]))
    for name, assumed in rests_on.items():
        if measured_in is None or assumed.measured:
            note(f"{'measured' if assumed.measured else 'assumed'}: {name} {assumed.value}, {assumed.why}")
    note(summary(found))
