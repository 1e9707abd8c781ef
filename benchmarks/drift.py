"""Whether drift is noticed, and how often falsely: `python -m benchmarks.drift`.

model         what is watched: a classifier that the stages trained on 20,000 images of CIFAR-10
null-200 …    windows of 200, 500, 1,000 and 2,000 rows without drift: the share that alarms (at
              most 0.02), beside the rules of others on the same windows
year          episodes in a year of daily checks of 500 rows without drift (at most 4)
shifts-200 …  windows of 200 and 400 with a change, each at three strengths: the share that alarms,
              beside mean confidence (at 400 and middle strength at least 0.9 for noise, blur,
              garbage and rotation, 0.6 for thinned classes)
slow          it grows darker by a hundredth per window of 400: when that fires
accuracy      what is expected without labels beside the truth, over all those changes
speed         a check of 10,000 and of 100,000 rows of 128 numbers (at most 5 s, 30 s), beside
              Evidently's preset and its drift of embeddings

The other 40,000 images are divided anew for every draw of a reference: it comes from one half, its
windows from the other. Intervals are clustered by draw. All but speed need TILTH_CIFAR10.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, say, topic_parser
from benchmarks.drift_changes import measure_accuracy, measure_shifts, measure_slow
from benchmarks.drift_rules import RULES, evidently_preset
from benchmarks.record import ROOT, Row, make_row
from benchmarks.watched import (
    MONITORING,
    NUM_GIVEN,
    as_window,
    divide,
    seen_by,
    watched,
)
from benchmarks.workspace import run
from monitoring.check import check_window
from monitoring.episodes import Episode, Patience, advance

NULL_ROWS, SHIFT_ROWS = (200, 500, 1000, 2000), (200, 400)
# Of the windows without drift, those that Evidently is shown: it takes seconds for each.
EVERY_EVIDENTLY = 5
EVIDENTLY = ("Evidently's preset, half of the columns", "Evidently's preset, any column")


def clustered(shares_D: np.ndarray) -> float:
    """Half the width of a 95 % interval of a mean, by draws of the reference."""
    return float(1.96 * shares_D.std(ddof=1) / np.sqrt(len(shares_D))) if len(shares_D) > 1 else 0.0


def measure_model(setting: Setting) -> Iterator[Row]:
    model = watched(setting)
    seen = seen_by(model)
    confidence = float(seen.probabilities_NK.max(axis=1).mean())
    yield make_row(
        f"model: accuracy on {len(model.labels_N):,} images, against mean confidence",
        float(seen.is_right_N.mean()), "", confidence,
    )  # fmt: skip


def measure_null(setting: Setting, name: str, num_rows: int) -> Iterator[Row]:
    model, options = watched(setting), setting.options
    seen = seen_by(model)
    names = ("ours", *RULES, *EVIDENTLY)
    alarms: dict[str, list[list[bool]]] = {rule: [] for rule in names}
    for draw in range(options.num_draws):
        division = divide(model, draw)
        rng = np.random.default_rng([draw, 1, num_rows])
        for rule in names:
            alarms[rule].append([])
        for number in range(options.num_windows):
            window = seen.take(rng.choice(division.rows, num_rows, replace=False))
            document = check_window(division.baseline, as_window(window, model.model), None)
            alarms["ours"][-1].append(document["verdict"] == "drift")
            for rule, judge in RULES.items():
                alarms[rule][-1].append(judge(division.reference, window))
            if number % EVERY_EVIDENTLY == 0:
                theirs = evidently_preset(division.reference, window)
                for rule, alarmed in zip(EVIDENTLY, theirs, strict=True):
                    alarms[rule][-1].append(alarmed)
        say(f"{name}: draw {draw + 1} of {options.num_draws}, {sum(alarms['ours'][-1])} alarms")
    for rule in names:
        shares_D = np.array([np.mean(one) for one in alarms[rule]])
        yield make_row(f"{name}: {rule}, windows that alarm falsely", float(shares_D.mean()), "")
        if rule == "ours":
            yield make_row(f"{name}: ours, half of its 95 % interval", clustered(shares_D), "")
            yield make_row(f"{name}: ours, worst of the references", float(shares_D.max()), "")


def measure_year(setting: Setting) -> Iterator[Row]:
    model = watched(setting)
    seen, patience = seen_by(model), Patience(MONITORING.fire_after, MONITORING.resolve_after)
    fired, alarmed = [], []
    for draw in range(setting.options.num_years):
        division = divide(model, 100 + draw)
        rng = np.random.default_rng([draw, 2])
        episodes: dict = {}
        fingerprints, num_alarms = set(), 0
        for _ in range(365):
            window = seen.take(rng.choice(division.rows, 500, replace=False))
            document = check_window(division.baseline, as_window(window, model.model), None)
            num_alarms += document["verdict"] == "drift"
            episodes = advance(episodes, document, patience)
            drift: Episode | None = episodes.get("drift")
            if drift is not None and drift.state == "firing":
                fingerprints.add(drift.fingerprint)
        fired.append(len(fingerprints))
        alarmed.append(num_alarms)
        say(f"year: {draw + 1} of {setting.options.num_years}, {fired[-1]} episodes")
    yield make_row("year: episodes that fire", fired, "")
    yield make_row("year: windows that alarm, of 365", alarmed, "")


def measure_speed(setting: Setting) -> Iterator[Row]:
    script = ("python", "-m", "benchmarks.drift_speed")
    for num_rows in (10_000, 100_000):
        ran = {what: run(ROOT, *script, what, str(num_rows)) for what in ("check", "preset")}
        seconds = {what: json.loads(one.output.splitlines()[-1]) for what, one in ran.items()}
        name = f"speed: {num_rows:,} rows"
        yield make_row(f"{name}, against Evidently's preset", seconds["check"], "s",
                       seconds["preset"])  # fmt: skip
        memory = [ran[what].peak_bytes / 1e6 for what in ("check", "preset")]
        yield make_row(f"{name}, memory of the process", memory[0], "MB", memory[1])
    few = json.loads(run(ROOT, *script, "embeddings", "1000").output.splitlines()[-1])
    ours = json.loads(run(ROOT, *script, "check", "1000").output.splitlines()[-1])
    yield make_row("speed: 1,000 rows, against Evidently's drift of embeddings", ours, "s", few)


def _cells() -> Iterator[Cell]:
    yield Cell("model", measure_model, needs_cifar10=True)
    for num_rows in NULL_ROWS:
        measure = partial(measure_null, name=f"null-{num_rows}", num_rows=num_rows)
        yield Cell(f"null-{num_rows}", measure, needs_cifar10=True)
    yield Cell("year", measure_year, needs_cifar10=True)
    for num_rows in SHIFT_ROWS:
        shifts = partial(measure_shifts, cell=f"shifts-{num_rows}", num_rows=num_rows)
        yield Cell(f"shifts-{num_rows}", shifts, needs_cifar10=True)
    yield Cell("slow", measure_slow, needs_cifar10=True)
    yield Cell("accuracy", measure_accuracy, needs_cifar10=True)
    yield Cell("speed", measure_speed)


CELLS = tuple(_cells())


def main(argv: Sequence[str]) -> None:
    parser = topic_parser("drift", __doc__, CELLS)
    parser.add_argument("--num-given", type=int, default=NUM_GIVEN, help="images to train on")
    parser.add_argument("--num-draws", type=int, default=20, help="of the reference")
    parser.add_argument("--num-windows", type=int, default=20, help="without drift, per draw")
    parser.add_argument("--num-years", type=int, default=3)
    parser.add_argument("--num-shift-draws", type=int, default=4)
    parser.add_argument("--num-shift-windows", type=int, default=5, help="per draw and strength")
    run_cells("drift", CELLS, parser.parse_args(argv))


if __name__ == "__main__":
    main(sys.argv[1:])
