"""Flows on real checkouts: the real Prefect, the real DVC, and processes really killed.

Long because it holds the graphs that are run.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

RunModule = Callable[..., subprocess.Popen[str]]
MakeCheckout = Callable[[str], Path]

CHAIN = """
stages:
  ingest: {cmd: cat params.yaml > raw, deps: [params.yaml], outs: [raw]}
  quality: {cmd: cat raw > page, deps: [raw], outs: [page]}
  card: {cmd: cat verdict > card, deps: [verdict], outs: [card]}
  promote: {cmd: cat raw > verdict, deps: [raw], outs: [verdict]}
  report: {cmd: cat raw > report, deps: [raw], outs: [report]}
"""
# Each of these ends only once the one it waits for has begun.
MEET = (
    "date +%s.%N > {0}; touch {0}.on; n=0;"
    " until test -e {1}.on; do sleep 0.1; n=$((n+1)); test $n -lt 300 || exit 1; done;"
    " sleep 0.5; date +%s.%N >> {0}"
)
SIDE_BY_SIDE = "stages:\n" + "".join(
    f"  {name}: {{cmd: '{MEET.format(name, other)}', outs: [{name}], meta: {{tags: [{tag}]}}}}\n"
    for name, other, tag in (
        ("a", "c", "compute"),
        ("b", "b", "compute"),
        ("c", "d", "plain"),
        ("d", "c", "plain"),
    )
)
BROKEN = """
stages:
  ingest: {cmd: echo 1 > raw, outs: [raw]}
  broken: {cmd: "echo lost; exit 3", deps: [raw], outs: [weights]}
  card: {cmd: cat verdict > card, deps: [verdict], outs: [card]}
  promote: {cmd: cat weights > verdict, deps: [weights], outs: [verdict]}
  report: {cmd: "sleep 1; cat raw > report", deps: [raw], outs: [report]}
"""
FLAKY = """
stages:
  flaky:
    cmd: "test -e tried && echo 1 > out || { touch tried; exit 1; }"
    outs: [out]
    meta: {retries: 1}
"""
SLOW = """
stages:
  ingest: {cmd: echo 1 > raw, outs: [raw]}
  quality: {cmd: "echo $$ > started; sleep 60; cat raw > page", deps: [raw], outs: [page]}
"""


@pytest.fixture
def targets(prefect_api: str) -> Callable[..., dict[str, str]]:
    """Runs a flow over the given targets of the current directory; what became of each stage."""
    from prefect import flow

    from flows.run import checkout, task_runner

    def run(*names: str) -> dict[str, str]:
        @flow(task_runner=task_runner(), persist_result=False)
        def some() -> Any:
            with checkout("some", 0.0) as held:
                return held.run_stages(*names)

        return {outcome.stage: outcome.outcome for outcome in some()}

    return run


def last_artifact(key: str) -> str:
    from prefect.artifacts import Artifact

    artifact: Any = Artifact.get(key)
    return str(artifact.data)


def span(path: Path) -> tuple[float, float]:
    start, end = path.read_text().split()
    return float(start), float(end)


def await_file(path: Path, seconds: float = 40) -> str:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.05)
    return path.read_text()


def processes_in(root: Path) -> list[str]:
    """The command lines of all other processes that work in a checkout."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid():
                continue
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == root:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def await_nobody(root: Path, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while (left := processes_in(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_stages_run_are_skipped_and_are_restored(
    make_checkout: MakeCheckout, targets: Callable[..., dict[str, str]]
) -> None:
    root = make_checkout(CHAIN)
    assert targets("quality") == {"ingest": "ran", "quality": "ran"}
    assert targets("quality") == {"ingest": "skipped", "quality": "skipped"}
    (root / "params.yaml").write_text("{b: 2}\n")
    assert targets("quality", "report") == {"ingest": "ran", "quality": "ran", "report": "ran"}
    (root / "params.yaml").write_text("{}\n")
    assert targets("quality") == {"ingest": "restored", "quality": "restored"}
    assert (root / "page").read_text() == "{}\n"
    assert "| quality | restored |" in last_artifact("tilth-some")


def test_compute_takes_turns_and_the_rest_runs_side_by_side(
    make_checkout: MakeCheckout, targets: Callable[..., dict[str, str]]
) -> None:
    root = make_checkout(SIDE_BY_SIDE)
    assert set(targets("a", "b", "c", "d").values()) == {"ran"}
    a, b = span(root / "a"), span(root / "b")
    assert a[1] <= b[0] or b[1] <= a[0]


def test_a_failure_is_named_and_other_branches_end(
    make_checkout: MakeCheckout, targets: Callable[..., dict[str, str]]
) -> None:
    from flows.run import FlowFailed

    root = make_checkout(BROKEN)
    with pytest.raises(FlowFailed) as caught:
        targets("promote", "report")
    message = str(caught.value)
    assert message.startswith("stage 'broken' ended with exit status 255")
    assert "\nlost\n" in message
    assert message.endswith("not run because of that: promote")
    assert (root / "report").exists()
    assert "| report | ran |" in last_artifact("tilth-some")


def test_a_second_try_is_made_where_meta_asks_for_it(
    make_checkout: MakeCheckout, targets: Callable[..., dict[str, str]]
) -> None:
    make_checkout(FLAKY)
    assert targets("flaky") == {"flaky": "ran"}


def test_a_stage_is_killed_after_its_timeout(
    make_checkout: MakeCheckout,
    targets: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.run import FlowFailed
    from tasks import children

    monkeypatch.setattr(children, "GRACE_SECONDS", 1.0)
    limit = "outs: [page], meta: {timeout_seconds: 3}}"
    root = make_checkout(SLOW.replace("outs: [page]}", limit))
    with pytest.raises(FlowFailed, match="stage 'quality' was killed after 3 s"):
        targets("quality")
    assert not any("sleep" in line for line in processes_in(root))


def test_wrong_params_stop_the_flow_before_any_stage(
    make_checkout: MakeCheckout, targets: Callable[..., dict[str, str]]
) -> None:
    from flows.run import FlowFailed

    root = make_checkout(CHAIN)
    (root / "params.yaml").write_text("wrong\n")
    with pytest.raises(FlowFailed, match=r"ParamsError: finetune\.epochs: wrong"):
        targets("quality")
    assert not (root / "raw").exists()


def set_verdict(root: Path, word: str) -> None:
    (root / "metrics").mkdir()
    (root / "metrics" / "promote.json").write_text(json.dumps({"verdict": word}))


@pytest.mark.parametrize(("word", "expected"), [("first", True), ("refused", False)])
def test_what_the_gate_lets_through_is_published(
    prefect_api: str, make_checkout: MakeCheckout, word: str, expected: bool
) -> None:
    from flows.training import training

    root = make_checkout(CHAIN)
    set_verdict(root, word)
    assert [outcome.stage for outcome in training()] == [*("ingest", "promote", "report", "card")]
    assert (root / "published").exists() is expected


def test_nothing_is_published_that_need_not_be(
    make_checkout: MakeCheckout, run_module: RunModule
) -> None:
    root = make_checkout(CHAIN)
    set_verdict(root, "pass")
    flow = run_module(root, "flows.training", "--no-publish")
    output, _ = flow.communicate(timeout=60)
    assert flow.returncode == 0, output
    assert not (root / "published").exists()


@pytest.mark.parametrize("take_in", [True, False])
def test_a_new_snapshot_is_named_before_the_first_stage_where_asked(
    prefect_api: str, make_checkout: MakeCheckout, take_in: bool
) -> None:
    from flows.data import data

    root = make_checkout(CHAIN)
    assert [outcome.stage for outcome in data(take_in=take_in)] == ["ingest", "quality"]
    assert (root / "taken_in").exists() is take_in


def test_a_failure_ends_the_command_with_1_and_a_clear_line(
    make_checkout: MakeCheckout, run_module: RunModule
) -> None:
    root = make_checkout(BROKEN)
    flow = run_module(root, "flows.training", "--no-wait")
    output, _ = flow.communicate(timeout=60)
    assert flow.returncode == 1
    assert re.search(r"^FlowFailed: stage 'broken' ended with exit status 255", output, re.M)


def test_a_killed_flow_leaves_nobody_and_the_next_recovers(
    make_checkout: MakeCheckout, run_module: RunModule
) -> None:
    root = make_checkout(SLOW)
    flow = run_module(root, "flows.data")
    shell = int(await_file(root / "started"))
    assert psutil.pid_exists(shell)
    second = run_module(root, "flows.data", "--no-wait")
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"BusyError: {root} is in use by flow 'data' (process {flow.pid} on " in output

    flow.send_signal(signal.SIGKILL)
    flow.wait()
    await_nobody(root)
    graph = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(graph.replace("sleep 60", "sleep 0"))
    third = run_module(root, "flows.data", "--no-wait")
    output, _ = third.communicate(timeout=60)
    assert third.returncode == 0, output
    assert (root / "page").read_text() == "1\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, None)])
def test_an_interrupted_flow_leaves_nobody(
    make_checkout: MakeCheckout, run_module: RunModule, number: signal.Signals, status: int | None
) -> None:
    root = make_checkout(SLOW)
    flow = run_module(root, "flows.data")
    await_file(root / "started")
    os.kill(flow.pid, number)
    output, _ = flow.communicate(timeout=30)
    assert flow.returncode != 0
    if status is not None:
        assert flow.returncode == status
        assert output.endswith("data: interrupted; run again to go on\n")
    await_nobody(root)
    assert not (root / ".cache" / "run.lock").read_text()


def test_the_demo_ends_with_what_came_of_it(
    make_checkout: MakeCheckout, run_module: RunModule
) -> None:
    root = make_checkout(CHAIN)
    set_verdict(root, "first")
    demo = run_module(root, "flows.demo", "--no-publish")
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, output
    table = output[output.index("stage    outcome  seconds") :]
    assert re.findall(r"^(\w+) +(ran|skipped|restored) ", table, re.M) == [
        ("ingest", "ran"),
        ("quality", "ran"),
        ("promote", "ran"),
        ("report", "ran"),
        ("card", "ran"),
    ]
    assert "promote: first" in table
