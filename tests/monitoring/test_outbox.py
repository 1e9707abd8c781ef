"""The outbox in a real SQLite file, against a real receiver: everything is told, once."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL

from monitoring.alerts import Alert
from monitoring.outbox import deliver, lay_down, pause
from monitoring.posting import DeliveryError
from monitoring.store import Store
from monitoring.tables import DELIVERIES
from tests.monitoring.test_alerts import ALERT
from tests.monitoring.test_posting import serving

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))


class Receiver:
    """Answers each delivery as it is told to, then with success."""

    def __init__(self, *errors: DeliveryError):
        self.errors, self.received = list(errors), []

    def __call__(self, alert: Alert, delivery_id: str) -> None:
        self.received.append(delivery_id)
        if self.errors:
            raise self.errors.pop(0)


def states(store: Store) -> list[str]:
    return sorted(row["state"] for row in store.load(DELIVERIES))


def test_an_occasion_is_told_once_to_each_channel(store):
    assert lay_down(store, ALERT, "firing", ["slack", "mail"], NOW) == 2
    assert lay_down(store, ALERT._replace(title="Again"), "firing", ["slack", "mail"], NOW) == 0
    assert lay_down(store, ALERT, "resolved", ["slack"], NOW) == 1
    slack, mail = Receiver(), Receiver()
    assert len(list(deliver(store, {"slack": slack, "mail": mail}, NOW))) == 3
    assert list(deliver(store, {"slack": slack, "mail": mail}, NOW + timedelta(days=3))) == []
    assert (len(slack.received), len(mail.received)) == (2, 1)


def test_what_fails_is_tried_again_later_with_the_same_id(store):
    lay_down(store, ALERT, "firing", ["slack"], NOW)
    receiver = Receiver(DeliveryError("answered 500"), DeliveryError("answered 429", 600.0))
    channels = {"slack": receiver}
    assert [one.state for one in deliver(store, channels, NOW)] == ["pending"]
    assert list(deliver(store, channels, NOW + timedelta(seconds=59))) == []
    assert [one.reason for one in deliver(store, channels, NOW + timedelta(minutes=1))] == [
        "answered 429"
    ]
    asked = NOW + timedelta(minutes=11)
    assert list(deliver(store, channels, asked - timedelta(seconds=1))) == []
    assert [one.state for one in deliver(store, channels, asked)] == ["delivered"]
    assert len(receiver.received) == 3 and len(set(receiver.received)) == 1


def test_one_channel_that_fails_holds_up_no_other(store):
    lay_down(store, ALERT, "firing", ["bad", "good"], NOW)
    good = Receiver()
    bad = Receiver(DeliveryError("answered 404", is_final=True))
    assert {one.channel: one.state for one in deliver(store, {"bad": bad, "good": good}, NOW)} == {
        "bad": "failed",
        "good": "delivered",
    }


def test_a_channel_that_is_not_set_any_more_is_told_as_failed(store):
    lay_down(store, ALERT, "firing", ["gone"], NOW)
    (told,) = deliver(store, {}, NOW)
    assert (told.state, told.reason) == ("failed", "no such channel is set")


def test_pauses_double_to_an_hour_and_end_after_a_day(store):
    pauses = [pause(attempt, None).total_seconds() / 60 for attempt in range(1, 9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause(1, 1e9) == timedelta(hours=1)
    lay_down(store, ALERT, "firing", ["slack"], NOW)
    receiver = Receiver(*[DeliveryError("answered 500")] * 100)
    now = NOW
    while states(store) == ["pending"]:
        list(deliver(store, {"slack": receiver}, now))
        now += timedelta(minutes=1)
    assert states(store) == ["failed"]
    assert timedelta(hours=20) < now - NOW < timedelta(hours=28)


DELIVERING = """
import sys
from datetime import UTC, datetime
from sqlalchemy import URL
from monitoring.channels import Webhook
from monitoring.outbox import deliver
from monitoring.store import Store

store = Store(URL.create("sqlite", database=sys.argv[1]))
hook = Webhook(type="webhook", url="env:HOOK", allow_private=True, timeout_seconds=20.0)
print([one.state for one in deliver(store, {"hook": hook.send}, datetime(2027, 1, 1, tzinfo=UTC))])
"""


def start(store_file: Path, url: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", DELIVERING, str(store_file)],
        cwd=ROOT, env={**os.environ, "HOOK": url}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_while_the_receiver_has_it_it_comes_again_with_the_same_key(store, tmp_path):
    """The one moment in which a thing can be told twice."""
    lay_down(store, ALERT, "firing", ["hook"], NOW)
    with serving(lambda connection: time.sleep(20)) as (url, first):
        killed = start(tmp_path / "store.sqlite", url)
        while not first:
            assert killed.poll() is None
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert states(store) == ["pending"]
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with serving(lambda connection: connection.sendall(reply)) as (url, second):
        again = start(tmp_path / "store.sqlite", url)
        assert again.communicate(timeout=60)[0].strip() == "['delivered']"
        third = start(tmp_path / "store.sqlite", url)
        assert third.communicate(timeout=60)[0].strip() == "[]"
    keys = [
        next(line for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key"))
        for request in [*first, *second]
    ]
    assert len(keys) == 2 and keys[0] == keys[1]
