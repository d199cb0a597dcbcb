"""HubSpot's CRM API."""

from local.counterparts.simulated import Simulated
from local.simulators import hubspot


class HubSpot(Simulated):
    """The counterpart of source hubspot."""

    source = hubspot.HubSpot.source
    mount = hubspot.HubSpot.mount
    credentials = {  # noqa: RUF012 - read only
        "client_id": hubspot.CLIENT_ID,
        "client_secret": hubspot.CLIENT_SECRET,
        "refresh_token": hubspot.REFRESH_TOKEN,
    }
