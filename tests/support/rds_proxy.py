"""A door before PostgreSQL that is as strict as RDS Proxy: it lets nobody in who brings command-line options along."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REFUSAL = "Feature not supported: RDS Proxy currently doesn't support command-line options."
# Requests that come before the start-up message: encryption by TLS or by GSSAPI.
_ENCRYPTION = (80877103, 80877104)


@contextmanager
def rds_proxy(database_port: int) -> Iterator[int]:
    """Opens the door for the length of the block, and gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_serve, args=(door, database_port), daemon=True).start()
        yield door.getsockname()[1]


def _serve(door: socket.socket, database_port: int) -> None:
    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=_admit, args=(client, database_port), daemon=True).start()


def _admit(client: socket.socket, database_port: int) -> None:
    with client:
        message = _message(client)
        while struct.unpack("!I", message[4:8])[0] in _ENCRYPTION:
            client.sendall(b"N")
            message = _message(client)
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
