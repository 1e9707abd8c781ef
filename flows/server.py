"""A Prefect server of our own.

The temporary one that Prefect starts fires no schedules. It also shares the process group of the
flow, so that Ctrl-C ends it first, and the flow waits for minutes to tell it of its end.
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from prefect.context import refresh_global_settings_context
from prefect.settings import PREFECT_API_URL

from tasks.children import end_groups, start_module
from tasks.core.errors import TilthError

HOST = "127.0.0.1"
PORT = 4200
START_SECONDS = 120.0
LOG = Path(".cache/prefect/server.log")


class ServerError(TilthError):
    """The Prefect server did not start."""


class Server(NamedTuple):
    """The URL of a server's API, and its process."""

    url: str
    process: subprocess.Popen[bytes]


def start_server(root: Path, port: int | None = None) -> Server:
    """Starts a server that ends with this process at the latest.

    Without a `port` it takes 4200, or any other if that is in use.

    Raises:
        ServerError: it ended, or did not answer in two minutes; names its log.
    """
    port = port or free_port()
    log = root / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ("prefect", "server", "start", "--host", HOST, "--port", str(port))
    with log.open("wb") as output:
        process = start_module(command, root, output)
    try:
        url = f"http://{HOST}:{port}/api"
        _await_health(url, process, log)
    except BaseException:
        end_groups([process])
        raise
    return Server(url, process)


def any_server(root: Path) -> str:
    """The URL of the API that PREFECT_API_URL names, or of a server of our own.

    Raises ServerError as `start_server` does.
    """
    if named := PREFECT_API_URL.value():
        return named
    # Left to end with this process: Prefect still sends it logs when all else is done.
    url = start_server(root).url
    # For all of the process, as Prefect has threads that know no other settings: from one of them
    # it would start a temporary server, which a killed flow leaves behind.
    os.environ["PREFECT_API_URL"] = url
    refresh_global_settings_context()
    return url


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
