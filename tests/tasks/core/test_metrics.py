"""Every number equals scikit-learn's, also where classes are missing."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from tasks.core.metrics import (
    bootstrap_metrics,
    calibration_error,
    confusion_matrix,
    log_losses,
    measure_predictions,
    scores_of_confusion,
    scores_per_class,
)


@st.composite
def predictions(draw, max_classes=6):
    num_classes = draw(st.integers(2, max_classes))
    occurring = draw(st.lists(st.integers(0, num_classes - 1), min_size=1, unique=True))
    labels = draw(st.lists(st.sampled_from(occurring), min_size=1, max_size=40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(len(labels), num_classes)) * draw(st.sampled_from([0.1, 1.0, 5.0]))
    # A class that is hardly ever predicted beside one that nearly always is.
    logits[:, rng.integers(num_classes)] -= draw(st.sampled_from([0.0, 20.0]))
    exponentials = np.exp(logits)
    return np.array(labels), exponentials / exponentials.sum(axis=1, keepdims=True)


def scikit_learns(labels, probabilities) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        averages: dict[str, Any] = {
            f"{average}_{name}": function(
                labels,
                predicted,
                average=average,
                zero_division=0,  # type: ignore[arg-type]
            )
            for average in ("macro", "weighted")
            for name, function in (
                ("precision", reference.precision_score),
                ("recall", reference.recall_score),
                ("f1", reference.f1_score),
            )
        }
        return {
            **averages,
            "accuracy": reference.accuracy_score(labels, predicted),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
            "log_loss": reference.log_loss(
                labels, probabilities, labels=np.arange(probabilities.shape[1])
            ),
        }


def reference_calibration_error(confidence, is_right, num_bins) -> float:
    error = 0.0
    for number in range(num_bins):
        low, high = number / num_bins, (number + 1) / num_bins
        members = [
            (float(c), float(r))
            for c, r in zip(confidence, is_right, strict=True)
            if low <= c < high or (c == 1 and number == num_bins - 1)
        ]
        if members:
            mean_confidence = sum(c for c, _ in members) / len(members)
            accuracy = sum(r for _, r in members) / len(members)
            error += len(members) / len(confidence) * abs(accuracy - mean_confidence)
    return error


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_every_number_is_scikit_learns(given_predictions):
    labels, probabilities = given_predictions
    measured = measure_predictions(labels, probabilities, 15)
    expected = scikit_learns(labels, probabilities)
    expected["calibration_error"] = reference_calibration_error(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, 15
    )
    assert set(measured) == set(expected)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-9), name


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_every_class_is_scikit_learns(given_predictions):
    labels, probabilities = given_predictions
    predicted, classes = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
    confusion = confusion_matrix(labels, predicted, len(classes))
    expected = reference.confusion_matrix(labels, predicted, labels=classes)
    assert (confusion == expected).all()
    columns: Any = reference.precision_recall_fscore_support(
        labels,
        predicted,
        labels=classes,
        zero_division=0,  # type: ignore[arg-type]
    )
    for measured, *row in zip(scores_per_class(confusion), *columns, strict=True):
        assert list(measured) == ["precision", "recall", "f1", "num_rows"]
        assert list(measured.values()) == pytest.approx(row, abs=1e-9)


def test_a_class_never_seen_is_left_out_and_one_only_predicted_counts_0():
    confusion = np.array([[2, 0, 1, 0], [0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    scores = scores_of_confusion(confusion)
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["macro_recall"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_certainty_of_the_wrong_class_is_finite():
    losses = log_losses(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert losses[0] == pytest.approx(-math.log(2**-52))
    assert losses[1] == 0


def test_calibration_error_of_known_cases():
    sure = np.ones(10)
    assert calibration_error(sure, np.arange(10) < 7, 15) == pytest.approx(0.3)
    assert calibration_error(np.full(10, 0.7), np.arange(10) < 7, 15) == pytest.approx(0, abs=1e-12)
    # Errors of opposite sign cancel within a bin, not across bins.
    mixed, right = np.array([0.95, 0.55]), np.array([False, True])
    assert calibration_error(mixed, right, 1) == pytest.approx(0.25)
    assert calibration_error(mixed, right, 10) == pytest.approx((0.95 + 0.45) / 2)


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=120)
    logits = rng.normal(size=(120, 3)) + 1.5 * np.eye(3)[labels]
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def test_intervals_are_repeatable_and_contain_their_value(scored):
    labels, probabilities = scored
    first, again, other = (
        bootstrap_metrics(labels, probabilities, 15, 200, seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert {name: interval.value for name, interval in first.items()} == measure_predictions(
        labels, probabilities, 15
    )
    for name, interval in first.items():
        # Resampling only ever adds calibration error, so its interval lies above.
        if name != "calibration_error":
            assert interval.low < interval.value < interval.high, name


def test_intervals_narrow_with_more_rows(scored):
    labels, probabilities = scored
    few = bootstrap_metrics(labels, probabilities, 15, 200, 0)["accuracy"]
    many = bootstrap_metrics(np.tile(labels, 16), np.tile(probabilities, (16, 1)), 15, 200, 0)
    ratio = (few.high - few.low) / (many["accuracy"].high - many["accuracy"].low)
    assert ratio == pytest.approx(4, rel=0.25)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, covered = np.random.default_rng(11), 0
    for trial in range(120):
        labels = rng.integers(2, size=150)
        is_right = rng.random(150) < 0.8
        chosen = np.where(is_right, labels, 1 - labels)
        probabilities = np.where(np.eye(2)[chosen] == 1, 0.8, 0.2)
        interval = bootstrap_metrics(labels, probabilities, 5, 100, trial)["accuracy"]
        covered += interval.low <= 0.8 <= interval.high
    # 114 of 120 expected; the binomial's standard deviation is 2.4.
    assert 104 <= covered <= 119
