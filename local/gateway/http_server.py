"""A threaded HTTP/1.1 server for one WSGI application: keep-alive, `Expect: 100-continue`, few writes.

The usual development servers close the connection after every request, and Spark sends thousands of them.
"""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]

_ONE_WRITE = 65_536
# What would let a page of another origin read an answer.
_TO_PAGES = "access-control-"
_HOP_BY_HOP = {"connection", "date", "keep-alive", "server", "transfer-encoding"}


class ConnectionDroppedError(Exception):
    """The application wants the connection closed without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: WsgiServer

    def handle_one_request(self) -> None:
        """Reads one request, runs the application, writes its answer; keeps the connection unless a side objects."""
        try:
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            status, headers, body = self._run(self._environ(self._body()))
            self._answer(status, headers, body)
        except (ConnectionDroppedError, ConnectionError, TimeoutError):
            self.close_connection = True

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _environ(self, body: bytes) -> Environ:
        # Through a proxy's eyes: a client that takes the gateway for its proxy names the host as well.
        target = urlsplit(self.path)._replace(scheme="", netloc="").geturl() if "://" in self.path[:8] else self.path
        path, _, query = target.partition("?")
        environ: Environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "SERVER_NAME": self.server.server_address[0],
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": str(self.client_address[1]),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        spelled: dict[str, str] = {}
        for name, value in self.headers.items():
            key = environ_key_for_header(name)
            if key == "CONTENT_LENGTH" or name.lower() == "transfer-encoding":
                continue
            if "_" in name and not should_preserve_original_header_name(name):
                continue
            if should_preserve_original_header_name(name):
                spelled[key] = name
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = spelled
        return environ

    def _run(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
            started.append((status, headers))

        result = self.server.application(environ, start_response)
        try:
            body = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        status, headers = started[-1]
        return status, headers, body

    def _answer(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status}", f"Date: {self.date_time_string()}"]
        length = None
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in _HOP_BY_HOP and not name.lower().startswith(_TO_PAGES):
                lines.append(f"{name}: {value}")
        bodiless = self.command == "HEAD" or status.startswith(("1", "204", "304"))
        # A HEAD answer announces the length that a GET would have had.
        if not (bodiless and length is None):
            lines.append(f"Content-Length: {length if bodiless else len(body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if bodiless:
            self.wfile.write(head)
        elif len(body) <= _ONE_WRITE:
            self.wfile.write(head + body)
        else:
            self.wfile.write(head)
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are not logged: there are thousands."""


class WsgiServer(ThreadingHTTPServer):
    """Serves one WSGI application on 127.0.0.1, a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, application: Wsgi) -> None:
        self.application = application
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Binds without the reverse name lookup that the base class makes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not an error of the server; anything else is printed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
