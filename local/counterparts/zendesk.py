"""Zendesk's Support API."""

from local.counterparts.simulated import Simulated
from local.simulators import zendesk


class Zendesk(Simulated):
    """The counterpart of source zendesk."""

    source = zendesk.Zendesk.source
    mount = zendesk.Zendesk.mount
    credentials = {"email": zendesk.EMAIL, "api_token": zendesk.API_TOKEN}  # noqa: RUF012 - read only
