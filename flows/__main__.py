"""Serves the flows on the schedules of prefect.yaml from one machine: `python -m flows`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.environment import SERVED, prepare

if __name__ == "__main__":
    prepare(Path.cwd(), os.environ)

from prefect import serve

from flows.run import exit_status
from flows.schedules import load_deployments
from flows.server import any_server


def serve_flows(root: Path, interval_seconds: float | None, names: Sequence[str]) -> None:
    """Runs the flows, or those of the deployments named, when they are due until interrupted; with
    PREFECT_API_URL, on that server.

    Raises:
        ScheduleError: prefect.yaml cannot be served, or has no deployment of a name.
        ServerError: there is no PREFECT_API_URL, and no server could be started.
    """
    deployments = load_deployments(root / "prefect.yaml", interval_seconds, names)
    url = any_server(root)
    print(f"Prefect: {url.removesuffix('/api')}", flush=True)
    os.environ[SERVED] = "1"
    serve(*deployments)


def main(argv: list[str]) -> int:
    """Exit status: 0, 1 after a failure, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m flows", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="DEPLOYMENT", help="what to serve of prefect.yaml; all of it"
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        metavar="SECONDS",
        help="run what has a schedule this often instead",
    )
    arguments = parser.parse_args(argv)
    return exit_status(
        "flows", lambda: serve_flows(Path.cwd(), arguments.interval, arguments.names)
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 1")
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
