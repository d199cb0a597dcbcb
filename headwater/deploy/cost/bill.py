"""The bill of a month: quantities of what AWS charges for, each with its price and the assumptions that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from headwater.config import Project
from headwater.deploy.cost.glue import glue
from headwater.deploy.cost.item import Item, Quantity
from headwater.deploy.cost.month import Month
from headwater.deploy.cost.prices import Prices, prices_of
from headwater.deploy.cost.run import load_way
from headwater.deploy.cost.services import entrances, network, orchestration, watching
from headwater.deploy.cost.storage import storage
from headwater.deploy.cost.warehouse import warehouse
from headwater.deploy.cost.workload import Work, Workload, project_of, scaled
from headwater.deploy.deployment import Deployment
from headwater.deploy.project import Declared

_PARTS: tuple[Callable[[Month], Iterator[Quantity]], ...] = (
    glue,
    storage,
    warehouse,
    orchestration,
    entrances,
    network,
    watching,
)


@dataclass(frozen=True)
class Bill:
    """What a month of a workload costs in an environment."""

    month: Month
    prices: Prices
    items: tuple[Item, ...]

    @property
    def usd(self) -> Decimal:
        """The month's cost in USD."""
        return sum((item.usd for item in self.items), Decimal())

    @property
    def services(self) -> dict[str, Decimal]:
        """The month's cost by service in USD, the dearest first."""
        found: dict[str, Decimal] = {}
        for item in self.items:
            found[item.quantity.service] = found.get(item.quantity.service, Decimal()) + item.usd
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def basis(self, item: Item) -> str:
        """What an item's quantity rests on: `config` and the workload alone, what was `measured`, or what is `assumed`."""
        assumed = [self.month.work.assumed[name] for name in item.quantity.assumes]
        if not assumed:
            return "config"
        return "measured" if all(one.measured for one in assumed) else "assumed"


class Bills:
    """Computes the bills of workloads under some assumptions; every file is read once."""

    def __init__(self, declared: Declared, work: Work) -> None:
        self.work = work
        self._root, self._declared, self._way = declared.root, declared, load_way(declared.root)
        self._projects: dict[str, Project] = {}
        self._prices: dict[str, Prices] = {}

    def of(self, workload: Workload) -> Bill:
        """What a month of a workload costs in its environment; ConfigError when its region has no prices."""
        environment = workload.environment
        if environment not in self._projects:
            self._projects[environment] = self._declared.project(environment)
        deployment = Deployment(project_of(self._projects[environment], workload), self._root)
        region = deployment.project.environment.region
        if region not in self._prices:
            self._prices[region] = prices_of(self._root, region)
        prices = self._prices[region]
        month = Month(deployment, workload, self.work, self._way)
        items = [Item(quantity, prices.prices[quantity.price]) for part in _PARTS for quantity in part(month)]
        return Bill(month, prices, tuple(items))

    def carried(self, workload: Workload, usd: Decimal) -> int:
        """How many GB a day a month's budget carries, all that grows with them in proportion; 0 when it carries none."""
        least, most = 0, 2
        while self.of(scaled(workload, most)).usd <= usd:
            least, most = most, most * 2
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if self.of(scaled(workload, middle)).usd <= usd else (least, middle)
        return least
