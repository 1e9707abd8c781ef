"""A measure that helps is said to help, one that does nothing is not, and val only measures."""

import numpy as np
import pytest

from tasks.core.label_value import Exam, Lesson, compare_measures, measures


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


def test_the_same_rows_give_the_same_comparison():
    lesson, exam = lesson_of(300, 0, flipped=0.1)
    first, second = (compared(lesson, exam) for _ in range(2))
    assert first == second
