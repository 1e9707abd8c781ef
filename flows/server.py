"""A Prefect server of our own, for schedules: the temporary one never fires any."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks.children import end_groups, start_module
from tasks.core.errors import TilthError

HOST = "127.0.0.1"
PORT = 4200
START_SECONDS = 120.0
LOG = Path(".cache/prefect/server.log")


class ServerError(TilthError):
    """The Prefect server did not start."""


@contextmanager
def prefect_server(root: Path, port: int | None = None) -> Iterator[str]:
    """Starts a server that ends with this process, and yields the URL of its API.

    Without a `port` it takes 4200, or any other if that is in use.

    Raises:
        ServerError: it ended, or did not answer in two minutes; names its log.
    """
    port = port or free_port()
    log = root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ("prefect", "server", "start", "--host", HOST, "--port", str(port))
    with log.open("wb") as output:
        server = start_module(command, root, output)
    try:
        url = f"http://{HOST}:{port}/api"
        _await_health(url, server, log)
        yield url
    finally:
        end_groups([server])


def free_port() -> int:
    """4200, or one that the system picks if that is in use."""
    for port in (PORT, 0):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise ServerError(f"no free port on {HOST}")


def _await_health(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"prefect server start: exit status {server.returncode}; see {log}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServerError(f"no answer from {url}/health in {START_SECONDS:g} s; see {log}")
