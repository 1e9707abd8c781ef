"""SQLite and PostgreSQL keep the same, once, and forget in time."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import CHECKS, DELIVERIES, EPISODES, FEEDBACK, MEASURES, REQUESTS
from tasks.artifacts.predictions import SCHEMA
from tasks.core.errors import ArtifactError, ParamsError
from tests.monitoring.records import MEASURED, START, feedback, record

LATER = START + timedelta(days=1)


def test_a_window_is_what_was_predicted_in_it(store):
    refused = record(5, predicted=None, probabilities=None, embedding=None, refused="truncated")
    store.add([*(record(number) for number in range(5)), refused])
    store.add([feedback(2, "light", 10.0)])
    window = store.load_window(START + timedelta(seconds=1), START + timedelta(seconds=6))
    assert list(window.columns) == SCHEMA.names
    assert window["prediction_id"].tolist() == [f"{number:032x}" for number in range(1, 6)]
    assert str(window["predicted_at"].dtype) == "datetime64[us, UTC]"
    assert window["predicted_at"].tolist() == list(
        pd.date_range(START + timedelta(seconds=1), periods=5, freq="s")
    )
    assert window["label"].tolist() == [None, "light", None, None, None]
    np.testing.assert_array_equal(window["embedding"][0], np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(window["probabilities"][0], np.array([0.75, 0.25], np.float32))
    assert window.loc[0, list(MEASURED)].to_dict() == MEASURED
    last = window.iloc[4]
    assert last["refused"] == "truncated" and last["predicted"] is None
    assert last["embedding"] is None and last[list(MEASURED)].isna().all()
    assert len(store.load_window(LATER, LATER)) == 0


def test_what_is_replayed_changes_nothing(store):
    records = [record(number) for number in range(1200)] + [feedback(3, "dark", 5.0)]
    for _ in range(2):
        store.add(records)
    assert store.count() == 1200
    assert len(store.load(REQUESTS)) == 600 and len(store.load(MEASURES)) == 1200
    assert len(store.load(FEEDBACK)) == 1


def test_the_last_feedback_counts_in_whatever_order_it_comes(store):
    store.add([feedback(1, "b", 20.0)])
    store.add([feedback(1, "a", 10.0)])
    assert store.load(FEEDBACK)[0]["label"] == "b"
    store.add([feedback(1, "c", 30.0), feedback(1, "d", 40.0)])
    assert store.load(FEEDBACK)[0]["label"] == "d"


def test_metadata_become_columns(store):
    store.add([record(0, metadata='{"site": "a", "gain": 1.5}'), record(1, metadata='{"gain": 2}')])
    window = store.load_window(START, LATER)
    assert window["site"].tolist() == ["a", None] and window["gain"].tolist() == [1.5, 2.0]


def test_what_is_old_or_too_much_goes_with_all_that_belongs_to_it(store):
    store.add([record(number) for number in range(5000)])
    store.add([feedback(number, "dark", number) for number in range(0, 5000, 100)])
    assert store.delete_old(START + timedelta(seconds=3000), 10_000) == 3000
    assert store.count() == len(store.load(MEASURES)) == 2000
    assert len(store.load(FEEDBACK)) == 20 and len(store.load(REQUESTS)) == 1000
    assert store.delete_old(START, 500) == 1500
    window = store.load_window(START, LATER)
    assert window["prediction_id"].tolist() == [f"{number:032x}" for number in range(4500, 5000)]
    assert store.delete_old(START, 500) == 0


def test_checks_episodes_and_deliveries_are_kept_by_their_keys(store):
    check = {
        "check_id": "a", "checked_at": 3, "window_start": 1, "window_end": 2, "window_sha256": "w",
        "reference_sha256": "r", "model_sha256": "m", "document": "{}",
    }  # fmt: skip
    episode = {
        "episode_id": "e", "fingerprint": "f", "state": "pending", "opened_at": 1, "changed_at": 1,
        "document": "{}",
    }  # fmt: skip
    delivery = {
        "delivery_id": "d", "episode_id": "e", "channel": "mail", "state": "due",
        "num_attempts": 0, "due_at": 5, "document": "{}",
    }  # fmt: skip
    store.save(CHECKS, [check, {**check, "check_id": "b", "model_sha256": "n"}])
    store.save(EPISODES, [episode])
    store.save(EPISODES, [{**episode, "state": "firing", "changed_at": 2}])
    store.save(DELIVERIES, [delivery])
    assert store.load(CHECKS, model_sha256="m") == [check]
    assert [one["check_id"] for one in store.load(CHECKS)] == ["a", "b"]
    assert store.load(EPISODES) == [{**episode, "state": "firing", "changed_at": 2}]
    assert store.load(DELIVERIES, state="sent") == []


def test_a_database_of_another_layout_is_told(tmp_path):
    address = f"sqlite:///{tmp_path}/other.sqlite"
    with create_engine(address).begin() as connection:
        connection.execute(text("CREATE TABLE predictions (name TEXT, predicted_at BIGINT)"))
    with pytest.raises(ArtifactError, match=r"other\.sqlite.*no (such )?column"):
        Store(parse_store(address)).load_window(START, LATER)


def test_a_store_that_is_not_there_is_told_without_its_password():
    store = Store(parse_store("postgresql://tilth:hunter2@127.0.0.1:1/none"))
    with pytest.raises(ArtifactError, match=r"127\.0\.0\.1:1") as raised:
        store.count()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["nothing", "sqlite://", "sqlite:///:memory:", "mysql://a/hunter2"]
)
def test_other_addresses_are_refused(text):
    with pytest.raises(ParamsError, match="expected postgresql") as raised:
        parse_store(text)
    assert "hunter2" not in str(raised.value)


def test_a_moment_has_a_time_zone():
    assert to_micros(START) == 1_767_225_600_000_000
    with pytest.raises(ParamsError, match="time zone"):
        to_micros(datetime(2026, 1, 1))
