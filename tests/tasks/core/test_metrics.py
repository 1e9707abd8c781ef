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
    Metrics,
    bootstrap_calibration_error,
    bootstrap_differences,
    bootstrap_metrics,
    calibration_error,
    confusion_matrix,
    log_losses,
    measure_predictions,
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


def one_vs_rest(labels, probabilities) -> dict[str, float]:
    """Over classes that have rows; the area also needs rows of others."""
    occurring = np.unique(labels)
    areas = [
        reference.roc_auc_score(labels == label, probabilities[:, label])
        for label in occurring
        if (labels != label).any()
    ]
    precisions = [
        reference.average_precision_score(labels == label, probabilities[:, label])
        for label in occurring
    ]
    return {
        "roc_auc": float(np.mean(areas)) if areas else 0.5,
        "average_precision": float(np.mean(precisions)),
    }


def scikit_learns(labels, probabilities) -> dict[str, float]:
    predicted, classes = probabilities.argmax(axis=1), np.arange(probabilities.shape[1])
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
        kappa = reference.cohen_kappa_score(labels, predicted)
        return {
            **averages,
            **one_vs_rest(labels, probabilities),
            **{f"top_{k}_accuracy": top_accuracy(labels, probabilities, k) for k in (2, 5)},
            # It is 0 / 0 where all rows have one class and got it.
            "cohen_kappa": 0.0 if np.isnan(kappa) else kappa,
            "matthews_correlation": reference.matthews_corrcoef(labels, predicted),
            "brier_loss": reference.brier_score_loss(
                labels,
                probabilities,
                labels=classes,
                scale_by_half=False,  # type: ignore[arg-type]
            ),
            "accuracy": reference.accuracy_score(labels, predicted),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
            "log_loss": reference.log_loss(labels, probabilities, labels=classes),
        }


def top_accuracy(labels, probabilities, k) -> float:
    if k >= probabilities.shape[1]:
        return 1.0
    if probabilities.shape[1] == 2:
        return float((probabilities.argmax(axis=1) == labels).mean())
    classes = np.arange(probabilities.shape[1])
    return float(reference.top_k_accuracy_score(labels, probabilities, k=k, labels=classes))


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


@settings(max_examples=40, deadline=None)
@given(predictions(), st.integers(0, 2**32), st.booleans())
def test_a_row_that_counts_twice_is_two_rows(given_predictions, seed, has_ties):
    labels, probabilities = given_predictions
    if has_ties:
        probabilities = np.round(probabilities, 1)
    counts = np.random.default_rng(seed).integers(0, 4, size=(len(labels), 3))
    counts[0] += counts.sum(axis=0) == 0
    measured = Metrics(labels, probabilities, 7).measure(counts.astype(float))
    for sample in range(3):
        rows = np.repeat(np.arange(len(labels)), counts[:, sample])
        expected = measure_predictions(labels[rows], probabilities[rows], 7)
        found = {name: values[sample] for name, values in measured.items()}
        assert found == pytest.approx(expected, abs=1e-9)


def test_equal_probabilities_are_ordered_neither_way():
    labels, same = np.array([0, 1, 0, 1, 1]), np.full((5, 2), 0.5)
    measured = measure_predictions(labels, same, 15)
    assert measured["roc_auc"] == 0.5
    assert measured["average_precision"] == pytest.approx((0.4 + 0.6) / 2)
    # The first of equal classes is predicted, and is the first of the top.
    assert measured["accuracy"] == 0.4 and measured["top_2_accuracy"] == 1


def test_differences_are_of_the_same_rows_in_each_sample(scored):
    labels, probabilities = scored
    none = bootstrap_differences(labels, probabilities, probabilities, 15, 100, 0)
    assert set(none.values()) == {(0.0, 0.0, 0.0)}
    flat = probabilities**0.8 / (probabilities**0.8).sum(axis=1, keepdims=True)
    paired = bootstrap_differences(labels, flat, probabilities, 15, 200, 0)
    # As sure or not, the same class is predicted; the loss differs far less than it varies.
    assert paired["accuracy"] == (0.0, 0.0, 0.0)
    alone = bootstrap_metrics(labels, flat, 15, 200, 0)["log_loss"]
    width = paired["log_loss"].high - paired["log_loss"].low
    assert 0 < width < 0.5 * (alone.high - alone.low)
    values = [measure_predictions(labels, one, 15)["log_loss"] for one in (flat, probabilities)]
    assert paired["log_loss"].value == pytest.approx(values[0] - values[1])


def test_a_class_never_seen_is_left_out_and_one_only_predicted_counts_0():
    labels, predicted = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 2, 1, 1, 1])
    scores = measure_predictions(labels, np.eye(4)[predicted], 15)
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
    values = {name: interval.value for name, interval in first.items()}
    assert values == pytest.approx(measure_predictions(labels, probabilities, 15))
    for name, interval in first.items():
        # Of three classes the right one is always among five.
        if name == "top_5_accuracy":
            assert interval == (1.0, 1.0, 1.0)
        elif name != "calibration_error":
            assert interval.low < interval.value < interval.high, name
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    assert first["calibration_error"] == pytest.approx(
        bootstrap_calibration_error(confidence, is_right, 15, 200, 0)
    )


def test_intervals_narrow_with_more_rows(scored):
    labels, probabilities = scored
    few = bootstrap_metrics(labels, probabilities, 15, 200, 0)["accuracy"]
    many = bootstrap_metrics(np.tile(labels, 16), np.tile(probabilities, (16, 1)), 15, 200, 0)
    ratio = (few.high - few.low) / (many["accuracy"].high - many["accuracy"].low)
    assert ratio == pytest.approx(4, rel=0.25)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Of a model whose probabilities are true, the error of calibration is 0 and the rest is known
    from many rows."""

    def drawn(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        logits = 1.5 * rng.normal(size=(num_rows, 3))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (rng.random((num_rows, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
        return labels, probabilities

    truth = measure_predictions(*drawn(200_000, 0), 15) | {"calibration_error": 0.0}
    num_trials, covered = 150, dict.fromkeys(truth, 0)
    for trial in range(1, num_trials + 1):
        for name, interval in bootstrap_metrics(*drawn(300, trial), 15, 200, trial).items():
            covered[name] += interval.low <= truth[name] <= interval.high
    # 142.5 expected; the binomial's standard deviation is 2.7, and the truth is not quite known.
    for name, count in covered.items():
        assert count >= 134, name
