"""docs/cost.md: the bill of each workload in config/cost/workloads.yaml, its options, and what all of it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from headwater.deploy.cost.bill import Bill, Bills
from headwater.deploy.cost.workload import Work, Workload, chosen, load_work, scaled
from headwater.deploy.project import Declared

_VOLUMES, _AGES = (1, 10, 50, 100, 500), (1, 12, 36)
_DEAREST = 5
_GOAL = Decimal(1000)
_INTRODUCTION = """# What it costs

Computed by `make docs` and `headwater cost` from `config/`: schedules, sizes and retention of the environments, the way of a run
through the state machine (`config/cost/run.yaml`), the workloads, options and assumptions of `config/cost/workloads.yaml`, and the
prices of the environment's region (`config/cost/prices.yaml`). `headwater cost WORKLOAD --measured ENV` puts what the runs of an
environment show in place of what is assumed here.
"""


def cost_page(declared: Declared) -> str:
    """Writes docs/cost.md."""
    work = load_work(declared.root)
    bills = Bills(declared, work)
    first, *_ = work.workloads.values()
    parts: list[Iterable[str]] = [[_INTRODUCTION]]
    for name, workload in work.workloads.items():
        found = bills.of(workload)
        parts += [_section(found), _options(bills, name), _lines(found)]
    parts += [_table(bills, first), _assumed(work), _prices(bills.of(first))]
    return "\n".join(line for part in parts for line in part)


def summary(found: Bill) -> str:
    """Says in a sentence what a workload costs, and how that agrees with the environment's budget."""
    workload, environment = found.month.workload, found.month.project.environment
    verdict = "within" if found.usd <= environment.budget_usd else "beyond"
    dearest = ", ".join(f"{name} {usd:,.0f}" for name, usd in list(found.services.items())[:_DEAREST])
    return (
        f"Environment {environment.name}, {len(found.month.project.sources)} sources, {found.month.runs_a_month / 30:,.1f} runs a day, "
        f"a lake of {workload.stored_months} months: {found.usd:,.0f} USD a month, {verdict} the budget of "
        f"{environment.budget_usd:,.0f} USD. Most of it: {dearest}."
    )


def _section(found: Bill) -> Iterator[str]:
    yield f"## {found.month.workload.title}\n"
    yield f"{summary(found)}\n"


def _lines(found: Bill) -> Iterator[str]:
    yield "| service | what | a month | price | USD | from |"
    yield "|---|---|---:|---:|---:|---|"
    for item in found.items:
        amount = f"{item.quantity.amount:,.1f} | {item.price.usd} per {item.price.per}"
        yield f"| {item.quantity.service} | {item.quantity.what} | {amount} | {item.usd:,.2f} | {found.basis(item)} |"
    yield f"| | **total** | | | **{found.usd:,.2f}** | |"
    yield ""


def _options(bills: Bills, name: str) -> Iterator[str]:
    workload, options = bills.work.workloads[name], bills.work.options.get(name, ())
    if not options:
        return
    yield "What an operator can choose, each on top of those before, in USD a month:\n"
    yield f"| choice | {' | '.join(f'after {age} month(s)' for age in _AGES)} | of it S3, after {_AGES[1]} |"
    yield f"|---|{'---:|' * (len(_AGES) + 1)}"
    yield _row("as declared", _by_age(bills, workload))
    for option in options:
        workload = chosen(workload, option)
        yield _row(option.title, _by_age(bills, workload))
    yield f"\n{_verdict(bills, workload)}\n"


def _verdict(bills: Bills, workload: Workload) -> str:
    """Says whether a workload with all its options comes below the goal, else what keeps it above and what the goal carries."""
    found = bills.of(workload)
    if found.usd <= _GOAL:
        return f"With all of these it stays below {_GOAL:,} USD a month."
    dearest = ", ".join(f"{name} {usd:,.0f}" for name, usd in list(found.services.items())[:_DEAREST])
    carried = ", ".join(
        f"{bills.carried(_aged(workload, age), _GOAL):,} GB a day after {age} month(s)" for age in _AGES
    )
    return (
        f"With all of these, {workload.title} stays above {_GOAL:,} USD a month after {workload.stored_months} months: {dearest}. "
        f"{_GOAL:,} USD a month then carry {carried}."
    )


def _by_age(bills: Bills, workload: Workload) -> list[Bill]:
    return [bills.of(_aged(workload, age)) for age in _AGES]


def _row(title: str, bills: list[Bill]) -> str:
    return f"| {title} | {' | '.join(f'{found.usd:,.0f}' for found in bills)} | {bills[1].services['S3']:,.0f} |"


def _aged(workload: Workload, months: int) -> Workload:
    return workload.model_copy(update={"stored_months": months})


def _table(bills: Bills, workload: Workload) -> Iterator[str]:
    yield "## By volume and age\n"
    yield f"USD a month in `{workload.environment}`, all else as declared for {workload.title}.\n"
    yield f"| GB a day | {' | '.join(f'after {age} month(s)' for age in _AGES)} |"
    yield f"|---:{'|---:' * len(_AGES)}|"
    for volume in _VOLUMES:
        totals = (f"{found.usd:,.0f}" for found in _by_age(bills, scaled(workload, volume)))
        yield f"| {volume} | {' | '.join(totals)} |"
    yield ""


def _assumed(work: Work) -> Iterator[str]:
    yield "## What is assumed\n"
    yield "| assumption | value | why |"
    yield "|---|---:|---|"
    for name, assumed in work.assumed.items():
        yield f"| `{name}` | {assumed.value} | {assumed.why} |"
    yield ""


def _prices(found: Bill) -> Iterator[str]:
    prices = found.prices
    yield "## Prices\n"
    yield f"Of {prices.name}, gathered by {prices.as_of}: {prices.region.source}. Before taxes, discounts, free and higher tiers.\n"
    yield "No record was found for the region of these prices; what they rest on:\n"
    yield "| price | USD | rests on |"
    yield "|---|---:|---|"
    yield from (f"| `{name}` | {prices.prices[name].usd} | {why} |" for name, why in prices.region.unconfirmed.items())
    yield ""
