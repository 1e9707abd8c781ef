"""Servers in processes of their own, on free ports of the loopback, and those who ask them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.record import ROOT
from serving.address import await_address

_PATIENCE_SECONDS = 60.0


class Server:
    """`python -m serving` in a folder, with settings by name; or another module that says in the
    same words where it listens."""

    def __init__(
        self,
        folder: Path,
        environ: dict[str, str] | None = None,
        module: str = "serving",
        **settings: Any,
    ) -> None:
        self.folder, self.module = folder, module
        self.log = folder / f"{module}.log"
        named = {f"TILTH_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
        kept = {name: text for name, text in os.environ.items() if not name.startswith("TILTH_")}
        near = {"TILTH_SERVE_PORT": "0", "TILTH_SERVE_POLL_SECONDS": "0.1"}
        self.environ = {**kept, **near, **named, **(environ or {}), "PYTHONPATH": str(ROOT)}

    def start(self) -> None:
        """Returns when it listens. Raises TilthError with the end of its log if it does not."""
        with self.log.open("w") as log:
            command = [sys.executable, "-m", self.module]
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdout=log, stderr=log
            )
        self.address = await_address(self.log, self.process)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=30, trust_env=False)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As an operator does; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=_PATIENCE_SECONDS)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder}/runs/monitoring/store.sqlite"


@contextmanager
def serving(
    folder: Path, environ: dict[str, str] | None = None, module: str = "serving", **settings: Any
) -> Iterator[Server]:
    """A server that listens, and is gone when the block ends."""
    server = Server(folder, environ, module, **settings)
    try:
        server.start()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


async def ask_until_dead(
    address: str, image: bytes, acknowledged: list[str], num_clients: int, seconds: float
) -> None:
    """Asks from several clients until there is no answer, or for so long; ids of predictions go
    into `acknowledged` as they are answered."""
    end = time.monotonic() + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        while time.monotonic() < end:
            try:
                answered = await client.post("/predict", files={"image": ("a.png", image)})
            except httpx.HTTPError:
                return
            if answered.status_code == 200:
                acknowledged.append(answered.json()["predictions"][0]["prediction_id"])

    async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
        await asyncio.gather(*(ask(client) for _ in range(num_clients)))


def kill_under_load(
    server: Server, image: bytes, acknowledged: list[str], num_clients: int, num_before: int
) -> None:
    """`kill -9` after so many answers more, while the clients go on asking."""

    async def both() -> None:
        asking = ask_until_dead(server.address, image, acknowledged, num_clients, 60)
        asked = asyncio.create_task(asking)
        before = len(acknowledged)
        while len(acknowledged) < before + num_before and not asked.done():
            await asyncio.sleep(0.005)
        server.process.kill()
        await asked

    asyncio.run(both())
    server.process.wait()


def wait_until(holds: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it does not hold after {seconds:g} s")
        time.sleep(0.05)
