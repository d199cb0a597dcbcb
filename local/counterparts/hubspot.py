"""HubSpot's CRM API."""

from local.counterparts.simulated import Simulated
from local.simulators.hubspot import access, api


class HubSpot(Simulated):
    """The counterpart of source hubspot."""

    source = api.HubSpot.source
    mount = api.HubSpot.mount
    credentials = {  # noqa: RUF012 - read only
        "client_id": access.CLIENT_ID,
        "client_secret": access.CLIENT_SECRET,
        "refresh_token": access.REFRESH_TOKEN,
    }
