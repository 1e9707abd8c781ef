"""Stage promote: may the candidate take the champion's place? It decides, and only decides."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_classifier
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.errors import ArtifactError
from tasks.core.inference import chosen_device, run_net, softmax
from tasks.core.metrics import measure_predictions
from tasks.core.params import Section
from tasks.fingerprint import content_hash

WEIGHTS, NO_CHAMPION = "classifier.safetensors", "NONE"
_NUM_BINS = 15

Metric = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_f1",
    "log_loss",
    "calibration_error",
]
_DOWN_IS_GOOD = ("log_loss", "calibration_error")


class Params(Section):
    """`value`: what the candidate must reach. `change`: how much worse than the champion it may
    be. For `*_loss` and `*_error`, reaching means staying below."""

    value: dict[Metric, float]
    change: dict[Metric, float] = Field(min_length=1)


class Rule(NamedTuple):
    """One threshold and how the candidate stands to it."""

    kind: Literal["value", "change"]
    metric: str
    threshold: float
    candidate: float
    champion: float | None
    passed: bool


def main(
    images: Path,
    labels: Path,
    test: Path,
    candidate: Path,
    champion: Path,
    exported: Path,
    out_metrics: Path,
    params: Params,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    standing, judged = find_champion(champion), content_hash(candidate)
    if standing is not None and content_hash(standing) == judged:
        save_json(_document("is_champion", judged, [], []), out_metrics)
        return
    rows, pixels, table = load_rows(test), Images(images), load_table(labels)["label"]
    where = (pixels, rows, table, device, precision)
    scores = score(candidate, *where)
    agreement = load_json(exported)["agreement"]
    reasons = [] if agreement == 1 else [f"the exported model agrees on {agreement:.2%} of rows"]
    former = score(standing, *where) if standing is not None else None
    rules = judge(scores, former, params)
    reasons += [_in_words(rule) for rule in rules if not rule.passed]
    verdict = "refused" if reasons else "first" if standing is None else "pass"
    save_json(_document(verdict, judged, rules, reasons), out_metrics)


def find_champion(folder: Path) -> Path | None:
    """The champion's weights; None where `NONE` says that there is no champion yet.

    Raises ArtifactError if the folder says neither: its bytes are missing, and judging without
    them would promote anything.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if (folder / NO_CHAMPION).is_file():
        return None
    raise ArtifactError(
        f"{folder}: holds neither {WEIGHTS} nor {NO_CHAMPION}; `dvc pull {folder}` fetches the "
        "champion's bytes"
    )


def score(
    weights: Path, pixels: Images, rows: np.ndarray, labels: pd.Series, device: str, precision: str
) -> dict[str, float]:
    """Metrics on the test rows.

    Raises ArtifactError if the model has other classes or takes other pixels than the rows have.
    """
    net, description = load_classifier(weights)
    place = chosen_device(device)
    rows = rows[labels.iloc[rows].notna().to_numpy()]
    unknown = sorted(set(labels.iloc[rows]) - set(description.classes))
    shape = (description.canonical.size, description.canonical.size, description.canonical.channels)
    if unknown or shape != pixels.image_shape:
        raise ArtifactError(
            f"{weights}: knows the classes {description.classes} and images of {shape}, the test "
            f"rows have images of {pixels.image_shape} and also the classes {unknown}. To start "
            "anew, put an empty file NONE in the champion's place and `dvc add` its folder"
        )
    codes = pd.Categorical(labels.iloc[rows], categories=description.classes).codes
    probabilities_NK = softmax(run_net(net.to(place), pixels, rows, place, precision))
    return measure_predictions(codes.astype(np.int64), probabilities_NK, _NUM_BINS)


def judge(
    candidate: dict[str, float], champion: dict[str, float] | None, params: Params
) -> list[Rule]:
    """Every threshold in order of metric, values first."""
    rules = []
    for metric, threshold in sorted(params.value.items()):
        sign = -1 if metric in _DOWN_IS_GOOD else 1
        passed = sign * candidate[metric] >= sign * threshold
        rules.append(Rule("value", metric, threshold, candidate[metric], None, passed))
    for metric, threshold in sorted(params.change.items()) if champion is not None else []:
        assert champion is not None
        sign = -1 if metric in _DOWN_IS_GOOD else 1
        passed = sign * (candidate[metric] - champion[metric]) >= -threshold
        rules.append(Rule("change", metric, threshold, candidate[metric], champion[metric], passed))
    return rules


def _in_words(rule: Rule) -> str:
    if rule.kind == "value":
        return f"{rule.metric} is {rule.candidate:.4f}, the threshold {rule.threshold:.4f}"
    return (
        f"{rule.metric} is {rule.candidate:.4f}, the champion's {rule.champion:.4f}; it may be "
        f"worse by {rule.threshold:.4f}"
    )


def _document(verdict: str, judged: str, rules: list[Rule], reasons: list[str]) -> dict:
    return {
        "verdict": verdict,
        "candidate_sha256": judged,
        "reasons": reasons,
        "rules": [rule._asdict() for rule in rules],
    }
