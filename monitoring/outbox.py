"""The outbox: what is to be told lies in the store until it is told, so that nothing is lost.

Each delivery has an id that follows from what it tells, so that the same thing is laid down once,
and a receiver who gets it twice can see that: which happens only if the process dies between the
answer of the receiver and that of the store.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
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


def lay_down(
    store: Store, alert: Alert, occasion: str, channels: Sequence[str], at: datetime
) -> int:
    """Writes what is to be told to each channel; gives how many deliveries are new. Of one thing
    that is wrong, an occasion is told once.

    Raises ArtifactError if the store cannot be written.
    """
    episode_id = alert.fingerprint
    known = {row["delivery_id"] for row in store.load(DELIVERIES, episode_id=episode_id)}
    rows = [
        {
            "delivery_id": _delivery_id(episode_id, occasion, channel),
            "episode_id": episode_id,
            "channel": channel,
            "state": "pending",
            "num_attempts": 0,
            "due_at": to_micros(at),
            "document": json.dumps(alert._asdict(), sort_keys=True),
        }
        for channel in channels
    ]
    new = [row for row in rows if row["delivery_id"] not in known]
    store.save(DELIVERIES, new)
    return len(new)


def _delivery_id(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


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
