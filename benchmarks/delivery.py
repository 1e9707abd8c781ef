"""What is to be told is told, and once: `python -m benchmarks.delivery`.

killed     `python -m monitoring deliver` killed (-9) 20 times while it tells a webhook
flow       the Prefect flow that delivers, killed 3 times in the middle of it
database   PostgreSQL, which holds the outbox, killed 5 times while it is told from
receivers  webhooks that hang, hang up, answer 500 or 429, redirect; addresses that are not allowed
lasting    drift of two days, watched and told every hour, twice as after a crash: how often people
           hear of it

The receiver is a real one, on loopback. An alert may come twice only where the process died between
the receiver's answer and its own note of it; it then comes under the same key. That predictions
outlive the death of the server and of the database is measured by `python -m benchmarks.serving`.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.drift_speed import MODEL, generate
from benchmarks.postgresql import running_postgresql
from benchmarks.receiver import Receiver, Reply, receiving
from benchmarks.record import ROOT, Row, make_row
from benchmarks.watched import Seen, as_reference, as_window
from benchmarks.workspace import environment, temporary_folder
from monitoring.alerts import Alert
from monitoring.baseline import Baseline
from monitoring.channels import Webhook
from monitoring.outbox import deliver, lay_down
from monitoring.params import load_params
from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import DELIVERIES, PREDICTIONS
from monitoring.telling import Span
from monitoring.watch import Readers, watch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
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


def measure_killed(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder, receiving(slow) as receiver:
        teller = Teller(folder, f"sqlite:///{folder}/store.sqlite", receiver)
        yield from _kill(setting.options.kills, "killed", teller, receiver, folder, setting)


def measure_flow(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder, receiving(slow) as receiver:
        # Without a model there is nothing to watch, and all the more to deliver.
        (folder / "models/champion").mkdir(parents=True)
        (folder / "models/champion/NONE").touch()
        (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        command = ("-m", "flows.monitoring")
        teller = Teller(folder, f"sqlite:///{folder}/store.sqlite", receiver, *command)
        yield from _kill(setting.options.flow_kills, "flow", teller, receiver, folder, setting)


def _kill(
    times: int, cell: str, teller: Teller, receiver: Receiver, folder: Path, setting: Setting
) -> Iterator[Row]:
    store, rng = Store(parse_store(f"sqlite:///{folder}/store.sqlite")), random.Random(0)
    lay_all_down(store, setting.options.alerts)
    for number in range(times):
        say(f"{cell}: kill {number + 1} of {times}")
        teller.disturb(kill, rng)
    told_before = len(receiver.keys)
    assert teller.run() == 0, (folder / "log").read_text()
    yield make_row(f"{cell}: alerts told before the last kill", told_before, "")
    yield from _judge(cell, store, receiver, setting.options.alerts, times)


def measure_database(setting: Setting) -> Iterator[Row]:
    times, num_alerts = setting.options.database_kills, setting.options.alerts
    with (
        temporary_folder() as folder,
        running_postgresql() as database,
        receiving(slow) as receiver,
    ):
        url, rng = database.make_database("outbox"), random.Random(0)
        store = Store(parse_store(url))
        lay_all_down(store, num_alerts)
        teller = Teller(folder, url, receiver)
        for number in range(times):
            say(f"database: kill {number + 1} of {times}")
            teller.disturb(lambda _: database.kill(), rng)
            database.start()
        assert teller.run() == 0, (folder / "log").read_text()
        yield from _judge("database", store, receiver, num_alerts, times)


def _judge(
    cell: str, store: Store, receiver: Receiver, num_alerts: int, times: int
) -> Iterator[Row]:
    """What has arrived, told apart by key as a receiver would."""
    keys = receiver.keys
    told = {request.document["fingerprint"] for request in receiver.requests}
    noted = len(store.load(DELIVERIES, state="delivered"))
    store.close()
    yield make_row(f"{cell}: alerts told, of all", len(told), "", num_alerts)
    yield make_row(f"{cell}: noted as delivered, of all", noted, "", num_alerts)
    yield make_row(f"{cell}: told under more than one key", _num_renamed(receiver), "")
    again = sum(count - 1 for count in keys.values())
    yield make_row(f"{cell}: came again under the same key, of deaths", again, "", times)


def _num_renamed(receiver: Receiver) -> int:
    names = {(one.document["fingerprint"], one.document["state"], one.key)
             for one in receiver.requests}  # fmt: skip
    counts = Counter(name[:2] for name in names)
    return sum(count > 1 for count in counts.values())


# How a receiver answers an alert, by how often it came before; each is well at last.
FAULTY: dict[str, Callable[[int], Reply]] = {
    "hangs twice": lambda before: Reply(seconds=1.0 if before < 2 else 0.0),
    "hangs up twice": lambda before: Reply(0 if before < 2 else 200),
    "answers 500 three times": lambda before: Reply(500 if before < 3 else 200),
    "answers 429, Retry-After 600": lambda before: (
        Reply(200) if before else Reply(429, {"Retry-After": "600"})
    ),
}
REDIRECTS = ("http://127.0.0.1:{port}/other", "http://169.254.169.254/latest/meta-data/")
FORBIDDEN = (
    "https://127.0.0.1:{port}/", "https://localhost:{port}/", "https://[::1]:{port}/",
    "https://2130706433:{port}/", "https://0x7f.1:{port}/", "https://[::ffff:127.0.0.1]:{port}/",
    "https://169.254.169.254/", "https://10.0.0.1/", "https://[fd00::1]/",
    "http://127.0.0.1:{port}/", "http://169.254.169.254/latest/meta-data/",
)  # fmt: skip


def measure_receivers(setting: Setting) -> Iterator[Row]:
    num_alerts = setting.options.faulty_alerts
    for name, reply in FAULTY.items():
        say(f"a receiver that {name}")
        with temporary_folder() as folder, receiving(reply) as receiver:
            hook, asked_at = _hook(receiver.url, True), []
            states = _tell(folder, hook, num_alerts, lambda now, at=asked_at: at.append(now))
            yield make_row(
                f"receivers: told to one that {name}, of all", states["delivered"], "", num_alerts
            )
            yield make_row(
                f"receivers: keys of an alert, {name}", len(receiver.keys) / num_alerts, ""
            )
            if "429" in name:
                waited = (asked_at[-1] - asked_at[0]).total_seconds()
                yield make_row("receivers: waited, Retry-After 600", waited, "s", 600)
    yield from _where_nobody_goes(num_alerts)


def _where_nobody_goes(num_alerts: int) -> Iterator[Row]:
    connected = _connections()
    with receiving(lambda _: Reply()) as other:
        port = other.url.rpartition(":")[2].partition("/")[0]
        num_followed = 0
        for target in REDIRECTS:
            headers = {"Location": target.format(port=port)}
            with (
                temporary_folder() as folder,
                receiving(lambda _, headers=headers: Reply(307, headers)) as receiver,
            ):
                connected.clear()
                _tell(folder, _hook(receiver.url, True), num_alerts, lambda _: None)
                ours = int(receiver.url.rpartition(":")[2].partition("/")[0])
                num_followed += sum(place[1] != ours for place in connected)
        num_tried = num_alerts * len(REDIRECTS)
        yield make_row("receivers: redirects followed, of all", num_followed, "", num_tried)
        connected.clear()
        for address in FORBIDDEN:
            with temporary_folder() as folder:
                _tell(folder, _hook(address.format(port=port), False), 1, lambda _: None)
        yield make_row(
            "receivers: connections to addresses not allowed, of those tried",
            len(connected), "", len(FORBIDDEN),
        )  # fmt: skip


def _connections() -> list[tuple[str, int]]:
    """Where this process connects to from now on, as the interpreter itself tells."""
    found: list[tuple[str, int]] = []

    def hear(name: str, arguments: tuple) -> None:
        if name == "socket.connect" and isinstance(arguments[1], tuple):
            found.append(arguments[1][:2])

    sys.addaudithook(hear)
    return found


def _hook(url: str, allow_private: bool) -> Webhook:
    os.environ["BENCHMARK_HOOK"] = url
    return Webhook(
        type="webhook", url="env:BENCHMARK_HOOK", allow_private=allow_private, timeout_seconds=0.3
    )


def _tell(
    folder: Path, hook: Webhook, num_alerts: int, asked: Callable[[datetime], None]
) -> Counter[str]:
    """States of the deliveries after a day, of which a minute passes from one try to the next."""
    store, now = Store(parse_store(f"sqlite:///{folder}/store.sqlite")), datetime.now(UTC)
    lay_all_down(store, num_alerts)
    end = now + DAY
    while now < end and store.load(DELIVERIES, state="pending"):
        if list(deliver(store, {"hook": hook.send}, now)):
            asked(now)
        now += MINUTE
    states = Counter(row["state"] for row in store.load(DELIVERIES))
    store.close()
    return states


def measure_lasting(setting: Setting) -> Iterator[Row]:
    """Quiet, then drifting from the 6th hour to the 54th, then quiet."""
    params, _ = load_params(ROOT / "params.yaml")
    fewer = params.model_copy(update={"num_permutations": 499})
    baseline = Baseline(as_reference(generate(1500, 0), MODEL), MODEL, fewer, 0)
    told: list[tuple[int, str]] = []
    with temporary_folder() as folder:
        store = Store(parse_store(f"sqlite:///{folder}/store.sqlite"))
        for hour in range(72):
            span = _fill(store, hour, is_drifting=6 <= hour < 54)
            for _ in range(2):
                watch(store, baseline, span, span.end, Readers(["hook"], {}))
                send = {"hook": lambda alert, _, hour=hour: told.append((hour, alert.state))}
                list(deliver(store, send, span.end))
        store.close()
    counts = Counter(state for _, state in told)
    hours = [hour for hour, state in told if state != "resolved"]
    say(f"told: {told}")
    yield make_row("lasting: told that it begins", counts["firing"], "")
    yield make_row("lasting: told that it lasts, in two days of drift", counts["reminder"], "")
    yield make_row("lasting: told that it is over", counts["resolved"], "")
    closest = min((later - one for one, later in pairwise(hours)), default=0)
    yield make_row("lasting: least time between two that tell of it", closest, "h")
    yield make_row("lasting: hours from the first that drifts", hours[0] - 6 if hours else -1, "h")


def _fill(store: Store, hour: int, is_drifting: bool) -> Span:
    """The predictions of an hour."""
    seen: Seen = generate(300, hour + 1)
    if is_drifting:
        seen = seen._replace(embeddings_ND=seen.embeddings_ND + np.float32(0.6))
    start = NOON + hour * HOUR
    store.save(PREDICTIONS, [
        {
            "prediction_id": f"{hour:04d}{one['prediction_id']}",
            "request_id": None,
            "predicted_at": to_micros(start + timedelta(seconds=number)),
            "seconds": 0.01,
            "model_sha256": MODEL.sha256,
            "predicted": one["predicted"],
            "probabilities": np.asarray(one["probabilities"], "<f4").tobytes(),
            "embedding": np.asarray(one["embedding"], "<f4").tobytes(),
            "refused": "",
            "abstained": False,
            "kept": "",
            "metadata": json.dumps({"brightness": one["brightness"]}),
        }
        for number, one in enumerate(as_window(seen, MODEL).to_dict("records"))
    ])  # fmt: skip
    return Span(start, start + HOUR)


CELLS = (
    Cell("killed", measure_killed),
    Cell("flow", measure_flow),
    Cell("database", measure_database),
    Cell("receivers", measure_receivers),
    Cell("lasting", measure_lasting),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("delivery", __doc__, CELLS)
    parser.add_argument("--alerts", type=int, default=200, help="to be told (%(default)s)")
    parser.add_argument("--faulty-alerts", type=int, default=10, help="of each receiver")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--flow-kills", type=int, default=3)
    parser.add_argument("--database-kills", type=int, default=5)
    run_cells("delivery", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
