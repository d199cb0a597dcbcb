"""CleverTap's export API."""

from local.counterparts.simulated import Simulated
from local.simulators import clevertap


class CleverTap(Simulated):
    """The counterpart of source clevertap."""

    source = clevertap.CleverTap.source
    mount = clevertap.CleverTap.mount
    credentials = {f"{account}.passcode": code for account, code in clevertap.passcodes().items()}  # noqa: RUF012
