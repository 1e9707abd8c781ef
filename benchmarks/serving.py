"""The service under load, under attack, and killed: `python -m benchmarks.serving`.

load        requests/s, latency and processor time of one image a request at 1, 8 and 64 clients,
            beside a bare handler (FastAPI, Pillow, ONNX Runtime) and the same service without a
            record (which may cost 10 %; it measures images all the same); and with every record
            synced to the disk before its answer
endurance   10 minutes at 8 clients: memory at their end against that after the first
killed      kill -9 of the server 20 times under load: every answer in the store, and once
database    PostgreSQL killed 5 times under load: the same
attacks     requests that must not be answered, or harm: how many were, and errors of ours (none)

The model is that of the digits, trained for a few epochs in a clone; the image a digit in PNG that
it does not abstain from. Client and server share the machine. A server is asked for `--seconds` at
a time, all of them in turn.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pandas as pd

from benchmarks import attacks
from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.load import Load
from benchmarks.postgresql import running_postgresql
from benchmarks.published import publish_from, trained
from benchmarks.record import ROOT, Row, make_row
from benchmarks.served import Server, ask_until_dead, kill_under_load, serving, wait_until
from benchmarks.workspace import (
    processor_seconds,
    resident_bytes,
    run,
    temporary_folder,
)
from monitoring.layout import load_window

NUM_CLIENTS = (1, 8, 64)
MB = 1e6
# Names of what is compared, each with the module and the settings of its server.
SERVERS = {
    "recorded": ("serving", {}),
    "not recorded": ("serving", {"recorded": False}),
    "synced": ("serving", {"synced": True}),
    "bare": ("benchmarks.bare_handler", {}),
}
FACETS = {
    "per_second": ("", "requests/s"),
    "p50": (" p50", "ms"),
    "p95": (" p95", "ms"),
    "p99": (" p99", "ms"),
    "processor": (" processor time a request", "ms"),
}


class Asked(NamedTuple):
    """`processor`: milliseconds that the server and its children spent on a request."""

    load: Load
    processor: float

    def facet(self, name: str) -> float:
        return self.processor if name == "processor" else getattr(self.load, name)


def measure_load(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder:
        image = folder / "image"
        found: dict[tuple[str, int], list[Asked]] = {}
        with ExitStack() as stack:
            servers = {}
            for name, (module, settings) in SERVERS.items():
                home = folder / name
                home.mkdir()
                image.write_bytes(publish_from(trained(setting), home))
                servers[name] = stack.enter_context(serving(home, module=module, **settings))
            for number in range(setting.options.repeats):
                for clients in NUM_CLIENTS:
                    say(f"{clients} clients, {number + 1} of {setting.options.repeats}")
                    # In another order each time, so that none always follows the same one.
                    for name in list(servers)[number % 4 :] + list(servers)[: number % 4]:
                        asked = ask(servers[name], image, clients, setting.options.seconds)
                        found.setdefault((name, clients), []).append(asked)
        for clients in NUM_CLIENTS:
            yield from _compare(found, clients)


def ask(server: Server, image: Path, num_clients: int, seconds: float) -> Asked:
    asked = ("python", "-m", "benchmarks.load", server.address, str(image))
    before = processor_seconds(server.process.pid)
    load = Load(**json.loads(run(ROOT, *asked, str(num_clients), str(seconds)).output))
    spent = processor_seconds(server.process.pid) - before
    return Asked(load, 1000 * spent / (load.per_second * seconds))


def _compare(found: dict[tuple[str, int], list[Asked]], clients: int) -> Iterator[Row]:
    for name, reference in (
        ("recorded", "not recorded"),
        ("recorded", "bare"),
        ("synced", "not recorded"),
    ):
        for facet, (what, unit) in FACETS.items():
            values, beside = (
                [one.facet(facet) for one in found[which, clients]] for which in (name, reference)
            )
            yield make_row(
                f"load: {clients} clients,{what} {name}, against {reference}", values, unit, beside
            )
    failed = sum(one.load.num_failed for (_, n), several in found.items() if n == clients
                 for one in several)  # fmt: skip
    yield make_row(f"load: {clients} clients, not answered with 200 by any of them", failed, "")


def measure_endurance(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder:
        image = folder / "image"
        image.write_bytes(publish_from(trained(setting), folder))
        with serving(folder) as server:
            held: list[int] = []
            num_failed = 0
            for minute in range(setting.options.minutes):
                num_failed += ask(server, image, 8, 60.0).load.num_failed
                held.append(resident_bytes(server.process.pid))
                say(f"minute {minute + 1}: {held[-1] / MB:.0f} MB")
            minutes = f"{setting.options.minutes} minutes"
            yield make_row(
                f"endurance: memory after {minutes}, against one", held[-1] / MB, "MB",
                held[0] / MB,
            )  # fmt: skip
            yield make_row("endurance: not answered with 200", num_failed, "")


def measure_killed(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder:
        image = publish_from(trained(setting), folder)
        server, acknowledged = Server(folder), []
        for number in range(setting.options.kills):
            say(f"kill {number + 1} of {setting.options.kills}")
            server.start()
            kill_under_load(server, image, acknowledged, 8, 100)
        with serving(folder) as server:
            assert server.stop() == 0
        yield from _judge("killed", acknowledged, server.store)


def measure_database(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder, running_postgresql() as database:
        image = publish_from(trained(setting), folder)
        url, acknowledged = database.make_database("watched"), []
        with serving(folder, {"STORE": url}, store="env:STORE") as server:
            for number in range(setting.options.database_kills):
                say(f"database killed {number + 1} times")
                asyncio.run(ask_until_dead(server.address, image, acknowledged, 8, 1.0))
                database.kill()
                asyncio.run(ask_until_dead(server.address, image, acknowledged, 8, 1.0))
                database.start()
            wait_until(lambda: _journal_bytes(server) == 0, 120)
        yield from _judge("database", acknowledged, url)


def _journal_bytes(server: Server) -> float:
    text = httpx.get(f"{server.address}/metrics", trust_env=False).text
    lines = (line for line in text.splitlines() if line.startswith("tilth_journal_bytes "))
    return float(next(lines).split()[1])


def _judge(cell: str, acknowledged: list[str], store: str) -> Iterator[Row]:
    kept = _ids(store)
    once = sum(kept[one] == 1 for one in acknowledged)
    yield make_row(
        f"{cell}: acknowledged predictions in the store once, of all", once, "", len(acknowledged)
    )
    yield make_row(f"{cell}: in the store more than once", sum(n > 1 for n in kept.values()), "")


def _ids(store: str) -> Counter[str]:
    now = datetime.now(UTC)
    window: pd.DataFrame = load_window(store, now - timedelta(days=1), now + timedelta(days=1))
    return Counter(window["prediction_id"])


def measure_attacks(setting: Setting) -> Iterator[Row]:
    with temporary_folder() as folder:
        image = publish_from(trained(setting), folder)
        for found in attacks.attack(folder, image, setting.options.examples):
            yield make_row(f"attacks: {found.name}, of all", found.num_bad, "", found.num_tried)


CELLS = (
    Cell("load", measure_load),
    Cell("endurance", measure_endurance),
    Cell("killed", measure_killed),
    Cell("database", measure_database),
    Cell("attacks", measure_attacks),
)


def main(argv: list[str]) -> None:
    parser = topic_parser("serving", __doc__, CELLS)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each server (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn (%(default)s)")
    parser.add_argument("--minutes", type=int, default=10, help="of endurance (%(default)s)")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--database-kills", type=int, default=5)
    parser.add_argument("--examples", type=int, default=100, help="of schemathesis, per route")
    run_cells("serving", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
