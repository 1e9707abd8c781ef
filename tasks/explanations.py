"""What metrics/explain.json tells: each method's checks, and what imitates the net.

N images, F features, T steps, L levels
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from tasks.core.attribution_checks import (
    Subject,
    area_under,
    compare_areas,
    mean_interval,
    random_ranks,
    randomise,
    rank_cells,
    trace_curves,
)
from tasks.core.attributions import Method, attribute, why_unavailable
from tasks.core.params import Section
from tasks.core.rank_correlation import rank_correlations
from tasks.core.rules import (
    Fit,
    describe_rule,
    fit_list,
    fit_tree,
    judge_rules,
    measure_fidelity,
)
from tasks.core.surrogates import Surrogate, imitate_classes, imitate_confidence, make_features

_LEAST_ROWS = 20
_DIGITS = 6


class Checks(Section):
    """How methods are tried: cells of a grid of `cells_across`² are taken from `num_images` in
    `num_steps`, beside `num_random` random orders; on `num_broken` of them the net is broken in
    `num_levels`. A method fails whose maps of the net and of its ruin may be correlated by
    `most_correlation` or more."""

    num_images: Annotated[int, Field(ge=2)]
    cells_across: Annotated[int, Field(ge=2)]
    num_steps: PositiveInt
    num_random: PositiveInt
    num_broken: Annotated[int, Field(ge=2)]
    num_levels: PositiveInt
    most_correlation: Annotated[float, Field(gt=0, le=1)]


class Imitation(Section):
    """Forests, a tree of `tree_depth` and a list of `num_rules` are taught what the net says by at
    most `num_rows`; of each rule at least `least_rows` of them must be an example."""

    num_rows: PositiveInt
    tree_depth: PositiveInt
    num_rules: PositiveInt
    least_rows: PositiveInt


class Said(NamedTuple):
    """What the net says of its test rows: the classes' numbers and their probabilities."""

    labels_N: np.ndarray
    probabilities_NK: np.ndarray

    @property
    def classes_N(self) -> np.ndarray:
        return self.probabilities_NK.argmax(axis=1)

    @property
    def is_right_N(self) -> np.ndarray:
        return self.classes_N == self.labels_N


def check_methods(
    methods: Sequence[Method], subject: Subject, checks: Checks, seed: int
) -> dict[str, Any]:
    """Per method its curves, areas beside random ones, and correlations with maps of broken nets,
    or why it is unavailable; and the curves of random orders."""
    rng = np.random.default_rng(seed)
    shape = subject.images_NHWC.shape[1:]
    reasons = {one.name: why_unavailable(one, subject.net, shape) for one in methods}
    usable = [one for one in methods if not reasons[one.name]]
    maps = {one.name: explain_subject(one, subject, seed) for one in usable}
    num_cells = rank_cells(np.zeros((1, *shape[:2])), subject.cells_across, rng).shape[1]
    drawn = [
        random_ranks(len(subject.images_NHWC), num_cells, rng) for _ in range(checks.num_random)
    ]
    random = [trace_curves(subject, ranks_NG, checks.num_steps) for ranks_NG in drawn]
    beside = {
        "deletion": np.mean([one.deletion_NT for one in random], axis=0),
        "insertion": np.mean([one.insertion_NT for one in random], axis=0),
    }
    broken = _compare_with_broken(usable, subject, maps, checks, seed)
    found: dict[str, Any] = {name: {"unavailable": why} for name, why in reasons.items() if why}
    for name, maps_NHW in maps.items():
        ranks_NG = rank_cells(maps_NHW, subject.cells_across, rng)
        deletion_NT, insertion_NT = trace_curves(subject, ranks_NG, checks.num_steps)
        parts = {
            "deletion": _judge_curves(deletion_NT, beside["deletion"], False, seed),
            "insertion": _judge_curves(insertion_NT, beside["insertion"], True, seed),
            "randomisation": broken[name],
        }
        found[name] = {**parts, "passed": all(part["passed"] for part in parts.values())}
    means = {name: curve_NT.mean(axis=0).tolist() for name, curve_NT in beside.items()}
    return {"methods": found, "random": means, "num_images": len(subject.images_NHWC)}


def explain_subject(method: Method, subject: Subject, seed: int) -> np.ndarray:
    images_NHWC, classes_N = subject.images_NHWC, subject.classes_N
    return attribute(method, subject.net, images_NHWC, classes_N, subject.nothing_C, seed)


def _judge_curves(
    curves_NT: np.ndarray, random_NT: np.ndarray, more: bool, seed: int
) -> dict[str, Any]:
    beside = compare_areas(area_under(curves_NT), area_under(random_NT), more, seed)
    return {**beside._asdict(), "curve": curves_NT.mean(axis=0).tolist()}


def _compare_with_broken(
    methods: Sequence[Method],
    subject: Subject,
    maps: dict[str, np.ndarray],
    checks: Checks,
    seed: int,
) -> dict[str, Any]:
    few = subject.first(checks.num_broken)
    correlations: dict[str, list[np.ndarray]] = {one.name: [] for one in methods}
    for net in randomise(few, checks.num_levels, seed):
        for method in methods:
            ruins_NHW = explain_subject(method, few._replace(net=net), seed)
            known_NHW = maps[method.name][: len(ruins_NHW)]
            flat = (one.reshape(len(one), -1) for one in (known_NHW, ruins_NHW))
            correlations[method.name].append(rank_correlations(*flat))
    told = {}
    for name, levels in correlations.items():
        whole = mean_interval(levels[-1], seed)
        told[name] = {
            "correlations": [float(level_N.mean()) for level_N in levels],
            "low": whole.low,
            "high": whole.high,
            "passed": whole.high < checks.most_correlation,
        }
    return told


def imitate(
    table: pd.DataFrame, said: Said, classes: Sequence[str], imitation: Imitation, seed: int
) -> dict[str, Any]:
    """Forests and rules that imitate the net on measures and metadata of its test rows.

    table: what is known of each row. Empty where there are too few rows, or nothing that differs.
    """
    rows = np.random.default_rng(seed).permutation(len(table))[: imitation.num_rows]
    rows = np.sort(rows)
    features = make_features(table.iloc[rows])
    said = Said(said.labels_N[rows], said.probabilities_NK[rows])
    if len(rows) < _LEAST_ROWS or features.empty:
        return {}
    of_label_N = said.probabilities_NK[np.arange(len(rows)), said.labels_N]
    features_NF, least = features.to_numpy(), imitation.least_rows
    tree = partial(fit_tree, depth=imitation.tree_depth, least_rows=least, seed=seed)
    ordered = partial(fit_list, num_rules=imitation.num_rules, least_rows=least, seed=seed)
    told = partial(_tell_rules, features_NF, said, list(features.columns), classes, seed)
    counts = np.bincount(said.classes_N)
    return {
        "num_rows": len(rows),
        "features": list(features.columns),
        "right": _tell_surrogate(imitate_confidence(features, of_label_N, seed)),
        "said": _tell_surrogate(imitate_classes(features, said.classes_N, seed)),
        "most_said_fraction": float(counts.max() / len(rows)),
        "tree": told(tree),
        "list": told(ordered),
    }


def _tell_surrogate(surrogate: Surrogate | None) -> dict[str, Any] | None:
    return None if surrogate is None else surrogate._asdict()


def _tell_rules(
    features_NF: np.ndarray,
    said: Said,
    names: list[str],
    classes: Sequence[str],
    seed: int,
    fit: Fit,
) -> dict[str, Any]:
    rules = fit(features_NF, said.classes_N)
    judged = judge_rules(rules, features_NF, said.classes_N, said.is_right_N)
    return {
        "fidelity": measure_fidelity(fit, features_NF, said.classes_N, seed),
        "rules": [
            {
                "rule": describe_rule(one.rule, names),
                "says": classes[one.rule.says],
                "num_rows": one.num_rows,
                "fidelity": one.fidelity,
                "accuracy": one.accuracy,
            }
            for one in judged
        ],
    }


def rounded(document: Any) -> Any:
    """Numbers of a document to six digits, so that it does not differ where nobody could see it."""
    if isinstance(document, dict):
        return {key: rounded(value) for key, value in document.items()}
    if isinstance(document, list):
        return [rounded(value) for value in document]
    return round(document, _DIGITS) if isinstance(document, float) else document
