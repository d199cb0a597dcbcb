"""Sends requests with `requests`: nothing is retried or followed, and an answer is bounded in size and in time."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from headwater.config.address import may_answer
from headwater.errors import FatalSourceError, RetriableSourceError, SourceError
from headwater.sources.http.messages import HttpRequest, HttpResponse, MalformedAnswerError

MAX_BODY_BYTES = 64 * 1024 * 1024
_CONNECT_SECONDS = 10.0
_READ_BYTES = 64 * 1024


class _InTime(io.RawIOBase):
    """What a socket brings until a deadline, however little comes at a time: its own timeout begins anew with every byte."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        # Real time, not the clock of the waits: one thread's wait may advance that clock while another reads.
        self._deadline = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        """Says that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Reads what is there, or waits for it; TimeoutError at the deadline."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Lets go of the socket, which lives on with its connection."""
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """An answer whose status line, headers and body all come within the time that the socket was given."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_InTime(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    """A connection that says nothing, and begins no TLS, to an address that its host's name should not have led to."""

    response_class = _Answer

    def _new_conn(self) -> socket.socket:
        connected: socket.socket = super()._new_conn()
        if not may_answer(self.host, connected.getpeername()[0]):
            connected.close()
            raise FatalSourceError("the host's name leads to an address of this machine or its network's own services")
        return connected


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Looks where each connection has ended."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Makes the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class Wire:
    """Sends requests with `requests`; the whole of an answer must arrive within `timeout_seconds`.

    Raises RetriableSourceError when there is no answer in time, MalformedAnswerError when it breaks off,
    FatalSourceError when it is larger than `max_bytes`, the server's certificate does not hold, or its name leads where it should not.
    """

    def __init__(self, timeout_seconds: float, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes
        self._session = requests.Session()
        # Without an auth of its own, requests would put a matching ~/.netrc entry over the Authorization header.
        self._session.auth = _as_it_is
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(max_retries=0))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Sends one request and reads the whole answer."""
        in_query = request.method == "GET" or request.body is not None
        try:
            with self._session.request(
                request.method,
                request.url,
                params=dict(request.params) if in_query else None,
                data=request.body if in_query else dict(request.params),
                headers=dict(request.headers),
                timeout=(min(_CONNECT_SECONDS, self._timeout_seconds), self._timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = self._body(answer.raw)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return HttpResponse(answer.status_code, headers, body)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            problem: SourceError = RetriableSourceError(f"no whole answer within {self._timeout_seconds:g} s")
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                problem = FatalSourceError("the server's certificate does not hold")
            else:
                problem = RetriableSourceError("the encrypted connection broke off")
        except urllib3.exceptions.ProtocolError as error:
            if any("IncompleteRead" in repr(cause) for cause in error.args):
                problem = MalformedAnswerError("the body ended before its announced length")
            else:
                problem = RetriableSourceError("the connection broke off within the body")
        except urllib3.exceptions.DecodeError:
            problem = MalformedAnswerError("the body is not in its announced encoding")
        except urllib3.exceptions.HTTPError as error:
            problem = RetriableSourceError(f"the connection failed ({type(error).__name__})")
        except requests.ConnectionError as error:
            # Its text holds the URL with every parameter; its class says enough.
            problem = RetriableSourceError(f"no connection ({type(error).__name__})")
        except requests.RequestException as error:
            problem = FatalSourceError(f"the request cannot be sent ({type(error).__name__})")
        raise problem

    def _body(self, raw: urllib3.HTTPResponse) -> bytes:
        body = bytearray()
        # read1 returns what one packet brought: what is unpacked is bounded as it comes.
        while chunk := raw.read1(_READ_BYTES, decode_content=True):
            body += chunk
            if len(body) > self._max_bytes:
                raise FatalSourceError(
                    f"the body is larger than {self._max_bytes} bytes. hint: ask for smaller pages or ranges"
                )
        return bytes(body)

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
