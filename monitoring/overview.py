"""What the store has to say of the last days, for people to look at.

Counts are made by the database, over the days that are shown: time follows these and not the
history. What stands in checks and episodes may have been written by others, and is read as such:
what is none is left out and counted.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Table, case, func, select

from monitoring.episodes import TITLES
from monitoring.kept import answered, kept_of
from monitoring.store import Store, to_micros
from monitoring.tables import CHECKS, DELIVERIES, EPISODES, PREDICTIONS
from monitoring.traffic import (
    MICROS,
    Days,
    count_by_slot,
    count_classes,
    count_refusals,
    days_before,
    measure_accuracy,
    to_seconds,
    within,
)

_MOST_CHECKS, _MOST_EPISODES = 1000, 20
_LAST_MOMENT = to_micros(datetime(9999, 1, 1, tzinfo=UTC))


class _Seen(BaseModel):
    """Of what others may have written only what is shown."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Family(_Seen):
    effect: float
    adjusted: float
    shows: bool = False


class Estimate(_Seen):
    value: float
    low: float
    high: float
    unreliable: bool = False


class Accuracy(_Seen):
    expected: Estimate | None


class Judged(_Seen):
    alpha: float
    floors: dict[str, float]


class Window(_Seen):
    num_rows: int


class Check(_Seen):
    """A document of monitoring/check.py."""

    verdict: str
    summary: str
    window: Window
    params: Judged
    families: dict[str, Family] | None
    accuracy: Accuracy
    examples: list[str] = Field(default_factory=list)


def look_back(store: Store, now: datetime, num_days: int) -> dict[str, Any]:
    """Plain values, for `pages/dashboard.py`; moments are seconds since 1970.

    Raises ArtifactError if the store cannot be read.
    """
    days = days_before(now, num_days)
    checks, num_unread = _checks(store, days)
    return {
        "start": to_seconds(days.start),
        "end": to_seconds(days.end),
        "num_days": num_days,
        "slot_seconds": days.slot_seconds,
        "traffic": count_by_slot(store, days),
        "refusals": count_refusals(store, days),
        "classes": count_classes(store, days),
        "measured": measure_accuracy(store, days),
        "checks": checks,
        "num_unread": num_unread,
        "last_checked_at": _last_check(store),
        "episodes": _episodes(store, days),
        "deliveries": _deliveries(store, days),
    }


def find_examples(store: Store, check: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Predictions of a check's window to look at, the farthest from the reference first, then those
    whose image was kept, newest first. `check`: one of those that `look_back` gives.

    Raises ArtifactError if the store cannot be read.
    """
    at, name = PREDICTIONS.c.predicted_at, PREDICTIONS.c.prediction_id
    start, end = (round(check[moment] * MICROS) for moment in ("start", "end"))
    described = select(name, PREDICTIONS.c.predicted, PREDICTIONS.c.abstained)
    # PostgreSQL takes no text with a zero in it.
    named = [one for one in check["examples"][:most] if one.isprintable()]
    far = {row["prediction_id"]: row for row in store.select(described.where(name.in_(named)))}
    kept = store.select(
        described.where(at >= start, at < end, PREDICTIONS.c.kept != "", name.not_in(list(far)))
        .order_by(at.desc())
        .limit(most - len(far))
    )
    in_order = [far[one] for one in named if one in far]
    return [row | {"is_far": row["prediction_id"] in far} for row in [*in_order, *kept]]


def _checks(store: Store, days: Days) -> tuple[list[dict[str, Any]], int]:
    """Checks of these days in order, and how many are none."""
    found = _newest(store, CHECKS, CHECKS.c.checked_at, days, _MOST_CHECKS)
    checks, num_unread = [], 0
    for row in reversed(found):
        times = {"start": "window_start", "end": "window_end", "at": "checked_at"}
        try:
            check = Check.model_validate_json(row["document"]).model_dump()
            check |= {name: _moment(row[column]) for name, column in times.items()}
        except ValueError:
            num_unread += 1
            continue
        checks.append(check | {"model_sha256": row["model_sha256"]})
    return checks, num_unread


def _moment(micros: int) -> float:
    """In seconds. Raises ValueError for one before 1970 or after the last year that has a date."""
    if not 0 <= int(micros) < _LAST_MOMENT:
        raise ValueError(f"{micros} is no moment")
    return to_seconds(int(micros))


def _newest(
    store: Store, table: Table, at: ColumnElement[int], days: Days, most: int
) -> list[dict[str, Any]]:
    return store.select(select(table).where(*within(at, days)).order_by(at.desc()).limit(most))


def _last_check(store: Store) -> float | None:
    """However long ago."""
    ((last,),) = (row.values() for row in store.select(select(func.max(CHECKS.c.checked_at))))
    return None if last is None or last >= _LAST_MOMENT else to_seconds(last)


def _episodes(store: Store, days: Days) -> list[dict[str, Any]]:
    """Those that last, however old, then those that changed in these days; newest first."""
    lasting = EPISODES.c.state.in_(("pending", "firing"))
    changed = EPISODES.c.changed_at
    chosen = (
        select(EPISODES)
        .where(lasting | (changed >= days.start))
        .order_by(case((lasting, 0), else_=1), changed.desc())
        .limit(_MOST_EPISODES)
    )
    return [told for row in store.select(chosen) if (told := _episode(store, row)) is not None]


def _episode(store: Store, row: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        kept = answered(store, kept_of(row))
        title = TITLES[kept.episode.kind]
        moments = {
            name: None if (micros := getattr(kept, name)) is None else _moment(micros)
            for name in ("told_at", "silenced_until", "acknowledged_at")
        }
        moments |= {name: _moment(row[name]) for name in ("opened_at", "changed_at")}
        num_alarms = int(kept.episode.num_alarms)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return {
        "title": title,
        "kind": kept.episode.kind,
        "fingerprint": row["fingerprint"],
        "state": row["state"],
        "num_alarms": num_alarms,
        "acknowledged_by": kept.acknowledged_by or "",
        **moments,
    }


def _deliveries(store: Store, days: Days) -> dict[str, int]:
    """Alerts by what became of them."""
    chosen = (
        select(DELIVERIES.c.state, func.count().label("count"))
        .where(DELIVERIES.c.due_at >= days.start)
        .group_by(DELIVERIES.c.state)
    )
    return {row["state"]: row["count"] for row in store.select(chosen)}
