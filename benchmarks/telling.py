"""Alerts that are to be told, and commands that tell them, to be disturbed."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.receiver import Receiver, Reply
from benchmarks.record import ROOT
from benchmarks.workspace import environment
from monitoring.alerts import Alert
from monitoring.outbox import lay_down
from monitoring.store import Store

MINUTE = timedelta(minutes=1)
ALERTS = """
hours: 24.0
links: {what to do: "https://example.org/drift"}
channels:
  hook: {type: webhook, url: env:BENCHMARK_HOOK, allow_private: true, timeout_seconds: 5.0}
"""
_PATIENCE_SECONDS = 120.0


def an_alert(number: int) -> Alert:
    return Alert(f"{number:016x}", "firing", f"Drift, episode {number}", {}, (), {})


def lay_all_down(store: Store, num_alerts: int) -> None:
    for number in range(num_alerts):
        lay_down(store, an_alert(number), "firing", ["hook"], datetime.now(UTC) - MINUTE)


class Teller:
    """A command that delivers, as a process of its own in a folder with alerts.yaml."""

    def __init__(self, folder: Path, store: str, receiver: Receiver, *command: str) -> None:
        (folder / "alerts.yaml").write_text(ALERTS, encoding="utf-8")
        self._folder, self._command = folder, command or ("-m", "monitoring", "deliver")
        self._receiver = receiver
        self._environ = {
            **environment(),
            "PYTHONPATH": str(ROOT),
            "TILTH_SERVE_STORE": store,
            "BENCHMARK_HOOK": receiver.url,
        }

    def start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *self._command],
                cwd=self._folder, env=self._environ, stdout=log, stderr=log,
            )  # fmt: skip

    def run(self) -> int:
        """To its end; gives the exit status."""
        return self.start().wait(_PATIENCE_SECONDS)

    def disturb(self, act: Callable[[subprocess.Popen[bytes]], None], rng: random.Random) -> None:
        """Acts a moment after some alerts of a run have arrived."""
        process = self.start()
        some = len(self._receiver.requests) + rng.randint(1, 8)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self._receiver.requests) < some and process.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing is told: {(self._folder / 'log').read_text()}")
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        act(process)
        process.wait(_PATIENCE_SECONDS)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def slow(_: int) -> Reply:
    return Reply(seconds=random.random() * 0.02)
