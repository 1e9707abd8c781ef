"""What is to be told is told, and once: `python -m benchmarks.delivery`.

killed     `python -m monitoring deliver` killed (-9) 20 times while it tells a webhook
flow       the Prefect flow that delivers, killed 3 times in the middle of it
database   PostgreSQL, which holds the outbox, killed 5 times while it is told from
receivers  webhooks that hang, hang up, answer 500 or 429, redirect; addresses that are not allowed
lasting    drift of two days, watched and told every hour, at times twice as after a crash: how
           often people hear of it

The receiver is a real one, on loopback. An alert may come twice only where the process died between
the receiver's answer and its own note of it; it then comes under the same key. That predictions
outlive the death of the server and of the database is measured by `python -m benchmarks.serving`.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.delivery_faults import measure_receivers
from benchmarks.drift_speed import MODEL, generate
from benchmarks.postgresql import running_postgresql
from benchmarks.receiver import Receiver, receiving
from benchmarks.record import ROOT, Row, make_row
from benchmarks.telling import Teller, kill, lay_all_down, slow
from benchmarks.watched import Seen, as_reference, as_window
from benchmarks.workspace import temporary_folder
from monitoring.baseline import Baseline
from monitoring.outbox import deliver
from monitoring.params import load_params
from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import DELIVERIES, MEASURES, PREDICTIONS
from monitoring.telling import Span
from monitoring.watch import Readers, watch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


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
        command = ("-m", "flows.watching")
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
    yield from judge(cell, store, receiver, setting.options.alerts, times)


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
        yield from judge("database", store, receiver, num_alerts, times)


def judge(
    cell: str, store: Store, receiver: Receiver, num_alerts: int, times: int
) -> Iterator[Row]:
    """What has arrived, told apart by key as a receiver would."""
    keys = receiver.keys
    told = {request.document["fingerprint"] for request in receiver.requests}
    noted = len(store.load(DELIVERIES, state="delivered"))
    store.close()
    yield make_row(f"{cell}: alerts told, of all", len(told), "", num_alerts)
    yield make_row(f"{cell}: noted as delivered, of all", noted, "", num_alerts)
    yield make_row(f"{cell}: told under more than one key", num_renamed(receiver), "")
    again = sum(count - 1 for count in keys.values())
    yield make_row(f"{cell}: came again under the same key, of deaths", again, "", times)


def num_renamed(receiver: Receiver) -> int:
    names = {(one.document["fingerprint"], one.document["state"], one.key)
             for one in receiver.requests}  # fmt: skip
    counts = Counter(name[:2] for name in names)
    return sum(count > 1 for count in counts.values())


def measure_lasting(setting: Setting) -> Iterator[Row]:
    """Quiet, then drifting from the 6th hour to the 54th, then quiet."""
    params, _ = load_params(ROOT / "params.yaml")
    fewer = params.model_copy(update={"num_permutations": 399})
    baseline = Baseline(as_reference(generate(1500, 0), MODEL), MODEL, fewer, 0)
    told: list[tuple[int, str]] = []
    with temporary_folder() as folder:
        store = Store(parse_store(f"sqlite:///{folder}/store.sqlite"))
        for hour in range(72):
            span = _fill(store, hour, is_drifting=6 <= hour < 54)
            for turn in range(2):
                if turn == 0 or hour % 6 == 0:
                    watch(store, baseline, span, span.end, Readers(["hook"], {}))
                send = {"hook": lambda alert, _, hour=hour: told.append((hour, alert.state))}
                list(deliver(store, send, span.end))
        store.close()
    counts = Counter(state for _, state in told)
    hours = [hour for hour, state in told if state != "resolved"]
    yield make_row("lasting: told that it begins", counts["firing"], "")
    yield make_row("lasting: told that it lasts, in two days of drift", counts["reminder"], "")
    yield make_row("lasting: told that it is over", counts["resolved"], "")
    closest = min((later - one for one, later in pairwise(hours)), default=0)
    yield make_row("lasting: least time between two that tell of it", closest, "h")
    yield make_row("lasting: hours from the first that drifts", hours[0] - 6 if hours else -1, "h")


def _fill(store: Store, hour: int, is_drifting: bool) -> Span:
    """The predictions of an hour."""
    seen: Seen = generate(200, hour + 1)
    if is_drifting:
        seen = seen._replace(embeddings_ND=seen.embeddings_ND + np.float32(0.6))
    start = NOON + hour * HOUR
    rows = as_window(seen, MODEL).assign(
        prediction_id=[f"{hour:04d}{number:04d}" for number in range(len(seen.is_right_N))]
    )
    measured = ("prediction_id", "brightness", "contrast")
    store.save(
        MEASURES, [{name: one[name] for name in measured} for one in rows.to_dict("records")]
    )
    store.save(PREDICTIONS, [
        {
            "prediction_id": one["prediction_id"],
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
            "metadata": None,
        }
        for number, one in enumerate(rows.to_dict("records"))
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
