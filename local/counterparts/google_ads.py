"""The Google Ads API and the token endpoint that belongs to it."""

from local.counterparts.simulated import Simulated
from local.simulators.google import api, messages
from local.world.google_ads import MANAGER_ID


class GoogleAds(Simulated):
    """The counterpart of source google_ads."""

    source = api.GoogleAds.source
    mount = api.GoogleAds.mount
    credentials = {  # noqa: RUF012 - read only
        "client_id": messages.DEFAULT_CLIENT_ID,
        "client_secret": messages.DEFAULT_CLIENT_SECRET,
        "refresh_token": messages.DEFAULT_REFRESH_TOKEN,
        "login_customer_id": str(MANAGER_ID),
    }
