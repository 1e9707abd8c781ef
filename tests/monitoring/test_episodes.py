"""One episode per cause, whatever the order of good and bad windows."""

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.episodes import Episode, Patience, advance

PATIENCE = Patience(fire_after=2, resolve_after=3)
VERDICTS = {"D": "drift", "u": "unclear", "q": "quiet", "w": "waiting", "!": "incident"}


def a_check(verdict: str, number: int, measured: Any = None) -> dict[str, Any]:
    return {
        "verdict": VERDICTS[verdict],
        "window": {"sha256": f"{number:064x}"},
        "model": {"sha256": "f" * 64},
        "accuracy": {"expected": None, "measured": measured},
    }


def states(verdicts: str, kind: str = "drift", patience: Patience = PATIENCE) -> str:
    """The state after each check: pending, firing, resolved, or none."""
    episodes: dict[Any, Episode] = {}
    told = ""
    for number, verdict in enumerate(verdicts):
        episodes = advance(episodes, a_check(verdict, number), patience)
        told += episodes[kind].state[0] if kind in episodes else "-"
    return told


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ("qqq", "---"),
        ("Dq", "p-"),
        ("DqDqDq", "p-p-p-"),
        ("DD", "pf"),
        ("DuD", "ppf"),
        ("DwD", "ppf"),
        ("D!D", "ppf"),
        ("DDqqDqqq", "pffffffr"),
        ("DDquqq", "pffffr"),
        ("DDuuuu", "pfffff"),
        ("DDqqqqq", "pfffrrr"),
        ("DDqqqD", "pfffrp"),
        ("DDqqqDD", "pfffrpf"),
        ("uuu", "---"),
    ],
)
def test_drift_fires_when_it_persists_and_is_resolved_when_it_stays_away(
    verdicts: str, told: str
) -> None:
    assert states(verdicts) == told


@pytest.mark.parametrize(
    ("verdicts", "told"), [("!", "f"), ("!q", "fr"), ("q!!q!", "-ffrf"), ("!w", "ff"), ("!D", "fr")]
)
def test_broken_data_fires_at_once(verdicts: str, told: str) -> None:
    assert states(verdicts, "incident") == told


def test_accuracy_has_episodes_of_its_own() -> None:
    episodes: dict[Any, Episode] = {}
    told = []
    for number, is_worse in enumerate([True, None, True, False, False, False]):
        measured = None if is_worse is None else {"is_worse": is_worse}
        episodes = advance(episodes, a_check("q", number, measured), PATIENCE)
        told.append(episodes["accuracy"].state)
    assert told == ["pending", "pending", "firing", "firing", "firing", "resolved"]
    assert set(episodes) == {"accuracy"}


@given(st.text("Duqw!", max_size=25), st.integers(1, 3), st.integers(1, 3))
def test_episodes_are_those_that_counting_runs_gives(
    verdicts: str, fire: int, resolve: int
) -> None:
    """What says nothing and what is unclear is struck out; then runs of one verdict are counted."""
    patience = Patience(fire, resolve)
    heard = [verdict for verdict in verdicts if verdict in "Dq"]
    is_firing, last = False, "-"
    for verdict, run in groupby(heard):
        length = len(list(run))
        if verdict == "D":
            is_firing = is_firing or length >= fire
            last = "f" if is_firing else "p"
        elif is_firing:
            is_firing = length < resolve
            last = "f" if is_firing else "r"
        elif last == "p":
            last = "-"
    told = states(verdicts, patience=patience)
    # A pending episode that came to nothing leaves none behind, whatever was before it.
    assert (told[-1:] or "-") == last


def test_an_episode_keeps_its_fingerprint_and_the_next_has_another() -> None:
    episodes: dict[Any, Episode] = {}
    seen = []
    for number, verdict in enumerate("DDDqqqDD"):
        episodes = advance(episodes, a_check(verdict, number), PATIENCE)
        seen.append(episodes["drift"].fingerprint)
    assert len(set(seen[:6])) == 1 and len(set(seen)) == 2
    assert episodes["drift"].since == f"{6:064x}"


@given(st.text("Duqw!", max_size=15))
def test_a_check_that_is_told_twice_counts_once(verdicts: str) -> None:
    once: dict[Any, Episode] = {}
    twice: dict[Any, Episode] = {}
    for number, verdict in enumerate(verdicts):
        check = a_check(verdict, number)
        once = advance(once, check, PATIENCE)
        twice = advance(advance(twice, check, PATIENCE), check, PATIENCE)
    # Without an episode there is nothing to remember a check by: a first alarm is told apart.
    assert {kind: one.state for kind, one in twice.items()} == {
        kind: one.state for kind, one in once.items()
    }
