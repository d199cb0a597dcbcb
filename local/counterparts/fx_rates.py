"""Frankfurter's API of the ECB's exchange rates."""

from local.counterparts.simulated import Simulated
from local.simulators.fx_rates import Frankfurter


class FxRates(Simulated):
    """The counterpart of source fx_rates."""

    source = Frankfurter.source
    mount = Frankfurter.mount
