"""What is shown of a store: what was checked, told and answered, whatever others wrote into it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from benchmarks.postgresql import running_postgresql
from monitoring.kept import acknowledge, load_episodes, silence
from monitoring.overview import find_examples, look_back
from monitoring.store import Store, parse_store, to_micros
from monitoring.tables import CHECKS, EPISODES
from tests.monitoring.history import DAY, DRIFTED, live
from tests.monitoring.planted import NOON as PLANTED_NOON

NOON = PLANTED_NOON.to_pydatetime()


def filled(address: str, days: list[dict[str, Any]]) -> Store:
    store = Store(parse_store(address))
    live(store, NOON, days)
    return store


@pytest.fixture(scope="module")
def drifted(tmp_path_factory):
    """Four days, the last two of drift, and an old one before the days that are shown."""
    folder = tmp_path_factory.mktemp("store")
    store = filled(f"sqlite:///{folder}/store.sqlite", [{}, {}, DRIFTED, DRIFTED])
    yield store
    store.close()


def test_checks_come_in_order_with_their_thresholds_and_examples(drifted):
    shown = look_back(drifted, NOON + timedelta(hours=1), 7)
    checks = shown["checks"]
    assert [one["verdict"] for one in checks][2:] == ["drift", "drift"]
    assert [one["end"] for one in checks] == sorted(one["end"] for one in checks)
    last = checks[-1]
    assert last["end"] == NOON.timestamp() and last["start"] == (NOON - DAY).timestamp()
    assert last["families"]["embeddings"]["shows"]
    assert set(last["params"]["floors"]) == set(last["families"])
    assert last["accuracy"]["expected"]["unreliable"]
    assert len(last["examples"]) == 5
    assert shown["last_checked_at"] == NOON.timestamp()


def test_examples_are_the_farthest_and_then_what_was_kept_of_that_window(drifted):
    last = look_back(drifted, NOON + timedelta(hours=1), 7)["checks"][-1]
    found = find_examples(drifted, last, 8)
    assert [one["prediction_id"] for one in found[:5]] == last["examples"]
    assert [one["is_far"] for one in found] == [True] * 5 + [False] * 3
    assert all(one["prediction_id"].startswith(f"{4:016x}") for one in found)
    assert len({one["prediction_id"] for one in found}) == 8
    # Ids that nobody has here, as of a model that is served elsewhere.
    strange = find_examples(drifted, last | {"examples": ["../../etc/passwd"]}, 3)
    assert [one["is_far"] for one in strange] == [False] * 3


def test_only_the_days_asked_for_are_shown(drifted):
    shown = look_back(drifted, NOON + timedelta(hours=1), 1)
    assert len(shown["checks"]) == 1
    assert sum(one["predictions"] for one in shown["traffic"]) <= 240
    later = look_back(drifted, NOON + timedelta(days=100), 7)
    assert later["checks"] == [] and later["last_checked_at"] == NOON.timestamp()
    # What lasts is shown however old it is.
    assert [one["state"] for one in later["episodes"]] == ["firing"]


def test_an_episode_tells_what_people_said_to_it(drifted):
    (before,) = look_back(drifted, NOON, 7)["episodes"]
    assert (before["title"], before["state"]) == ("Drift", "firing")
    assert before["acknowledged_at"] is before["silenced_until"] is None
    assert before["told_at"] == NOON.timestamp()
    name = load_episodes(drifted)["drift"].episode.fingerprint
    acknowledge(drifted, name, "Ada", NOON + DAY)
    silence(drifted, name, NOON + 2 * DAY)
    (after,) = look_back(drifted, NOON, 7)["episodes"]
    assert after["fingerprint"] == name and after["acknowledged_by"] == "Ada"
    assert after["acknowledged_at"] == (NOON + DAY).timestamp()
    assert after["silenced_until"] == (NOON + 2 * DAY).timestamp()


@pytest.mark.needs("postgresql")
def test_postgresql_tells_the_same(drifted):
    with running_postgresql() as server:
        store = filled(server.make_database("overview"), [{}, {}, DRIFTED, DRIFTED])
        names = ("traffic", "classes", "refusals", "measured", "checks", "deliveries")
        ours, theirs = (look_back(one, NOON, 7) for one in (drifted, store))
        assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}
        store.close()


def test_an_empty_store_has_nothing_to_say(tmp_path):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    shown = look_back(store, NOON, 30)
    assert shown["checks"] == shown["episodes"] == shown["classes"] == []
    assert shown["last_checked_at"] is None and len(shown["traffic"]) in (30, 31)
    store.close()


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{", "null", json.dumps({"verdict": "quiet"}), '{"verdict": NaN}', "9" * 5000],
)
def test_what_is_no_check_and_no_episode_is_left_out(tmp_path, document):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    hashes = {f"{name}_sha256": "" for name in ("window", "reference", "model")}
    at = to_micros(NOON)
    check = {"check_id": "a", "checked_at": at, "window_start": at, "window_end": at, **hashes}
    store.save(CHECKS, [{**check, "document": document}])
    episode = {"episode_id": "b", "fingerprint": "b", "state": "firing", "opened_at": at}
    store.save(EPISODES, [{**episode, "changed_at": at, "document": document}])
    shown = look_back(store, NOON + DAY, 7)
    assert (shown["checks"], shown["num_unread"], shown["episodes"]) == ([], 1, [])
    store.close()


@pytest.mark.parametrize("micros", [-(2**63), -1, 2**63 - 1])
def test_moments_that_have_no_date_are_left_out(drifted, tmp_path, micros):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    (episode,) = drifted.load(EPISODES)
    check, *others = drifted.load(CHECKS)
    store.save(EPISODES, [episode | {"opened_at": micros}])
    store.save(CHECKS, [check | {"window_end": micros}, *others])
    shown = look_back(store, NOON + DAY, 7)
    assert (shown["episodes"], shown["num_unread"], len(shown["checks"])) == ([], 1, 3)
    store.save(CHECKS, [check | {"checked_at": micros}])
    last = look_back(store, NOON + DAY, 7)["last_checked_at"]
    assert last is None or 0 < last <= NOON.timestamp()
    store.close()


def test_numbers_that_are_none_leave_an_episode_out(drifted, tmp_path):
    store = Store(parse_store(f"sqlite:///{tmp_path}/store.sqlite"))
    (episode,) = drifted.load(EPISODES)
    document = json.loads(episode["document"])
    for number, changed in enumerate(
        ({"told_at": float("inf")}, {"told_at": "x"}, {"told_at": [1]}, {"silenced_until": 1e300},
         {"episode": document["episode"] | {"num_alarms": "many"}},
         {"episode": document["episode"] | {"kind": "<b>"}},
         {"episode": document["episode"] | {"kind": []}}, {"episode": 5}, {"more": 1})
    ):  # fmt: skip
        row = episode | {"episode_id": str(number), "document": json.dumps(document | changed)}
        store.save(EPISODES, [row])
    assert look_back(store, NOON + DAY, 7)["episodes"] == []
    store.close()
