"""What reports/tune.html shows: the trials of a search, which params mattered, and what is best."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pages.blocks import (
    Axis,
    Bars,
    Block,
    Code,
    Facts,
    Folded,
    Lines,
    Notice,
    Parallel,
    Section,
    Strand,
    Table,
    Text,
)
from pages.text import shown

_BEST_FRACTION = 0.2


class Tried(NamedTuple):
    """A trial; number 0 has the values that params.yaml had. `outcome`: complete, stopped (by the
    pruner, after `num_steps`), refused (for `reason`), interrupted, running or waiting."""

    number: int
    outcome: str
    score: float | None
    num_steps: int
    values: Mapping[str, Any]
    reason: str


class Scale(NamedTuple):
    """Where values may lie: between `low` and `high`, or among `choices`."""

    low: float
    high: float
    log: bool
    choices: Sequence[Any]


class Tuning(NamedTuple):
    """Everything on the page. `present`: what params.yaml has now; `patch`: the way to the best."""

    study: str
    metric: str
    is_lower_better: bool
    num_folds: int
    is_done: bool
    num_asked: int
    trials: Sequence[Tried]
    best: Tried | None
    present: Mapping[str, Any]
    importances: Mapping[str, float]
    scales: Mapping[str, Scale]
    patch: str


def tuning_notice(tuning: Tuning) -> Notice:
    best, first = tuning.best, _present_trial(tuning)
    if best is None:
        return Notice("bad", "No trial ended well: every trial below says why.")
    parts = [] if tuning.is_done else ["The search is not done; the same command goes on with it."]
    score = f"{_name(tuning)} {shown(best.score)}"
    if not tuning.patch:
        parts.append(f"Nothing is better than what params.yaml has: {score}.")
    elif first is not None and first.score is not None:
        parts.append(f"Best is trial {best.number}: {score}, where the former values had "
                     f"{shown(first.score)}.")  # fmt: skip
    else:
        parts.append(f"Best is trial {best.number}: {score}.")
    return Notice("good" if tuning.is_done else "warning", " ".join(parts))


def tuning_sections(tuning: Tuning) -> list[Section]:
    return [
        Section("What is best", _best(tuning)),
        Section("How it went", _history(tuning)),
        Section("Which params mattered", _importances(tuning)),
        Section("Which values did well", _parallel(tuning)),
        Section("Every trial", _trials(tuning)),
    ]


def _name(tuning: Tuning) -> str:
    return tuning.metric.replace("_", " ")


def _present_trial(tuning: Tuning) -> Tried | None:
    return next((trial for trial in tuning.trials if trial.number == 0), None)


def _complete(tuning: Tuning) -> list[Tried]:
    return [trial for trial in tuning.trials if trial.score is not None]


def _best(tuning: Tuning) -> list[Block]:
    counts = Counter(trial.outcome for trial in tuning.trials)
    facts = Facts(
        {
            f"best {_name(tuning)}": "–" if tuning.best is None else shown(tuning.best.score),
            "trials run to the end": counts["complete"],
            "stopped early": counts["stopped"],
            "refused": counts["refused"],
            "asked for": tuning.num_asked,
        }
    )
    if tuning.best is None:
        return [facts]
    rows = [
        [name, _text(present), _text(tuning.best.values[name])]
        for name, present in tuning.present.items()
    ]
    judged = f"{tuning.num_folds} folds of the train rows" if tuning.num_folds else "the val rows"
    blocks: list[Block] = [
        facts,
        Table(["param", "in params.yaml", "best"], rows),
        Text(
            f"Each trial was judged on {judged}. The best of many is a little too good to be true "
            "there; evaluate measures it once on test, after `dvc repro`."
        ),
    ]
    if tuning.patch:
        return [*blocks, Text("The patch that `--apply` makes:"), Code(tuning.patch)]
    return blocks


def _history(tuning: Tuning) -> list[Block]:
    scores = [trial.score for trial in tuning.trials]
    better = min if tuning.is_lower_better else max
    best: list[float | None] = []
    for number in range(len(scores)):
        so_far = [score for score in scores[: number + 1] if score is not None]
        best.append(better(so_far) if so_far else None)
    series = {"this trial": scores, "best so far": best}
    return [
        Lines(
            series,  # type: ignore[arg-type]
            "trials, in order",
            f"{_name(tuning).capitalize()}, {_direction(tuning)}; gaps are trials that did not "
            "come to their end.",
        )
    ]


def _direction(tuning: Tuning) -> str:
    return "lower is better" if tuning.is_lower_better else "higher is better"


def _importances(tuning: Tuning) -> list[Block]:
    if not tuning.importances:
        return [Text("Too few trials with different scores came to their end to tell.")]
    return [
        Bars(
            {"share": dict(tuning.importances)},
            "Share of the variance of scores that a param explains, over the whole space (fANOVA). "
            "A param without importance may keep its value.",
        )
    ]


def _parallel(tuning: Tuning) -> list[Block]:
    complete = sorted(
        _complete(tuning),
        key=lambda one: (one.score or 0.0) * (1 if tuning.is_lower_better else -1),
    )
    if not complete:
        return [Text("No trial came to its end.")]
    scores = [trial.score or 0.0 for trial in complete]
    of_score = Scale(min(scores), max(scores), False, ())
    axes = [Axis(name, _marks(scale)) for name, scale in tuning.scales.items()]
    axes.append(Axis(f"{_name(tuning)} ({_direction(tuning)})", _marks(of_score)))
    num_good = max(1, math.ceil(_BEST_FRACTION * len(complete)))
    strands = [
        Strand(
            f"trial {trial.number}: {shown(trial.score)}",
            [
                *(_share(scale, trial.values[name]) for name, scale in tuning.scales.items()),
                _share(of_score, trial.score),
            ],
            0 if rank == 0 else 1 if rank < num_good else 2,
        )
        for rank, trial in enumerate(complete)
    ]
    caption = "A line is a trial that came to its end; each param has its axis, low to high."
    return [Parallel(axes, strands[::-1], ("best", "best fifth", "others"), caption)]


def _marks(scale: Scale) -> list[tuple[str, float]]:
    if scale.choices:
        return [(_text(one), _share(scale, one)) for one in scale.choices]
    if scale.low == scale.high:
        return [(shown(scale.low), 0.5)]
    return [(shown(scale.low), 0.0), (shown(scale.high), 1.0)]


def _share(scale: Scale, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if scale.choices:
        place = list(scale.choices).index(value)
        return place / (len(scale.choices) - 1) if len(scale.choices) > 1 else 0.5
    low, high, at = (math.log(x) if scale.log else x for x in (scale.low, scale.high, value))
    return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5


def _trials(tuning: Tuning) -> list[Block]:
    names = list(tuning.present)
    rows = [
        [
            trial.number,
            f"stopped after {trial.num_steps} steps"
            if trial.outcome == "stopped"
            else trial.outcome,
            trial.score,
            *(_text(trial.values[name]) if name in trial.values else "–" for name in names),
        ]
        for trial in tuning.trials
    ]
    reasons = [[trial.number, trial.reason] for trial in tuning.trials if trial.reason]
    blocks: list[Block] = [
        Folded(
            f"{len(rows)} trials with their values",
            [Table(["trial", "outcome", _name(tuning), *names], rows, "Trial 0: params.yaml.")],
        )
    ]
    if reasons:
        blocks.insert(0, Table(["trial", "refused, because"], reasons))
    return blocks


def _text(value: Any) -> str:
    """As params.yaml has it, or nearly so."""
    return value if isinstance(value, str) else json.dumps(value)
