"""Authentication: signs every request, and strikes secrets out of every message."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace

from headwater.redaction import redact, strike_out
from headwater.sources.http.messages import HttpRequest

Flow = Generator[HttpRequest, None, None]
"""One request, signed again for each try. An ExpiredTokenError thrown in is raised again, or answered by another try."""


@dataclass
class Auth:
    """Signs with headers and parameters that stay as they are."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def flow(self, request: HttpRequest) -> Flow:
        """Signs a request for one try after another."""
        while True:
            yield self.sign(request)

    def sign(self, request: HttpRequest) -> HttpRequest:
        """Adds the headers and parameters to a request."""
        return replace(request, params={**request.params, **self.params}, headers={**request.headers, **self.headers})

    def strike_out(self, text: str) -> str:
        """Replaces every secret in a text by ***, whatever form it has there."""
        return redact(strike_out(text, self._told()))

    def _told(self) -> Iterator[str]:
        """Every secret that is sent to the source."""
        yield from self.secrets
        yield from self.params.values()
