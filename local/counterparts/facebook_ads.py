"""Facebook's Graph API."""

from local.counterparts.simulated import Simulated
from local.simulators.facebook.api import Facebook
from local.simulators.facebook.graph import DEFAULT_APP_SECRET, DEFAULT_TOKEN


class FacebookAds(Simulated):
    """The counterpart of source facebook_ads."""

    source = Facebook.source
    mount = Facebook.mount
    credentials = {"access_token": DEFAULT_TOKEN, "app_secret": DEFAULT_APP_SECRET}  # noqa: RUF012 - read only
