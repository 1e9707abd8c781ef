"""What the benchmark of deliveries counts, it sees."""

import argparse
import random
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

from benchmarks import delivery
from benchmarks.delivery_faults import connections
from benchmarks.receiver import Receiver, Reply, Request, receiving
from benchmarks.telling import Teller, kill, lay_all_down, slow
from monitoring.store import Store, parse_store


def rows_of(cell: str, **options: int) -> dict[str, float]:
    setting = SimpleNamespace(options=argparse.Namespace(**options))
    measure = next(one.measure for one in delivery.CELLS if one.name == cell)
    return {row.name.partition(": ")[2]: row.value for row in measure(setting)}  # type: ignore


def test_receivers_at_fault_are_told_and_nobody_else_is_asked() -> None:
    rows = rows_of("receivers", faulty_alerts=1)
    assert [value for name, value in rows.items() if name.startswith("told to")] == [1] * 4
    assert rows["waited, Retry-After 600"] == 600
    assert rows["redirects followed, of all"] == 0
    assert rows["connections to addresses not allowed, of those tried"] == 0


def test_a_connection_is_seen_and_so_is_a_second_key() -> None:
    seen = connections()
    with receiving(lambda _: Reply()) as receiver:
        port = int(receiver.url.split(":")[2].partition("/")[0])
        socket.create_connection(("127.0.0.1", port)).close()
    assert seen == [("127.0.0.1", port)]
    twice = Receiver(lambda _: Reply())
    for key, number in (("a", 0), ("a", 0), ("b", 1)):
        twice.take(Request(key, {"fingerprint": f"{number}", "state": "firing"}))
    assert delivery.num_renamed(twice) == 0
    twice.take(Request("c", {"fingerprint": "1", "state": "firing"}))
    assert delivery.num_renamed(twice) == 1


def test_a_teller_that_was_killed_has_told_some_and_the_next_one_tells_the_rest(
    tmp_path: Path,
) -> None:
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    lay_all_down(store, 12)
    with receiving(slow) as receiver:
        teller = Teller(tmp_path, f"sqlite:///{tmp_path}/store.sqlite", receiver)
        died: list[subprocess.Popen[bytes]] = []
        teller.disturb(lambda process: (kill(process), died.append(process))[0], random.Random(0))
        assert died[0].returncode == -9 and 1 <= len(receiver.keys) < 12
        assert teller.run() == 0 and len(receiver.keys) == 12
        assert len(receiver.requests) - 12 <= 1
    store.close()
