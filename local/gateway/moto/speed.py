"""Takes moto's per-request costs out of the way of Spark's S3 traffic; changes no behaviour."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from moto.core import serialize
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from local import service_models


def install() -> None:
    """Caches the choice of backend for a host and the models of services, and reads ISO timestamps without guessing their format."""
    DomainDispatcherApplication.get_backend_for_host = _cached_backend_for_host()
    serialize.parse_to_aware_datetime = _quick_datetime(serialize.parse_to_aware_datetime)
    service_models.remember()


def _cached_backend_for_host() -> Any:
    # The original lists moto's package folder on every request.
    original = DomainDispatcherApplication.get_backend_for_host
    found: dict[str, Any] = {}

    def get_backend_for_host(self: DomainDispatcherApplication, host: str | None) -> Any:
        if host is None:
            return None
        if host not in found:
            found[host] = original(self, host)
        return found[host]

    return get_backend_for_host


def _quick_datetime(original: Any) -> Any:
    @lru_cache(maxsize=65_536)
    def of_text(value: str) -> datetime:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return original(value)  # type: ignore[no-any-return]
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)

    def parse_to_aware_datetime(value: Any) -> datetime:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        return of_text(value) if isinstance(value, str) else original(value)

    return parse_to_aware_datetime
