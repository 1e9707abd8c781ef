"""Windows with a change: whether it is noticed, and what accuracy is expected of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.cells import Setting, say
from benchmarks.drift_rules import mean_confidence
from benchmarks.memory import remembered
from benchmarks.record import Row, make_row
from benchmarks.shifts import SHIFTS, Asked, Drawn
from benchmarks.watched import (
    MONITORING,
    Division,
    Seen,
    Watched,
    as_window,
    divide,
    seen_by,
    watched,
)
from monitoring.check import check_window
from monitoring.drift import FAMILIES
from monitoring.episodes import Patience, advance


class Judged(NamedTuple):
    """A changed window: whether it alarmed, by ours and by mean confidence, and which families
    did; the accuracy expected, whether its band holds the true one and whether it is marked; the
    true one, and the mean confidence."""

    alarmed: bool
    by_confidence: bool
    families: list[str]
    expected: float
    is_held: bool
    is_unreliable: bool
    true: float
    confidence: float


def changed(model: Watched, asked: Asked, strength: float, rows: np.ndarray, num: int,
            rng: np.random.Generator) -> Seen:  # fmt: skip
    """What the model says of a window with a change."""
    weights = np.ones(len(rows))
    if asked.weight_of is not None:
        weights = asked.weight_of(strength, model.labels_N[rows])
    chosen = rng.choice(rows, num, replace=False, p=weights / weights.sum())
    drawn = Drawn(model.images_NHWC[chosen], model.labels_N[chosen])
    if asked.shift is not None:
        drawn = asked.shift(drawn, strength, rng)
    return model.see(drawn.images_NHWC, drawn.labels_N)


def judge_shift(setting: Setting, name: str, strength: float, num_rows: int) -> list[Judged]:
    """Every window of a shift; kept, as two cells look at them."""
    options = setting.options
    key = {
        "topic": "drift",
        "shift": [name, strength, num_rows],
        "asked": [options.num_given, options.num_shift_draws, options.num_shift_windows],
        "set": str(options.set),
    }
    model = watched(setting)

    def measure() -> list[Judged]:
        return [
            judge(model, division_of(model, draw), name, strength, num_rows, [draw, number])
            for draw in range(options.num_shift_draws)
            for number in range(options.num_shift_windows)
        ]

    return [Judged(*one) for one in remembered(key, measure)]


_DIVISIONS: dict[tuple[int, int], Division] = {}


def division_of(model: Watched, draw: int) -> Division:
    if (id(model), draw) not in _DIVISIONS:
        _DIVISIONS[id(model), draw] = divide(model, 200 + draw)
    return _DIVISIONS[id(model), draw]


def judge(
    model: Watched,
    division: Division,
    name: str,
    strength: float,
    num_rows: int,
    seeds: list[int],
) -> Judged:
    rng = np.random.default_rng([3, num_rows, *seeds])
    seen = changed(model, SHIFTS[name], strength, division.rows, num_rows, rng)
    document = check_window(division.baseline, as_window(seen, model.model), None)
    expected, true = document["accuracy"]["expected"], float(seen.is_right_N.mean())
    return Judged(
        document["verdict"] == "drift",
        mean_confidence(division.reference, seen),
        [key for key, one in document["families"].items() if one["shows"]],
        expected["value"],
        expected["low"] <= true <= expected["high"],
        expected["unreliable"],
        true,
        float(seen.probabilities_NK.max(axis=1).mean()),
    )


def measure_shifts(setting: Setting, cell: str, num_rows: int) -> Iterator[Row]:
    for name, asked in SHIFTS.items():
        for strength in asked.strengths:
            judged = judge_shift(setting, name, strength, num_rows)
            shares = [float(np.mean([getattr(one, key) for one in judged]))
                      for key in ("alarmed", "by_confidence")]  # fmt: skip
            counts = {family: sum(family in one.families for one in judged) for family in FAMILIES}
            say(f"{cell}, {name} {strength:g}: {shares}, {counts} of {len(judged)}")
            yield make_row(
                f"{cell}: {name} {strength:g}, windows that alarm, against mean confidence",
                shares[0], "", shares[1],
            )  # fmt: skip


def measure_slow(setting: Setting) -> Iterator[Row]:
    model, patience = watched(setting), Patience(MONITORING.fire_after, MONITORING.resolve_after)
    first, last = [], []
    for draw in range(setting.options.num_shift_draws):
        division = divide(model, 300 + draw)
        episodes: dict = {}
        for day in range(1, 60):
            rng = np.random.default_rng([draw, 4, day])
            seen = changed(model, SHIFTS["brightness"], day / 100, division.rows, 400, rng)
            document = check_window(division.baseline, as_window(seen, model.model), None)
            episodes = advance(episodes, document, patience)
            drift = episodes.get("drift")
            if drift is not None and drift.state == "firing":
                first.append(day)
                last.append(float(seen.is_right_N.mean()))
                break
        else:
            first.append(60)
    yield make_row("slow: windows of 400 until it fires", first, "")
    if last:
        before = float(seen_by(model).is_right_N.mean())
        yield make_row("slow: accuracy in that window, against before", last, "", before)


def measure_accuracy(setting: Setting) -> Iterator[Row]:
    judged = [one for name, asked in SHIFTS.items() for strength in asked.strengths
              for one in judge_shift(setting, name, strength, 400)]  # fmt: skip
    for label, of_mark in (("marked unreliable", True), ("not marked", False)):
        chosen = [one for one in judged if one.is_unreliable == of_mark]
        yield make_row(f"accuracy: windows {label}, of all", len(chosen), "", len(judged))
        if not chosen:
            continue
        ours = float(np.mean([abs(one.expected - one.true) for one in chosen]))
        theirs = float(np.mean([abs(one.confidence - one.true) for one in chosen]))
        yield make_row(
            f"accuracy: expected − true, {label}, against mean confidence", ours, "", theirs
        )
        held = float(np.mean([one.is_held for one in chosen]))
        yield make_row(f"accuracy: bands that hold the truth, {label}", held, "")
