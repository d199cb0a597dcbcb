"""Starts the gateway: `python -m local.gateway --port 4566 --home build/local --workers 2`."""

from __future__ import annotations

import argparse
from pathlib import Path

from local.gateway.server import serve
from local.gateway.settings import DEFAULT_PORT, GatewaySettings


def main() -> None:
    """Reads the command line and serves until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m local.gateway", description="The AWS API of the local stack.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port on 127.0.0.1 (default %(default)s)")
    parser.add_argument("--home", type=Path, default=Path("build/local"), help="folder for logs and other files")
    parser.add_argument("--workers", type=int, default=2, help="Spark workers to start at once (default %(default)s)")
    parser.add_argument("--warehouse-dsn", help="libpq connection string of the PostgreSQL that plays Redshift")
    parser.add_argument(
        "--most-events", type=int, default=GatewaySettings.most_events, help="events of a history (default %(default)s)"
    )
    options = parser.parse_args()
    settings = GatewaySettings(
        options.port,
        options.home.resolve(),
        warehouse_dsn=options.warehouse_dsn,
        most_events=options.most_events,
    )
    serve(settings, options.workers)


if __name__ == "__main__":
    main()
