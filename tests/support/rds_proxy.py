"""A door before PostgreSQL that is as strict as RDS Proxy: it lets nobody in who brings command-line options along.

With a certificate it speaks TLS, as RDS does and the embedded server cannot.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

REFUSAL = "Feature not supported: RDS Proxy currently doesn't support command-line options."
# Requests that come before the start-up message: encryption by TLS or by GSSAPI.
_TLS = 80877103
_ENCRYPTION = (_TLS, 80877104)


@dataclass
class Door:
    """An open door: where it is, and every start-up message that came through it."""

    port: int
    entered: list[bytes] = field(default_factory=list)


@contextmanager
def rds_proxy(database_port: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Door]:
    """Opens the door for the length of the block."""
    with socket.create_server((host, 0)) as listening:
        door = Door(listening.getsockname()[1])
        threading.Thread(target=_serve, args=(listening, door, database_port, tls), daemon=True).start()
        yield door


@contextmanager
def passed_on(host: str, port: int) -> Iterator[int]:
    """Opens a port of another address for the length of the block, behind which a server of 127.0.0.1 answers."""

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    with socket.create_server((host, 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, door: Door, database_port: int, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_admit, args=(client, door, database_port, tls), daemon=True).start()


def _admit(client: socket.socket, door: Door, database_port: int, tls: ssl.SSLContext | None) -> None:
    with ExitStack() as opened:
        opened.enter_context(client)
        try:
            message = _message(client)
            while (asked := struct.unpack("!I", message[4:8])[0]) in _ENCRYPTION:
                encrypts = tls is not None and asked == _TLS
                client.sendall(b"S" if encrypts else b"N")
                if tls is not None and encrypts:
                    client = opened.enter_context(tls.wrap_socket(client, True, do_handshake_on_connect=False))
                    client.do_handshake()
                message = _message(client)
        except OSError:
            # It did not like what it was told, or our certificate.
            return
        door.entered.append(message)
        if b"options" in message[8:].split(b"\0")[::2]:
            fields = b"SFATAL\0C0A000\0M" + REFUSAL.encode() + b"\0\0"
            client.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            return
        with socket.create_connection(("127.0.0.1", database_port)) as database:
            database.sendall(message)
            back = threading.Thread(target=_pass_on, args=(database, client), daemon=True)
            back.start()
            _pass_on(client, database)
            back.join()


def _message(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    return head + _exactly(client, struct.unpack("!I", head)[0] - 4)


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += client.recv(size - len(found)) or (_ for _ in ()).throw(ConnectionError("closed"))
    return found


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
