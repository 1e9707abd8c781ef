"""Traffic of some days, counted by the database: time follows these days and not the history."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, func, literal, select

from monitoring.store import Store, to_micros
from monitoring.tables import FEEDBACK, PREDICTIONS, REQUESTS
from tasks.core.intervals import wilson_interval

QUANTILES = {"p50": 50, "p95": 95, "p99": 99}
MICROS = 1_000_000
_MOST_CLASSES, _MOST_REASONS = 20, 20
_NUM_LABELLED_SLOTS = 14
_HOUR, _MOST_BY_HOUR = 3600, 7


class Days(NamedTuple):
    """The days that are shown, in microseconds since 1970, in slots of so many seconds."""

    start: int
    end: int
    slot_seconds: int

    @property
    def slots(self) -> range:
        """The numbers of the slots, counted from 1970."""
        size = self.slot_seconds * MICROS
        return range(self.start // size, (self.end - 1) // size + 1)


def days_before(now: datetime, num_days: int) -> Days:
    """So many, begun at a full slot: an hour where they are few, a day where they are many."""
    slot_seconds = _HOUR if num_days <= _MOST_BY_HOUR else 24 * _HOUR
    end, size = to_micros(now), slot_seconds * MICROS
    return Days((end - num_days * 24 * _HOUR * MICROS) // size * size, end, slot_seconds)


def count_by_slot(store: Store, days: Days) -> list[dict[str, Any]]:
    """Slot by slot, those in which nobody asked too."""
    slot = _slot(PREDICTIONS.c.predicted_at, days.slot_seconds)
    chosen = select(slot, *_outcomes()).where(*within(PREDICTIONS.c.predicted_at, days))
    asked = _slot(REQUESTS.c.received_at, days.slot_seconds)
    counted = {row.pop("slot"): row for row in store.select(chosen.group_by("slot"))}
    requests = {
        row["slot"]: row["requests"]
        for row in store.select(
            select(asked, func.count().label("requests"))
            .where(*within(REQUESTS.c.received_at, days))
            .group_by("slot")
        )
    }
    latency = _latency(store, days, slot)
    empty = {"predictions": 0, "refused": 0, "abstained": 0}
    return [
        {
            "at": float(number * days.slot_seconds),
            "requests": requests.get(number, 0),
            **{name: int(count) for name, count in counted.get(number, empty).items()},
            **latency.get(number, dict.fromkeys(QUANTILES)),
        }
        for number in days.slots
    ]


def _latency(
    store: Store, days: Days, slot: ColumnElement[int]
) -> dict[int, dict[str, float | None]]:
    """Seconds from the arrival of a request to its prediction, by slot: exact quantiles."""
    seconds = PREDICTIONS.c.seconds
    ranked = (
        select(
            slot,
            seconds,
            func.row_number().over(partition_by=slot.element, order_by=seconds).label("place"),  # type: ignore[attr-defined]
            func.count().over(partition_by=slot.element).label("count"),  # type: ignore[attr-defined]
        )
        .where(*within(PREDICTIONS.c.predicted_at, days), seconds.is_not(None))
        .subquery()
    )
    # The least value that so many per cent do not exceed.
    is_at = {
        name: ranked.c.place == (ranked.c.count * share + 99) // 100
        for name, share in QUANTILES.items()
    }
    chosen = [
        func.max(case((holds, ranked.c.seconds))).label(name) for name, holds in is_at.items()
    ]
    rows = store.select(select(ranked.c.slot, *chosen).group_by(ranked.c.slot))
    return {row.pop("slot"): row for row in rows}


def count_refusals(store: Store, days: Days) -> dict[str, int]:
    """The commonest reasons."""
    refused = PREDICTIONS.c.refused
    chosen = (
        select(refused.label("reason"), func.count().label("count"))
        .where(*within(PREDICTIONS.c.predicted_at, days), refused != "")
        .group_by(refused)
        .order_by(func.count().desc(), refused)
        .limit(_MOST_REASONS)
    )
    return {row["reason"]: row["count"] for row in store.select(chosen)}


def count_classes(store: Store, days: Days) -> list[dict[str, Any]]:
    """How often each of the commonest classes was predicted in these days, and in as many before
    them."""
    at, predicted = PREDICTIONS.c.predicted_at, PREDICTIONS.c.predicted
    now, before = _count_if(at >= days.start), _count_if(at < days.start)
    chosen = (
        select(predicted.label("name"), now.label("now"), before.label("before"))
        .where(at >= 2 * days.start - days.end, at < days.end, predicted.is_not(None))
        .group_by(predicted)
        .order_by(func.count().desc(), predicted)
        .limit(_MOST_CLASSES)
    )
    return [
        {"name": row["name"], "now": int(row["now"]), "before": int(row["before"])}
        for row in store.select(chosen)
    ]


def measure_accuracy(store: Store, days: Days) -> list[dict[str, Any]]:
    """How often the model was right where people said what is true, with Wilson's interval."""
    at = PREDICTIONS.c.predicted_at
    seconds = (days.end - days.start) // (_NUM_LABELLED_SLOTS * MICROS)
    slot = _slot(at - literal(days.start, literal_execute=True), seconds)
    is_right = PREDICTIONS.c.predicted == FEEDBACK.c.label
    chosen = (
        select(slot, func.count().label("count"), _count_if(is_right).label("right"))
        .join(FEEDBACK, FEEDBACK.c.prediction_id == PREDICTIONS.c.prediction_id)
        .where(*within(at, days), PREDICTIONS.c.predicted.is_not(None))
        # True already, as nobody tells before it was predicted; it lets an index bound the search.
        .where(FEEDBACK.c.given_at >= days.start)
        .group_by("slot")
        .order_by("slot")
    )
    return [
        {
            "at": min(to_seconds(days.start) + (row["slot"] + 0.5) * seconds, to_seconds(days.end)),
            "count": row["count"],
            **wilson_interval(int(row["right"]), row["count"])._asdict(),
        }
        for row in store.select(chosen)
    ]


def within(column: ColumnElement[int], days: Days) -> list[ColumnElement[bool]]:
    return [column >= days.start, column < days.end]


def to_seconds(micros: int) -> float:
    return micros / MICROS


def _slot(column: ColumnElement[int], slot_seconds: int) -> ColumnElement[int]:
    # As it stands, since PostgreSQL would take two bound numbers for two expressions.
    size = literal(slot_seconds * MICROS, literal_execute=True)
    return (column // size).label("slot")


def _count_if(holds: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((holds, 1), else_=0))


def _outcomes() -> list[ColumnElement[int]]:
    return [
        func.count().label("predictions"),
        _count_if(PREDICTIONS.c.refused != "").label("refused"),
        _count_if(PREDICTIONS.c.abstained.is_(True)).label("abstained"),
    ]
