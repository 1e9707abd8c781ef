"""Receivers at fault, and addresses that nothing may be sent to."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.cells import Setting, say
from benchmarks.receiver import Reply, receiving
from benchmarks.record import Row, make_row
from benchmarks.telling import MINUTE, lay_all_down
from benchmarks.workspace import temporary_folder
from monitoring.channels import Webhook
from monitoring.outbox import deliver
from monitoring.store import Store, parse_store
from monitoring.tables import DELIVERIES

DAY = timedelta(days=1)
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
    connected = connections()
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


def connections() -> list[tuple[str, int]]:
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
