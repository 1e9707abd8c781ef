"""A production of our own, on loopback and gone when the block ends: a Prefect server on
PostgreSQL, two clones of the branch `production` with a worker each, a service, and somebody who is
told."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.cells import say
from benchmarks.postgresql import PostgreSQL, running_postgresql
from benchmarks.served import Server, serving, wait_until
from benchmarks.workspace import commit_all, end_tree, environment, run
from flows.server import free_port

ON_CPU = ("data", "monitoring", "delivery", "retraining", "following")
_START_SECONDS = 600.0


class Told(NamedTuple):
    """An alert as it came in."""

    at: datetime
    key: str
    alert: dict[str, Any]


class Production(NamedTuple):
    """`cpu` and `gpu` are the clones, `remote` the bare repository, `api` Prefect's address."""

    cpu: Path
    gpu: Path
    remote: Path
    api: str
    server: Server
    told: list[Told]

    def count(self, flow: str, state: str = "COMPLETED") -> int:
        """Runs of a flow that ended so, as far as the server lists them."""
        asked = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"state": {"type": {"any_": [state]}}},
        }
        with httpx.Client(base_url=self.api, timeout=60, trust_env=False) as client:
            found = client.post("/flow_runs/filter", json=asked).raise_for_status()
        return len(found.json())

    def start(self, deployment: str) -> None:
        """Has a deployment run now, as somebody at the page of Prefect would."""
        with httpx.Client(base_url=self.api, timeout=60, trust_env=False) as client:
            found = client.post("/deployments/filter", json={}).raise_for_status().json()
            (entry,) = (one for one in found if one["name"] == deployment)
            client.post(f"/deployments/{entry['id']}/create_flow_run", json={}).raise_for_status()

    def await_runs(self, flow: str, number: int, seconds: float) -> None:
        """Raises RuntimeError if one failed, TimeoutError if it takes longer."""

        def done() -> bool:
            if self.count(flow, "FAILED") or self.count(flow, "CRASHED"):
                raise RuntimeError(f"a run of {flow} failed; see the logs beside {self.cpu}")
            return self.count(flow) >= number

        await_state(done, f"{number} runs of {flow}", seconds)

    def version(self) -> int:
        """The version that is served; 0 before there is one."""
        with self.server.client() as client:
            answered = client.get("/model")
        return answered.json()["version"] if answered.status_code == 200 else 0


def await_state(holds: Callable[[], bool], name: str, seconds: float) -> None:
    """Looks twice a second. Raises TimeoutError that names what did not come about."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s: {name}")
        time.sleep(0.5)
    say(name)


@contextmanager
def production(root: Path, folder: Path) -> Iterator[Production]:
    """Begun from a clone of the project, whose params, alerts and schedules stand; the models are
    still to be made."""
    with ExitStack() as stack:
        told: list[Told] = []
        hook = stack.enter_context(_receiver(told))
        postgresql = stack.enter_context(running_postgresql())
        port = free_port()
        api = f"http://127.0.0.1:{port}/api"
        settings = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": _address(postgresql)}
        command = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
        stack.enter_context(_prefect(folder, folder / "server.log", settings, *command))
        wait_until(lambda: _answers(f"{api}/health"), _START_SECONDS)
        remote, clones = _make_clones(root, folder)
        near = {"PREFECT_API_URL": api, "HOOK": hook, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        for pool, clone in clones.items():
            with _prefect(clone, folder / "pool.log", near, "work-pool", "create", pool, "--type",
                          "process") as one:  # fmt: skip
                one.wait()
            named = ON_CPU if pool == "cpu" else ("training",)
            names = [word for name in named for word in ("--name", name)]
            with _prefect(clone, folder / f"deploy-{pool}.log", near, "deploy", *names) as one:
                if one.wait():
                    raise RuntimeError((folder / f"deploy-{pool}.log").read_text())
            worker = ("worker", "start", "--pool", pool)
            stack.enter_context(_prefect(clone, folder / f"worker-{pool}.log", near, *worker))
        server = stack.enter_context(serving(clones["cpu"], image_fraction=1.0))
        yield Production(clones["cpu"], clones["gpu"], remote, api, server, told)


def _make_clones(root: Path, folder: Path) -> tuple[Path, dict[str, Path]]:
    """A bare remote of the commit, and a clone for each pool, with one remote of DVC."""
    commit_all(root, "Begin production")
    run(root, "git", "branch", "--quiet", "--force", "production")
    remote = folder / "remote.git"
    run(folder, "git", "clone", "--quiet", "--bare", str(root), str(remote))
    clones = {pool: folder / f"clone-{pool}" for pool in ("cpu", "gpu")}
    for clone in clones.values():
        run(folder, "git", "clone", "--quiet", "--branch", "production", str(remote), str(clone))
        shared = ("--local", "--quiet", "--default", "shared", str(folder / "shared"))
        run(clone, "python", "-m", "dvc", "remote", "add", *shared)
    return remote, clones


@contextmanager
def _prefect(
    folder: Path, log: Path, settings: Mapping[str, str], *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    near = {**environment(), "PREFECT_HOME": str(log.parent / "prefect"), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-m", "prefect", "--no-prompt", *arguments),
            cwd=folder,
            env=near,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        end_tree(process)


def _address(postgresql: PostgreSQL) -> str:
    plain = postgresql.make_database("prefect")
    return plain.replace("postgresql://", "postgresql+asyncpg://")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def _receiver(told: list[Told]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers["Idempotency-Key"]
            told.append(Told(datetime.now(UTC), key, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Traffic:
    """Asks about images at a steady rate, and tells their labels at once; what is asked about may
    be changed meanwhile."""

    def __init__(self, server: Server, per_second: float) -> None:
        self._server, self._pause = server, 1 / per_second
        self._ending = threading.Event()
        self.num_answered = self.num_failed = 0
        self.next: Callable[[], tuple[bytes, str]] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        with self._server.client() as client:
            while not self._ending.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._pause, time.monotonic() - 1.0)
                if self.next is not None:
                    self._ask(client, *self.next())

    def _ask(self, client: httpx.Client, image: bytes, label: str) -> None:
        try:
            answered = client.post("/predict", files={"image": ("digit.png", image)})
            answered.raise_for_status()
            (one,) = answered.json()["predictions"]
            told = {"prediction_id": one["prediction_id"], "label": label}
            client.post("/feedback", json=told).raise_for_status()
            self.num_answered += 1
        except (httpx.HTTPError, KeyError, ValueError):
            self.num_failed += 1
