"""What the database counts is what a plain loop counts, in SQLite and in PostgreSQL."""

from datetime import timedelta

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from monitoring.store import to_micros
from monitoring.traffic import (
    Days,
    count_by_slot,
    count_classes,
    count_refusals,
    days_before,
    measure_accuracy,
)
from tasks.core.intervals import wilson_interval
from tests.monitoring.records import START, feedback, record

DAY = timedelta(days=1)
END = START + DAY
DAYS = days_before(END, 1)


def some_traffic(store, count=300):
    """Predictions from a day before START to an hour after END, of all kinds; as a table."""
    rng = np.random.default_rng(5)
    rows, records = [], []
    for number in range(count):
        refused = rng.choice(["", "", "", "truncated", "too_small"])
        row = {
            "refused": str(refused),
            "predicted": None if refused else str(rng.choice(["dark", "light", "a<b>"])),
            "abstained": bool(rng.random() < 0.2 and not refused),
            "at": float(rng.uniform(-86_400, 90_000)),
            "seconds": float(rng.exponential(0.01)),
        }
        rows.append(row)
        changed = {name: row[name] for name in ("refused", "predicted", "abstained")}
        made = record(number, row["at"], **changed)
        made["prediction"]["seconds"] = row["seconds"]
        records.append(made)
    store.add(records)
    return pd.DataFrame(rows)


def test_traffic_is_what_a_loop_counts(store):
    table = some_traffic(store)
    now = table[(table["at"] >= 0) & (table["at"] < 86_400)]
    slots = count_by_slot(store, DAYS)
    assert [one["at"] for one in slots] == [START.timestamp() + 3600 * n for n in range(24)]
    for number, one in enumerate(slots):
        here = now[now["at"] // 3600 == number]
        assert one["predictions"] == len(here)
        assert one["refused"] == (here["refused"] != "").sum()
        assert one["abstained"] == here["abstained"].sum()
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            ordered = sorted(here["seconds"])
            assert one[name] == ordered[int(np.ceil(share * len(ordered))) - 1]


def test_requests_are_counted_when_they_came_and_not_by_their_images(store):
    store.add([record(number, 60.0 * number) for number in range(10)])
    first = count_by_slot(store, DAYS)[0]
    assert (first["requests"], first["predictions"]) == (5, 10)


def test_refusals_and_classes_are_what_a_loop_counts(store):
    table = some_traffic(store)
    now = table[(table["at"] >= 0) & (table["at"] < 86_400)]
    before = table[table["at"] < 0]
    reasons = now["refused"][now["refused"] != ""].value_counts()
    assert count_refusals(store, DAYS) == reasons.to_dict()
    found = {one["name"]: (one["now"], one["before"]) for one in count_classes(store, DAYS)}
    assert found == {
        name: ((now["predicted"] == name).sum(), (before["predicted"] == name).sum())
        for name in ("dark", "light", "a<b>")
    }


def test_true_accuracy_is_of_those_that_somebody_told_the_truth_about(store):
    store.add([record(number, 60.0 * number) for number in range(20)])
    store.add([record(99, -60.0)])
    told = [feedback(n, "dark" if n < 6 else "light", 5000.0) for n in range(8)]
    store.add([*told, feedback(99, "dark", 5000.0)])
    (only,) = measure_accuracy(store, DAYS)
    assert only["count"] == 8
    assert (only["value"], only["low"], only["high"]) == wilson_interval(6, 8)
    assert to_micros(START) / 1e6 <= only["at"] <= to_micros(END) / 1e6


def test_an_empty_store_counts_nothing(store):
    assert {one["predictions"] for one in count_by_slot(store, DAYS)} == {0}
    assert {one["p95"] for one in count_by_slot(store, DAYS)} == {None}
    assert count_refusals(store, DAYS) == {}
    assert count_classes(store, DAYS) == measure_accuracy(store, DAYS) == []


def test_what_others_write_may_lack_what_only_we_measure(store):
    made = record(1)
    made["prediction"] |= {"seconds": None, "abstained": None, "kept": None, "request_id": None}
    store.add([made])
    first = count_by_slot(store, DAYS)[0]
    assert (first["predictions"], first["abstained"], first["p50"]) == (1, 0, None)


@given(st.datetimes(START.replace(tzinfo=None), (START + 999 * DAY).replace(tzinfo=None)),
       st.sampled_from([1, 7, 30]))  # fmt: skip
def test_slots_cover_the_days_and_no_more_than_one_slot_beyond(now, num_days):
    now = now.replace(tzinfo=START.tzinfo)
    days = days_before(now, num_days)
    assert isinstance(days, Days) and days.end == to_micros(now)
    wanted = num_days * 86_400_000_000
    assert wanted <= days.end - days.start < wanted + days.slot_seconds * 1_000_000
    slots, size = days.slots, days.slot_seconds * 1_000_000
    assert slots[0] * size == days.start and slots[-1] * size < days.end <= (slots[-1] + 1) * size
    assert len(slots) <= 170
