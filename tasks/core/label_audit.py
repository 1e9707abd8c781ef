"""The audit of labels, whole: judged rows, weights, expected errors, outliers, what it brings.

N rows of the manifest, D width of the embedding, K classes
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from tasks.core.decisions import Decision, apply_decisions
from tasks.core.label_noise import count_errors, find_noisy_pairs, find_overlapping
from tasks.core.label_quality import (
    Features,
    Judge,
    Probe,
    choose_judge,
    group_numbers,
    out_of_fold_logits,
    score_labels,
)
from tasks.core.label_value import Exam, Lesson, compare_measures
from tasks.core.neighbours import Space, find_outliers
from tasks.core.params import Section
from tasks.core.review import count_answers, find_suspicious, weigh

SPLITS = ("train", "val", "test")
_NUM_SEEDS = 3
_MOST_COMPARED = 10_000
_NUM_PAIRS = 20

Fraction = Annotated[float, Field(gt=0, lt=1)]


class AuditParams(Section):
    """`penalties` of the ridge regression on embeddings, of which the best out of fold is taken,
    and `num_landmarks` of its kernel; `least_weight` of a train row whose label is surely wrong;
    two classes overlap where `overlap_fraction` of their rows show the other; an outlier lies
    `outlier_reach` interquartile ranges beyond others; `left_out_fractions` are tried on val."""

    num_folds: Annotated[int, Field(ge=2, le=20)]
    penalties: Annotated[list[PositiveFloat], Field(min_length=1)]
    num_landmarks: PositiveInt
    num_neighbours: PositiveInt
    least_weight: Annotated[float, Field(ge=0, le=1)]
    overlap_fraction: Fraction
    outlier_reach: NonNegativeFloat
    left_out_fractions: list[Fraction]


class Subject(NamedTuple):
    """What is audited. `table`: image_id, path, label, group; `present`: rows by split."""

    table: pd.DataFrame
    embeddings_ND: np.ndarray
    present: Mapping[str, np.ndarray]
    decided: Mapping[str, Decision]
    classes: list[str]

    def codes(self, labels: pd.Series) -> np.ndarray:
        """Class numbers (N,), −1 without a label."""
        return pd.Categorical(labels, categories=self.classes).codes.astype(int)


class Findings(NamedTuple):
    """`labels`: image_id, label, decision, weight. `queue`: rows for people, worst first.
    `outliers`: rows that look like no class, farthest first."""

    labels: pd.DataFrame
    queue: pd.DataFrame
    outliers: np.ndarray
    metrics: dict[str, Any]


def audit_labels(subject: Subject, params: AuditParams, seed: int) -> Findings:
    """Train rows are judged by probes that have not seen them, held-out rows by one that has seen
    all of train; no held-out row has a say about another row.

    Raises ParamsError if train has fewer groups than folds.
    """
    table, embeddings_ND, decided = subject.table, subject.embeddings_ND, subject.decided
    labels = apply_decisions(table["image_id"], table["label"], dict(decided))
    codes_N = subject.codes(labels["label"])
    rows = {split: subject.present[split][codes_N[subject.present[split]] >= 0] for split in SPLITS}
    judge, probabilities_NK = judge_rows(subject, codes_N, rows["train"], params, seed)
    quality = {split: score_labels(codes_N[rows[split]], probabilities_NK[rows[split]])
               for split in SPLITS}  # fmt: skip
    queue = pd.concat(
        [
            find_suspicious(table, split, rows[split], codes_N, quality[split], subject.classes)
            for split in SPLITS
        ]
    ).sort_values(["score", "image_id"], ignore_index=True)
    weights_N = weigh(labels, rows["train"], quality["train"], codes_N, params.least_weight)
    answered = labels["decision"].iloc[rows["train"]].ne("").to_numpy()
    lesson = Lesson(
        features_NF=embeddings_ND[rows["train"]],
        labels_N=codes_N[rows["train"]],
        weights_N=weights_N[rows["train"]],
        score_N=np.where(answered, 1.0, quality["train"].score_N),
    )
    outliers = find_outlying(embeddings_ND, rows, params)
    joint_KK = count_errors(lesson.labels_N, probabilities_NK[rows["train"]])
    suggested_N = np.where(probabilities_NK.any(axis=1), probabilities_NK.argmax(axis=1), -1)
    to_review = queue[~queue["image_id"].isin(list(decided))].reset_index(drop=True)
    verbs = [decision.verb for decision in decided.values()]
    metrics = {
        "num_suspicious": {split: int((queue["split"] == split).sum()) for split in SPLITS},
        "num_to_review": len(to_review),
        "num_decisions": {verb: verbs.count(verb) for verb in ("keep", "relabel", "drop")},
        "answers": count_answers(
            table["image_id"], subject.codes(table["label"]), suggested_N, decided
        ),
        "judge": {"penalty": judge.penalty, "temperature": round(judge.temperature, 6)},
        "expected_errors": {
            "fraction": round(1 - float(np.trace(joint_KK) / joint_KK.sum()), 6),
            "pairs": find_noisy_pairs(joint_KK, subject.classes, _NUM_PAIRS),
        },
        "overlapping_classes": find_overlapping(joint_KK, subject.classes, params.overlap_fraction),
        "num_outliers": {split: int(np.isin(outliers, rows[split]).sum()) for split in SPLITS},
        "value": measure_value(subject, lesson, rows["val"], codes_N, judge, params, seed),
    }
    return Findings(labels.assign(weight=weights_N), to_review, outliers, metrics)


def judge_rows(
    subject: Subject, codes_N: np.ndarray, train: np.ndarray, params: AuditParams, seed: int
) -> tuple[Judge, np.ndarray]:
    """Calibrated probabilities (N, K) of all rows in a split, 0 elsewhere."""
    embeddings_ND, num_classes = subject.embeddings_ND, len(subject.classes)
    taught_ND, labels = embeddings_ND[train], codes_N[train]
    groups = group_numbers(subject.table["group"])[train]
    logits_PNK = out_of_fold_logits(
        taught_ND, labels, groups, num_classes, params.penalties, params.num_folds,
        params.num_landmarks, seed,
    )  # fmt: skip
    judge, logits = choose_judge(logits_PNK, labels, params.penalties)
    features = Features(taught_ND, params.num_landmarks, seed)
    probe = Probe(num_classes, judge.penalty).fit(features(taught_ND), labels)
    probabilities_NK = np.zeros((len(embeddings_ND), num_classes))
    others = np.setdiff1d(np.concatenate([subject.present[split] for split in SPLITS]), train)
    if len(others):
        predicted = probe.predict(features(embeddings_ND[others]))
        probabilities_NK[others] = judge.probabilities(predicted)
    probabilities_NK[train] = judge.probabilities(logits)
    return judge, probabilities_NK


def find_outlying(
    embeddings_ND: np.ndarray, rows: Mapping[str, np.ndarray], params: AuditParams
) -> np.ndarray:
    """Labelled rows that lie far from all others, farthest first."""
    space, train = Space(embeddings_ND[rows["train"]]), rows["train"]
    held_out = np.concatenate([rows["val"], rows["test"]])
    within = space.find_nearest_others(np.arange(len(train)), params.num_neighbours)
    beyond = space.find_nearest(embeddings_ND[held_out], params.num_neighbours)
    distances = [near.distance_MJ.mean(axis=1) for near in (within, beyond)]
    everywhere, everything = np.concatenate([train, held_out]), np.concatenate(distances)
    is_outlier = find_outliers(distances[0], everything, params.outlier_reach)
    order = np.lexsort([everywhere, -everything])
    return everywhere[order][is_outlier[order]]


def measure_value(
    subject: Subject,
    lesson: Lesson,
    val: np.ndarray,
    codes_N: np.ndarray,
    judge: Judge,
    params: AuditParams,
    seed: int,
) -> dict[str, Any]:
    """What weights and leaving out the worst bring on val; empty where val is."""
    if len(val) == 0:
        return {}
    features = Features(lesson.features_NF, params.num_landmarks, seed)
    compared = compare_measures(
        lesson._replace(features_NF=features(lesson.features_NF)),
        Exam(features(subject.embeddings_ND[val]), codes_N[val]),
        len(subject.classes),
        judge.penalty,
        params.left_out_fractions,
        [seed + number for number in range(_NUM_SEEDS)],
        _MOST_COMPARED,
    )
    return {
        name: {key: round(value, 6) for key, value in comparison._asdict().items()}
        | ({} if name == "plain" else {"verdict": comparison.verdict})
        for name, comparison in compared.items()
    }
