"""Windows watched one after the other, in a real store: who is told what, how often, and what a
crash at any moment changes (nothing)."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import create_engine, event, inspect, text

from monitoring.alerts import Alert
from monitoring.duty import Alerts, tell_of_missed_checks
from monitoring.episodes import Episode
from monitoring.kept import Kept, acknowledge, load_episodes, save_episodes, silence
from monitoring.outbox import deliver
from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import CHECKS, DELIVERIES, EPISODES, MEASURES, PREDICTIONS
from monitoring.telling import Span
from monitoring.watch import Readers, watch
from tasks.core.errors import ArtifactError
from tests.monitoring.planted import MODEL, a_baseline, a_window
from tests.monitoring.records import MEASURED

NOON = datetime.fromisoformat("2026-03-01T12:00+00:00")
DAY = timedelta(days=1)
READERS = Readers(["mail", "slack"], {"report": "https://example.org/report.html"})
BASELINE = a_baseline(num_permutations=199, alpha=0.02)
DRIFTED: dict[str, Any] = {"shift": 1.5, "darker": 0.2}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    yield store
    store.close()


def fill(
    store: Store, day: int, count: int = 300, model_sha256: str = MODEL.sha256, **changed
) -> Span:
    """The predictions of the hour before noon of that day."""
    window = a_window(count, seed=day + 1, **changed)
    rows = [
        {
            "prediction_id": one["prediction_id"],
            "request_id": None,
            "predicted_at": to_micros(one["predicted_at"].floor("us").to_pydatetime() + day * DAY),
            "seconds": 0.01,
            "model_sha256": model_sha256,
            "predicted": one["predicted"],
            "probabilities": np.asarray(one["probabilities"], "<f4").tobytes(),
            "embedding": np.asarray(one["embedding"], "<f4").tobytes(),
            "refused": "",
            "abstained": False,
            "kept": "",
            "metadata": json.dumps({"group": one["group"]}),
        }
        for one in window.to_dict("records")
    ]
    store.save(PREDICTIONS, rows)
    store.save(MEASURES, [
        {"prediction_id": one["prediction_id"], **MEASURED}
        | {name: one[name] for name in ("brightness", "contrast", "width")}
        for one in window.to_dict("records")
    ])  # fmt: skip
    noon = NOON + day * DAY
    return Span(noon - timedelta(hours=1), noon + timedelta(seconds=1))


def live(store: Store, day: int, **changed) -> str:
    """The verdict of a day."""
    span = fill(store, day, **changed)
    return watch(store, BASELINE, span, span.end, READERS)["verdict"]


def told(store: Store) -> list[str]:
    """What the mails say, in order."""
    heads: list[str] = []
    send = {"mail": lambda alert, _: heads.append(alert.state), "slack": lambda *_: None}
    assert all(one.state == "delivered" for one in deliver(store, send, NOON + 1000 * DAY))
    return heads


def test_nobody_is_told_of_windows_without_drift(store):
    assert {live(store, day) for day in range(3)} <= {"quiet", "unclear"}
    assert (told(store), load_episodes(store)) == ([], {})
    assert len(store.load(CHECKS)) == 3


def test_drift_is_told_once_it_lasts_then_daily_and_once_when_it_is_over(store):
    assert live(store, 0, **DRIFTED) == "drift"
    assert told(store) == []
    live(store, 1, **DRIFTED)
    assert told(store) == ["firing"]
    live(store, 2, **DRIFTED)
    assert told(store) == ["reminder"]
    verdicts = [live(store, day) for day in range(5, 5 + BASELINE.params.resolve_after)]
    assert verdicts == ["quiet"] * 3
    assert told(store)[-1] == "resolved"
    assert load_episodes(store)["drift"].episode.state == "resolved"


def test_one_window_of_drift_comes_to_nothing(store):
    assert [live(store, 0, **DRIFTED), live(store, 1)] == ["drift", "quiet"]
    assert load_episodes(store) == {}
    assert [row["state"] for row in store.load(EPISODES)] == ["passed"]
    live(store, 2, **DRIFTED)
    assert told(store) == []


def test_an_alert_says_what_how_much_since_when_why_and_where(store):
    for day in (0, 1):
        live(store, day, **DRIFTED)
    alert = json.loads(store.load(DELIVERIES)[0]["document"])
    assert alert["title"].startswith("Drift: ") and len(alert["examples"]) == 5
    assert alert["facts"]["since"] == "2026-03-01 11:00 UTC"
    assert "300 predictions" in alert["facts"]["window"]
    assert {"embeddings", "model", "reference", "check"} <= set(alert["facts"])
    known = {row["prediction_id"] for row in store.load(PREDICTIONS)}
    assert set(alert["examples"]) <= known


def test_who_is_silenced_is_not_reminded(store):
    for day in (0, 1):
        live(store, day, **DRIFTED)
    fingerprint = load_episodes(store)["drift"].episode.fingerprint
    assert silence(store, fingerprint, NOON + 3 * DAY)
    assert not silence(store, "another", NOON)
    live(store, 2, **DRIFTED)
    assert told(store) == ["firing"]
    live(store, 3, **DRIFTED)
    assert told(store) == ["reminder"]


def test_who_took_an_episode_on_is_told_no_more_than_that_it_is_over(store):
    for day in (0, 1):
        live(store, day, **DRIFTED)
    seen_before = load_episodes(store)["drift"]
    assert acknowledge(store, seen_before.episode.fingerprint, "Ada", NOON + DAY)
    assert not acknowledge(store, "another", "Ada", NOON)
    # As a check does that began before and ends now.
    save_episodes(store, [seen_before], [], NOON + DAY)
    for day in (2, 3):
        live(store, day, **DRIFTED)
    assert told(store) == ["firing"]
    kept = load_episodes(store)["drift"]
    assert (kept.acknowledged_by, kept.acknowledged_at) == ("Ada", to_micros(NOON + DAY))
    for day in range(4, 4 + BASELINE.params.resolve_after):
        live(store, day)
    assert told(store) == ["resolved"]


def test_to_silence_and_to_take_on_leave_each_other_and_the_episode_alone(store):
    for day in (0, 1):
        live(store, day, **DRIFTED)
    before = load_episodes(store)["drift"]
    name = before.episode.fingerprint
    acknowledge(store, name, "", NOON)
    silence(store, name, NOON + DAY)
    after = load_episodes(store)["drift"]
    assert after.silenced_until == to_micros(NOON + DAY)
    assert (after.acknowledged_at, after.acknowledged_by) == (to_micros(NOON), "")
    assert after.episode == before.episode and after.told_at == before.told_at


def test_a_window_that_was_watched_before_changes_nothing(store):
    for day in (0, 1):
        live(store, day, **DRIFTED)
    before = [store.load(table) for table in (CHECKS, EPISODES, DELIVERIES)]
    noon = NOON
    for day in (1, 0, 1):
        span = Span(noon + day * DAY - timedelta(hours=1), noon + day * DAY + timedelta(seconds=1))
        watch(store, BASELINE, span, NOON + 9 * DAY, READERS)
    assert [store.load(table) for table in (CHECKS, EPISODES, DELIVERIES)] == before


def test_what_waits_for_rows_is_judged_with_what_comes_next(store):
    first = fill(store, 0, count=60)
    assert watch(store, BASELINE, first, first.end, READERS)["verdict"] == "waiting"
    second = fill(store, 1, count=60)
    joined = watch(store, BASELINE, second._replace(start=first.end), second.end, READERS)
    assert joined["window"]["num_rows"] == 120
    assert joined["verdict"] != "waiting"
    third = fill(store, 2, count=150)
    alone = watch(store, BASELINE, third._replace(start=second.end), third.end, READERS)
    assert alone["window"]["num_rows"] == 150


def test_what_is_done_about_drift_is_told_as_long_as_it_lasts(store):
    readers = READERS._replace(measures={"retraining": "needs labels"})
    for day in (0, 1, 5, 6, 7):
        span = fill(store, day, **(DRIFTED if day < 2 else {}))
        watch(store, BASELINE, span, span.end, readers)
    span = fill(store, 8, count=0)
    watch(store, BASELINE, span, span.end, readers)
    alerts = [json.loads(row["document"]) for row in store.load(DELIVERIES, channel="mail")]
    told = {(one["title"][:5], one["state"]): "retraining" in one["facts"] for one in alerts}
    assert told == {
        ("Drift", "firing"): True,
        ("Drift", "reminder"): True,
        ("Drift", "resolved"): False,
        ("The d", "firing"): False,
    }


def test_what_former_models_said_is_past_where_another_has_taken_over(store):
    old = "0" * 64
    fill(store, 0, count=200, model_sha256=old)
    span = fill(store, 1, count=150)
    joined = span._replace(start=NOON - DAY)
    assert watch(store, BASELINE, joined, joined.end, READERS)["verdict"] == "incident"
    document = watch(store, BASELINE, joined, joined.end, READERS, {old})
    assert document["verdict"] != "incident" and document["window"]["num_rows"] == 150
    alone = Span(NOON - DAY, NOON + timedelta(seconds=1))
    document = watch(store, BASELINE, alone, alone.end, READERS, {old})
    assert [breach["rule"] for breach in document["breaches"]] == ["model"]


def test_broken_data_fires_at_once_and_is_another_thing_than_drift(store):
    assert live(store, 0, count=0) == "incident"
    assert told(store) == ["firing"]
    assert list(load_episodes(store)) == ["incident"]


class Crash(Exception):
    pass


@pytest.mark.parametrize("survived", range(4))
def test_a_crash_at_any_write_is_made_good_by_the_same_call(store, tmp_path, survived):
    """Episodes, check and outbox are then as if nothing had happened."""
    undisturbed = Store(parse_store(f"sqlite:///{tmp_path}/other.sqlite"))
    for one in (store, undisturbed):
        live(one, 0, **DRIFTED)
    span = fill(store, 1, **DRIFTED)
    fill(undisturbed, 1, **DRIFTED)
    watch(undisturbed, BASELINE, span, span.end, READERS)

    class Dying(Store):
        num_writes = 0

        def save(self, table, rows):
            if self.num_writes == survived:
                raise Crash
            self.num_writes += 1
            super().save(table, rows)

    dying = Dying(store._url)
    try:
        watch(dying, BASELINE, span, span.end, READERS)
        assert survived > 2
    except Crash:
        assert survived <= 2
    later = span.end + timedelta(minutes=7)
    watch(store, BASELINE, span, later, READERS)
    assert told(store) == told(undisturbed) == ["firing"]
    assert {row["check_id"] for row in store.load(CHECKS)} == {
        row["check_id"] for row in undisturbed.load(CHECKS)
    }
    episodes = [load_episodes(one)["drift"].episode for one in (store, undisturbed)]
    assert episodes[0] == episodes[1]


class Work(NamedTuple):
    """What a store did: statements, and instructions of SQLite's machine in hundreds."""

    statements: int
    instructions: int


def work_of(store: Store, act: Callable[[], object]) -> Work:
    counts = {"statements": 0, "instructions": 0}
    store.count()
    engine = store._engine
    assert engine is not None

    def count(name: str, *_: object) -> None:
        counts[name] += 1

    def begin(connection: Any, *_: object) -> None:
        connection.set_progress_handler(partial(count, "instructions"), 100)

    for kind, listener in (
        ("checkout", begin),
        ("before_cursor_execute", lambda *_: count("statements")),
    ):
        event.listen(engine, kind, listener)
    act()
    return Work(**counts)


def with_history(tmp_path: Path, length: int) -> Store:
    """A store in which so many windows were watched before, and told of, half of them too few."""
    store = Store(parse_store(f"sqlite:///{tmp_path}/history{length}.sqlite"))
    minutes = [to_micros(NOON - DAY - timedelta(minutes=number)) for number in range(length)]
    store.save(CHECKS, [
        {"check_id": f"{at}", "checked_at": at, "window_start": at - 1, "window_end": at,
         "window_sha256": f"{at}", "reference_sha256": "", "model_sha256": "",
         "document": json.dumps({"verdict": ("waiting", "quiet")[at % 2], "text": "x" * 500})}
        for at in minutes
    ])  # fmt: skip
    episode = Episode("drift", "", "resolved", "", "", 0, 3)
    kept = [Kept(episode._replace(fingerprint=f"{at}"), at, at, None) for at in minutes]
    save_episodes(store, [], kept, NOON)
    passed = store.load(EPISODES)
    store.save(EPISODES, [row | {"changed_at": row["opened_at"]} for row in passed])
    alert = Alert("", "firing", "Drift", {}, (), {})
    rows = [
        {"delivery_id": f"{at}", "episode_id": f"{at}", "channel": "mail", "state": "delivered",
         "num_attempts": 0, "due_at": at, "document": json.dumps(alert._asdict())}
        for at in minutes
    ]  # fmt: skip
    store.save(DELIVERIES, rows)
    return store


def test_a_watch_asks_no_more_of_a_store_with_a_long_history(tmp_path):
    works = []
    for length in (10, 10_000):
        store = with_history(tmp_path, length)
        live(store, 0, **DRIFTED)
        span = fill(store, 1, **DRIFTED)
        alerts = Alerts(hours=24.0, links={}, channels={})

        def all_of_it(store=store, span=span, alerts=alerts) -> None:
            assert watch(store, BASELINE, span, span.end, READERS)["verdict"] == "drift"
            assert not tell_of_missed_checks(store, alerts, span.end)
            assert told(store) == ["firing"]

        works.append(work_of(store, all_of_it))
        store.close()
    assert works[0].statements == works[1].statements
    # A hundred episodes are looked at where there are as many; every scan of all would show.
    assert works[1].instructions <= 1.5 * works[0].instructions


def test_a_store_without_the_indices_of_today_gets_them(tmp_path):
    address = parse_store(f"sqlite:///{tmp_path}/store.sqlite")
    Store(address).count()
    engine = create_engine(address)
    names = [str(index.name) for table in (CHECKS, EPISODES, DELIVERIES) for index in table.indexes]
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP INDEX {name}"))
    store = Store(address)
    live(store, 0)
    found = inspect(engine)
    kept = [
        index["name"] for table in ("checks", "episodes", "deliveries")
        for index in found.get_indexes(table)
    ]  # fmt: skip
    assert sorted(kept, key=str) == sorted(names) and len(store.load(CHECKS)) == 1


def test_a_store_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(parse_store(f"sqlite:///{tmp_path}/file/store.sqlite"))
    with pytest.raises(ArtifactError, match="the store"):
        watch(store, BASELINE, Span(NOON - DAY, NOON), NOON, READERS)
