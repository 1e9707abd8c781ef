"""A real server in a process of its own, on a free port of the loopback."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
_LISTENING = re.compile(r"running on (http://\S+)")


class Server:
    """`python -m serving` in a folder; settings by name."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None, **settings: Any):
        self.folder = folder
        self.log = folder / "server.log"
        named = {f"TILTH_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
        kept = {name: text for name, text in os.environ.items() if not name.startswith("TILTH_")}
        self.environ = {
            **kept, "TILTH_SERVE_PORT": "0", "TILTH_SERVE_POLL_SECONDS": "0.1", **named,
            **(environ or {}), "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving"],
                cwd=self.folder, env=self.environ, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (found := _LISTENING.search(self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        self.address = found[1]

    def client(self, **settings: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=30, trust_env=False, **settings)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator does; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/runs/monitoring/store.sqlite"


@contextmanager
def serving(
    folder: Path, environ: dict[str, str] | None = None, **settings: Any
) -> Iterator[Server]:
    server = Server(folder, environ, **settings)
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def predict_one(client: httpx.Client, data: bytes, name: str = "a.png") -> dict[str, Any]:
    """The answer for one image."""
    answered = client.post("/predict", files={"image": (name, data)})
    assert answered.status_code == 200, answered.text
    return answered.json()["predictions"][0]


def wait_until(holds: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
