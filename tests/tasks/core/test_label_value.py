"""A measure that helps is said to help, one that does nothing is not, and val only measures."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from tasks.core.label_value import Exam, Lesson, compare, compare_measures, draw_shares, measures


def lesson_of(num_rows: int, seed: int, flipped: float) -> tuple[Lesson, Exam]:
    """Two classes, a share of class 0 called 1, weights and scores that know which."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=2 * num_rows)
    features = rng.normal(size=(2 * num_rows, 2)) + 2.0 * np.stack([truth, -truth], axis=1)
    train, val = slice(None, num_rows), slice(num_rows, None)
    is_wrong = (truth[train] == 0) & (rng.random(num_rows) < flipped)
    lesson = Lesson(
        features_NF=features[train],
        labels_N=np.where(is_wrong, 1, truth[train]),
        weights_N=np.where(is_wrong, 0.05, 1.0),
        score_N=np.where(is_wrong, 0.1, 0.9),
    )
    return lesson, Exam(features[val], truth[val])


def compared(lesson: Lesson, exam: Exam):
    return compare_measures(lesson, exam, 2, 1.0, [0.1, 0.2], [0, 1, 2], 10_000)


def test_weights_that_know_what_is_wrong_help():
    found = compared(*lesson_of(600, 0, flipped=0.45))
    assert found["weighted"].verdict == found["without_worst_0.2"].verdict == "helped"
    assert found["weighted"].difference > 0.05
    assert found["weighted"].low < found["weighted"].difference < found["weighted"].high
    plain = found["plain"]
    assert found["weighted"].balanced_accuracy - plain.balanced_accuracy == pytest.approx(
        found["weighted"].difference
    )


def test_weights_that_trust_the_wrong_hurt():
    lesson, exam = lesson_of(600, 0, flipped=0.3)
    mistaken = lesson._replace(weights_N=np.where(lesson.weights_N == 1, 0.1, 1.0))
    assert compared(mistaken, exam)["weighted"].verdict == "hurt"


def test_equal_weights_make_no_difference():
    lesson, exam = lesson_of(300, 0, flipped=0.1)
    equal = compared(lesson._replace(weights_N=np.ones(300)), exam)["weighted"]
    assert (equal.difference, equal.low, equal.high) == (0, 0, 0)
    assert equal.verdict == "made no difference"


def test_the_worst_are_left_out():
    lesson, _ = lesson_of(200, 0, flipped=0.1)
    num_wrong = int((lesson.score_N < 0.5).sum())
    assert 0 < num_wrong < 40
    kept = measures(lesson, [0.2])["without_worst_0.2"]
    assert len(kept.labels_N) == 160
    assert (kept.score_N > 0.5).all() and (kept.weights_N == 1).all()
    assert measures(lesson, [])["plain"].weights_N.tolist() == [1] * 200


def test_val_labels_change_what_is_measured_and_nothing_else():
    lesson, exam = lesson_of(300, 0, flipped=0.1)
    rng = np.random.default_rng(0)
    labels = (np.arange(300) % 2).astype(int)
    right = rng.random((3, 300)) < 0.8
    shares = draw_shares(labels, np.random.default_rng(0))
    one = compare(right, right, labels, shares, np.random.default_rng(0))
    said = np.where(right, labels, 1 - labels)
    scores = [balanced_accuracy_score(labels, each) for each in said]
    assert one.balanced_accuracy == pytest.approx(np.mean(scores))
    assert one.sd == pytest.approx(np.std(scores, ddof=1))
    first, second = (compared(lesson, exam) for _ in range(2))
    assert first == second


def test_bootstrap_shares_keep_classes_equal():
    labels = np.array([0] * 90 + [2] * 10)
    shares = draw_shares(labels, np.random.default_rng(0))
    assert shares[:, labels == 0].sum(axis=1) == pytest.approx(0.5)
    assert shares[:, labels == 2].sum(axis=1) == pytest.approx(0.5)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two measures that are right equally often: 95 % of intervals hold 0, or nearly so many."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    held = 0
    for _ in range(60):
        # Seeds mostly agree on a val row, as models of the same data do.
        plain, other = (np.repeat(rng.random((1, 200)) < 0.8, 3, axis=0) for _ in range(2))
        one = compare(other, plain, labels, draw_shares(labels, rng), rng)
        held += one.verdict == "made no difference"
    assert 51 <= held <= 60
