"""The gate on simulated models: `python -m benchmarks.promotion`.

equal    two models of one accuracy, which err on rows of their own: how often they are called
         different (the 95 % interval of the difference leaves out 0; at most 5 %), and how often
         the candidate is refused
worse    a candidate that is 3 points worse: how often it is refused, by test size, against the
         power that the verdict states; the smallest size at which 90 % are
slices   twenty slices of equal models: how often any of them refuses (at most 2.5 %)

Ten classes, 90 % accuracy, a tenth of the rows on which just one of two equal models is right.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.cells import Cell, Setting, run_cells, topic_parser
from benchmarks.record import Row, make_row
from tasks.core.promotion import (
    Rule,
    Threshold,
    draw_metrics,
    judge_change,
    judge_slices,
)

NUM_CLASSES, ACCURACY, DISCORDANT = 10, 0.9, 0.1
DROP, MARGIN = 0.03, 0.005
SIZES = (200, 500, 1000, 2000, 5000, 10000)
EQUAL_SIZE, WANTED = 500, 0.9


def draw_right(num_rows: int, drop: float, rng: np.random.Generator) -> np.ndarray:
    """Which rows candidate and champion say right (2, N)."""
    lost, won = DISCORDANT / 2 + drop / 2, DISCORDANT / 2 - drop / 2
    shares = [ACCURACY - lost, won, lost, 1 - ACCURACY - won]
    kinds = rng.choice(4, num_rows, p=shares)
    return np.stack([np.isin(kinds, [0, 1]), np.isin(kinds, [0, 2])])


def judge(num_rows: int, drop: float, num_bootstrap: int, seed: int) -> Rule:
    rng = np.random.default_rng([seed, num_rows])
    labels = rng.integers(NUM_CLASSES, size=num_rows)
    scored = []
    for is_right in draw_right(num_rows, drop, rng):
        said = np.where(is_right, labels, (labels + 1) % NUM_CLASSES)
        probabilities = np.where(said[:, None] == np.arange(NUM_CLASSES), 0.91, 0.01)
        scored.append(draw_metrics(labels, probabilities, 15, num_bootstrap, seed))
    (ours, drawn), (theirs, their_drawn) = scored
    name = "balanced_accuracy"
    values = (ours[name], theirs[name])
    return judge_change(
        name, Threshold(MARGIN, DROP), values, (drawn[name], their_drawn[name]), num_rows
    )


def measure_equal(setting: Setting) -> Iterator[Row]:
    trials = [
        judge(EQUAL_SIZE, 0.0, setting.options.num_bootstrap, seed)
        for seed in range(setting.options.trials)
    ]
    different = [not (rule.low or 0) <= 0 <= (rule.high or 0) for rule in trials]
    refused = [rule.outcome == "broken" for rule in trials]
    yield make_row(f"equal: called different, of {len(trials)} trials of {EQUAL_SIZE} rows",
                   sum(different) / len(trials), "")  # fmt: skip
    yield make_row("equal: refused", sum(refused) / len(trials), "")


def measure_worse(setting: Setting) -> Iterator[Row]:
    enough = []
    for size in SIZES:
        trials = [
            judge(size, DROP, setting.options.num_bootstrap, seed)
            for seed in range(setting.options.trials)
        ]
        refused = sum(rule.outcome == "broken" for rule in trials) / len(trials)
        stated = float(np.mean([rule.power or 0.0 for rule in trials]))
        yield make_row(
            f"worse: refused at {size:,} rows, against stated power", refused, "", stated
        )
        if refused >= WANTED:
            enough.append(size)
    if enough:
        yield make_row("worse: smallest size at which 90 % are refused", min(enough), "rows")


def measure_slices(setting: Setting) -> Iterator[Row]:
    refused = 0
    for seed in range(setting.options.trials):
        rng = np.random.default_rng([seed, 1])
        candidate, champion = draw_right(2000, 0.0, rng)
        places = rng.integers(20, size=2000)
        slices = {str(number): places == number for number in range(20)}
        rules = judge_slices(slices, (candidate, champion), Threshold(0.0, 0.1), 30)
        refused += any(rule.outcome == "broken" for rule in rules)
    yield make_row("slices: equal models refused by any of 20 slices, no margin",
                   refused / setting.options.trials, "")  # fmt: skip


CELLS = (
    Cell("equal", measure_equal),
    Cell("worse", measure_worse),
    Cell("slices", measure_slices),
)


def main() -> None:
    parser = topic_parser("promotion", __doc__, CELLS)
    parser.add_argument("--trials", type=int, default=500, help="of each kind (%(default)s)")
    parser.add_argument("--num-bootstrap", type=int, default=1000, help="samples (%(default)s)")
    run_cells("promotion", CELLS, parser.parse_args())


if __name__ == "__main__":
    main()
