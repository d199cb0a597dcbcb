"""Serves the simulated sources: python -m local.simulators --port 4570 --dsn DSN --state DIR."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from local.simulators.app import build_app
from local.visitors import Door


def main() -> None:
    """Runs until it is stopped by a signal."""
    parser = argparse.ArgumentParser(prog="python -m local.simulators", description=__doc__)
    parser.add_argument("--port", type=int, default=4570)
    parser.add_argument("--dsn", required=True, help="the PostgreSQL database that holds the world")
    parser.add_argument("--state", type=Path, required=True, help="folder for tokens, limits and reports")
    arguments = parser.parse_args()
    # Errors raised on purpose (a truncated answer) would fill the log: only real trouble is worth a line.
    uvicorn.run(
        Door(build_app(arguments.dsn, arguments.state)),
        host="127.0.0.1",
        port=arguments.port,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
