"""What YAML cannot say of one HTTP API, for each source that has such."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.sources.apis import clevertap, facebook_ads, google_ads, hubspot
from headwater.sources.http.source import Api

APIS: Mapping[str, Api] = {
    "clevertap": clevertap.API,
    "facebook_ads": facebook_ads.API,
    "google_ads": google_ads.API,
    "hubspot": hubspot.API,
}


def api_of(source: str) -> Api:
    """The API of a source; one without a module here follows HTTP's own rules."""
    return APIS.get(source, Api())
