"""The outbox: what is to be told lies in the store until it is told, so that nothing is lost.

Each delivery has an id that follows from what it tells, so that the same thing is laid down once,
and a receiver who gets it twice can see that. It is told twice only if the process dies between the
answer of the receiver and the store's.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from monitoring.alerts import Alert, alert_of
from monitoring.channels import Send
from monitoring.posting import DeliveryError
from monitoring.store import Store, to_micros
from monitoring.tables import DELIVERIES

# After 1, 2, 4 … minutes, never more than an hour: a day of trying makes about 29 attempts.
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_MOST_ATTEMPTS = 29


class Delivered(NamedTuple):
    """How a delivery went: `state` is what it is now (delivered, pending, failed)."""

    channel: str
    state: str
    reason: str


def lay_down(store: Store, episode_id: str, channels: list[str], alert: Alert, at: datetime) -> int:
    """Writes what is to be told to each channel, once; gives how many deliveries are new.

    Raises ArtifactError if the store cannot be written.
    """
    document = json.dumps(alert._asdict(), sort_keys=True)
    rows = [
        {
            "delivery_id": delivery_id(episode_id, channel, document),
            "episode_id": episode_id,
            "channel": channel,
            "state": "pending",
            "num_attempts": 0,
            "due_at": to_micros(at),
            "document": document,
        }
        for channel in channels
    ]
    known = {row["delivery_id"] for row in store.load(DELIVERIES, episode_id=episode_id)}
    new = [row for row in rows if row["delivery_id"] not in known]
    store.save(DELIVERIES, new)
    return len(new)


def delivery_id(episode_id: str, channel: str, document: str) -> str:
    words = json.dumps([episode_id, channel, document])
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def deliver(store: Store, channels: Mapping[str, Send], now: datetime) -> Iterator[Delivered]:
    """Tells what is due, and how each went; what failed is due again later.

    Raises ArtifactError if the store cannot be read or written.
    """
    pending = store.load(DELIVERIES, state="pending")
    for row in sorted(pending, key=lambda row: (row["due_at"], row["delivery_id"])):
        if row["due_at"] <= to_micros(now):
            yield _deliver_one(store, channels, row, now)


def _deliver_one(
    store: Store, channels: Mapping[str, Send], row: dict[str, Any], now: datetime
) -> Delivered:
    try:
        if row["channel"] not in channels:
            raise DeliveryError("no such channel is set", is_final=True)
        channels[row["channel"]](alert_of(json.loads(row["document"])), row["delivery_id"])
        state, reason = "delivered", ""
    except DeliveryError as error:
        num_attempts, reason = row["num_attempts"] + 1, str(error)
        is_over = error.is_final or num_attempts >= _MOST_ATTEMPTS
        state = "failed" if is_over else "pending"
        due_at = now + pause(num_attempts, error.retry_after_seconds)
        row = row | {"num_attempts": num_attempts, "due_at": to_micros(due_at)}
    store.save(DELIVERIES, [row | {"state": state}])
    return Delivered(row["channel"], state, reason)


def pause(num_attempts: int, asked_seconds: float | None) -> timedelta:
    """How long to wait after so many failed attempts; longer if the receiver asked for it."""
    asked = timedelta(seconds=min(asked_seconds or 0, _LONGEST_PAUSE.total_seconds()))
    return max(min(_FIRST_PAUSE * 2 ** (num_attempts - 1), _LONGEST_PAUSE), asked)
