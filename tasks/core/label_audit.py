"""The audit of labels, whole: judged rows, weights, expected errors, outliers, what it brings.

N rows of the manifest, D width of the embedding, K classes
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from tasks.core.decisions import Decision, apply_decisions
from tasks.core.label_noise import (
    count_errors,
    find_noisy_pairs,
    find_overlapping,
    trust_labels,
)
from tasks.core.label_quality import (
    Features,
    Judge,
    LabelQuality,
    Probe,
    choose_judge,
    group_numbers,
    out_of_fold_logits,
    score_labels,
)
from tasks.core.label_value import Exam, Lesson, compare_measures
from tasks.core.looks import Look
from tasks.core.neighbours import Space, find_outliers
from tasks.core.params import Section
from tasks.core.review import count_answers, find_suspicious, weigh

SPLITS = ("train", "val", "test")
_NUM_SEEDS = 3
_MOST_COMPARED = 10_000
_NUM_PAIRS = 20

Fraction = Annotated[float, Field(gt=0, lt=1)]


class AuditParams(Section):
    """`looks` at images and `penalties` of the ridge regression, of which the best out of fold are
    taken, and `num_landmarks` of its kernel; `least_weight` of a train row whose label is surely
    wrong; two classes overlap where `overlap_fraction` of their rows show the other; an outlier
    lies `outlier_reach` interquartile ranges beyond others; `left_out_fractions` are tried on
    val."""

    num_folds: Annotated[int, Field(ge=2, le=20)]
    looks: Annotated[list[Look], Field(min_length=1)]
    penalties: Annotated[list[PositiveFloat], Field(min_length=1)]
    num_landmarks: PositiveInt
    num_neighbours: PositiveInt
    least_weight: Annotated[float, Field(ge=0, le=1)]
    overlap_fraction: Fraction
    outlier_reach: NonNegativeFloat
    left_out_fractions: list[Fraction]


class Subject(NamedTuple):
    """What is audited. `table`: image_id, path, label, group; `seen`: what the encoder makes of
    each row, by look, among them the embedding (`whole`); `present`: rows by split."""

    table: pd.DataFrame
    seen: Mapping[Look, np.ndarray]
    present: Mapping[str, np.ndarray]
    decided: Mapping[str, Decision]
    classes: list[str]

    @property
    def embeddings_ND(self) -> np.ndarray:
        return self.seen["whole"]

    def codes(self, labels: pd.Series) -> np.ndarray:
        """Class numbers (N,), −1 without a label."""
        return pd.Categorical(labels, categories=self.classes).codes.astype(int)


class Judged(NamedTuple):
    """`labels`: image_id, label, decision, and `codes_N` of those labels; `rows`: those with a
    label, by split; `probabilities_NK`: calibrated, 0 where no split has the row."""

    labels: pd.DataFrame
    codes_N: np.ndarray
    rows: Mapping[str, np.ndarray]
    judge: Judge
    probabilities_NK: np.ndarray

    def quality(self, split: str) -> LabelQuality:
        rows = self.rows[split]
        return score_labels(self.codes_N[rows], self.probabilities_NK[rows])

    def trusted(self, split: str) -> np.ndarray:
        """The probability of each label to be right."""
        rows = self.rows[split]
        return trust_labels(self.codes_N[rows], self.probabilities_NK[rows])


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
    judged = judge_labels(subject, params, seed)
    train, of_train = judged.rows["train"], judged.quality("train")
    flagged = pd.concat(
        [
            find_suspicious(
                subject.table, split, judged.rows[split], judged.codes_N, judged.quality(split),
                subject.classes,
            )
            for split in SPLITS
        ]
    ).sort_values(["score", "image_id"], ignore_index=True)  # fmt: skip
    queue = flagged[~flagged["image_id"].isin(list(subject.decided))].reset_index(drop=True)
    weights_N = weigh(judged.labels, train, judged.trusted("train"), params.least_weight)
    outliers = find_outlying(subject.embeddings_ND, judged.rows, params)
    is_decided = judged.labels["decision"].iloc[train].ne("").to_numpy()
    lesson = Lesson(
        features_NF=subject.seen[judged.judge.look][train],
        labels_N=judged.codes_N[train],
        weights_N=weights_N[train],
        score_N=np.where(is_decided, 1.0, of_train.score_N),
    )
    metrics = {
        "num_suspicious": {split: int((flagged["split"] == split).sum()) for split in SPLITS},
        "num_to_review": len(queue),
        "num_outliers": {s: int(np.isin(outliers, judged.rows[s]).sum()) for s in SPLITS},
        "judge": {
            "look": judged.judge.look,
            "penalty": judged.judge.penalty,
            "temperature": round(judged.judge.temperature, 6),
        },
        **_measure_answers(subject, judged),
        **_measure_errors(subject, judged, params),
        "value": measure_value(subject, judged, lesson, params, seed),
    }
    return Findings(judged.labels.assign(weight=weights_N), queue, outliers, metrics)


def judge_labels(subject: Subject, params: AuditParams, seed: int) -> Judged:
    """Applies what people decided, and judges every row of a split, with a label or without."""
    labels = apply_decisions(
        subject.table["image_id"], subject.table["label"], dict(subject.decided)
    )
    codes_N = subject.codes(labels["label"])
    rows = {split: present[codes_N[present] >= 0] for split, present in subject.present.items()}
    judge, probabilities_NK = judge_rows(subject, codes_N, rows["train"], params, seed)
    return Judged(labels, codes_N, rows, judge, probabilities_NK)


def _measure_answers(subject: Subject, judged: Judged) -> dict[str, Any]:
    verbs = [decision.verb for decision in subject.decided.values()]
    before_N = subject.codes(subject.table["label"])
    is_judged_N = judged.probabilities_NK.any(axis=1)
    suggested_N = np.where(is_judged_N, judged.probabilities_NK.argmax(axis=1), -1)
    image_ids = subject.table["image_id"]
    return {
        "num_decisions": {verb: verbs.count(verb) for verb in ("keep", "relabel", "drop")},
        "answers": count_answers(image_ids, before_N, suggested_N, subject.decided),
    }


def _measure_errors(subject: Subject, judged: Judged, params: AuditParams) -> dict[str, Any]:
    train, classes = judged.rows["train"], subject.classes
    joint_KK = count_errors(judged.codes_N[train], judged.probabilities_NK[train])
    return {
        "expected_errors": {
            "fraction": round(1 - float(np.trace(joint_KK) / joint_KK.sum()), 6),
            "pairs": find_noisy_pairs(joint_KK, classes, _NUM_PAIRS),
        },
        "overlapping_classes": find_overlapping(joint_KK, classes, params.overlap_fraction),
    }


def judge_rows(
    subject: Subject, codes_N: np.ndarray, train: np.ndarray, params: AuditParams, seed: int
) -> tuple[Judge, np.ndarray]:
    """Calibrated probabilities (N, K) of all rows in a split, 0 elsewhere."""
    labels, num_classes = codes_N[train], len(subject.classes)
    groups = group_numbers(subject.table["group"])[train]
    judge, logits = choose_judge(
        {
            look: out_of_fold_logits(
                subject.seen[look][train], labels, groups, num_classes, params.penalties,
                params.num_folds, params.num_landmarks, seed,
            )
            for look in params.looks
        },
        labels,
        params.penalties,
    )  # fmt: skip
    seen = subject.seen[judge.look]
    features = Features(seen[train], params.num_landmarks, seed)
    probe = Probe(num_classes, judge.penalty).fit(features(seen[train]), labels)
    probabilities_NK = np.zeros((len(seen), num_classes))
    others = np.setdiff1d(np.concatenate([subject.present[split] for split in SPLITS]), train)
    if len(others):
        predicted = probe.predict(features(seen[others]))
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
    subject: Subject, judged: Judged, lesson: Lesson, params: AuditParams, seed: int
) -> dict[str, Any]:
    """What weights and leaving out the worst bring on val; empty where val is."""
    val = judged.rows["val"]
    if len(val) == 0:
        return {}
    features = Features(lesson.features_NF, params.num_landmarks, seed)
    compared = compare_measures(
        lesson._replace(features_NF=features(lesson.features_NF)),
        Exam(features(subject.seen[judged.judge.look][val]), judged.codes_N[val]),
        len(subject.classes),
        judged.judge.penalty,
        params.left_out_fractions,
        [seed + number for number in range(_NUM_SEEDS)],
        _MOST_COMPARED,
    )
    return {
        name: {key: round(value, 6) for key, value in comparison._asdict().items()}
        | ({} if name == "plain" else {"verdict": comparison.verdict})
        for name, comparison in compared.items()
    }
