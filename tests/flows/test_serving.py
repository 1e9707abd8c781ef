"""Schedules, deployments and workers on a real Prefect server, as on a machine of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.environment import DATABASE, prepare
from flows.schedules import ScheduleError, load_deployments
from flows.server import start_server
from tasks.children import end_groups
from tasks.telemetry import TELEMETRY_OFF

MakeCheckout = Callable[[str], Path]
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def own_server(root: Path) -> Iterator[str]:
    """The URL of a server that ends with the block."""
    server = start_server(root)
    try:
        yield server.url
    finally:
        end_groups([server.process])


TINY = """
stages:
  quality: {cmd: echo 1 > page, outs: [page]}
  card: {cmd: echo 1 > card, deps: [verdict], outs: [card]}
  promote: {cmd: echo 1 > verdict, outs: [verdict]}
  report: {cmd: "sleep 3; echo 1 > report", outs: [report]}
"""

# A thread without the settings of the one that started it, as some of Prefect's are.
ANOTHER_THREAD = """
import os, sys, threading
from pathlib import Path
from flows.environment import prepare
prepare(Path.cwd(), os.environ)
from prefect.events import emit_event
from flows.server import any_server
any_server(Path.cwd())
resource = {"prefect.resource.id": "field"}
thread = threading.Thread(target=emit_event, args=("ploughed", resource))
thread.start()
thread.join()
print("emitted", flush=True)
sys.stdin.read()
"""


def environment(root: Path, **more: str) -> dict[str, str]:
    """What a person's shell has, without the server of the other tests."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, **TELEMETRY_OFF, "PREFECT_HOME": str(root / ".prefect"), **more}


def post(url: str, body: str = "{}") -> Any:
    request = urllib.request.Request(
        url, data=body.encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def await_runs(url: str, flow: str, number: int, seconds: float) -> None:
    body = (
        f'{{"flows": {{"name": {{"any_": ["{flow}"]}}}},'
        ' "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}'
    )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # On a busy machine the server may take longer than a client waits.
        with contextlib.suppress(TimeoutError):
            if len(post(f"{url}/flow_runs/filter", body)) >= number:
                return
        time.sleep(0.5)
    pytest.fail(f"fewer than {number} runs of {flow} in {seconds} s")


@pytest.mark.slow
def test_an_interval_fires_again_and_again_and_nothing_outlives_the_command(
    make_checkout: MakeCheckout,
) -> None:
    root = make_checkout(TINY)
    started: list[psutil.Process] = []
    log = root / "log"
    with log.open("w") as output:
        serving = subprocess.Popen(
            [sys.executable, "-m", "flows", "data", "training", "--interval", "10"],
            cwd=root,
            env=environment(root),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while not (lines := [x for x in log.read_text().split("\n") if x.startswith("Prefect: ")]):
            assert serving.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        url = lines[0].removeprefix("Prefect: ") + "/api"
        await_runs(url, "data", 2, seconds=60)
        started = psutil.Process(serving.pid).children(recursive=True)
        assert any("server" in process.cmdline() for process in started)
    finally:
        serving.send_signal(signal.SIGKILL)
        serving.wait()
    psutil.wait_procs(started, timeout=10)
    assert [process for process in started if process.is_running()] == []
    with pytest.raises(urllib.error.URLError):
        post(f"{url}/flow_runs/filter")


@pytest.mark.slow
def test_deployments_reach_a_server_and_a_worker_runs_them(
    make_checkout: MakeCheckout, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_checkout(TINY)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(root / ".prefect"))
    with own_server(root) as url:

        def prefect(*arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
                cwd=root,
                env=environment(root, PREFECT_API_URL=url),
                capture_output=True,
                text=True,
                timeout=90,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for pool in ("cpu", "gpu"):
            prefect("work-pool", "create", pool, "--type", "process")
        prefect("deploy", "--all")
        found = {entry["name"]: entry for entry in post(f"{url}/deployments/filter")}
        assert {"data", "training", "retraining", "following"} <= set(found)
        assert found["data"]["work_pool_name"] == "cpu"
        assert found["training"]["work_pool_name"] == "gpu"
        for entry in found.values():
            assert entry["global_concurrency_limit"]["limit"] == 1
            assert entry["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        post(f"{url}/deployments/{found['data']['id']}/create_flow_run")
        prefect("worker", "start", "--pool", "cpu", "--run-once")
        await_runs(url, "data", 1, seconds=30)
        assert (root / "page").read_text() == "1\n"


def test_no_thread_starts_another_server_and_nothing_outlives_a_killed_process(
    make_checkout: MakeCheckout,
) -> None:
    root = make_checkout(TINY)
    killed = subprocess.Popen(
        [sys.executable, "-c", ANOTHER_THREAD],
        cwd=root,
        env=environment(root),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert killed.stdout is not None
        # Prefect too says a word on standard output when it starts a server.
        while (line := killed.stdout.readline()) != b"emitted\n":
            assert line
        started = psutil.Process(killed.pid).children(recursive=True)
    finally:
        killed.kill()
        killed.wait()
    assert len(started) == 1 and "lifetime.py" in " ".join(started[0].cmdline())
    assert psutil.wait_procs(started, timeout=30)[1] == []


def test_every_deployment_of_the_project_can_be_served() -> None:
    scheduled = {d.name: d for d in load_deployments(ROOT / "prefect.yaml", None)}
    assert {"data", "training"} <= set(scheduled)
    often = load_deployments(ROOT / "prefect.yaml", 30.0)
    for deployment in (*scheduled.values(), *often):
        assert deployment.work_pool_name is None
        assert deployment.concurrency_options is not None
    # What begins with an event alone would do nothing, again and again.
    assert {d.name: "interval" in repr(d.schedules) for d in often} == {
        name: bool(deployment.schedules) for name, deployment in scheduled.items()
    }
    assert not scheduled["retraining"].schedules
    assert "cron" in repr(scheduled["data"].schedules)
    # Under the same name ingest would not run again, and a schedule take in nothing.
    assert scheduled["data"].parameters == {"take_in": True}


def test_what_a_flow_emits_starts_another() -> None:
    from flows.branch import ADVANCED
    from flows.retraining import DATA_READY

    scheduled = {d.name: d for d in load_deployments(ROOT / "prefect.yaml", None)}
    expected = {
        name: set().union(*(trigger.expect for trigger in deployment.triggers))  # type: ignore[union-attr]
        for name, deployment in scheduled.items()
    }
    assert {name: words for name, words in expected.items() if words} == {
        "retraining": {"tilth.drift.firing", "tilth.accuracy.firing"},
        "training": {DATA_READY},
        "following": {ADVANCED},
    }


def test_what_is_named_is_served_alone() -> None:
    served = load_deployments(ROOT / "prefect.yaml", None, ["training", "data"])
    assert [deployment.name for deployment in served] == ["training", "data"]
    with pytest.raises(ScheduleError, match=r"no deployment 'ploughing', but \['data'"):
        load_deployments(ROOT / "prefect.yaml", None, ["data", "ploughing"])


@pytest.mark.parametrize("text", ["", "deployments: 3", "deployments: [{name: a}]", "a: ["])
def test_a_prefect_yaml_that_cannot_be_served_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect.yaml").write_text(text)
    with pytest.raises(ScheduleError, match=r"prefect\.yaml cannot be served"):
        load_deployments(tmp_path / "prefect.yaml", None)


def test_the_history_of_runs_is_kept_in_the_checkout(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    prepare(tmp_path, environ)
    assert environ[DATABASE].endswith("/.cache/prefect/prefect.db")
    assert TELEMETRY_OFF.items() <= environ.items()


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_HOME"])
def test_who_has_a_server_or_a_home_keeps_it(tmp_path: Path, name: str) -> None:
    environ = {name: "mine"}
    prepare(tmp_path, environ)
    assert environ[name] == "mine"
    assert DATABASE not in environ
