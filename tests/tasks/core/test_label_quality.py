"""Planted wrong labels are found, and no row has a say about itself."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from tasks.core.label_quality import (
    fit_probe,
    out_of_fold_probabilities,
    predict_probe,
    score_labels,
)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=400)
    embeddings = rng.normal(size=(400, 6)) + 3 * np.eye(4, 6)[truth]
    labels = truth.copy()
    planted = rng.permutation(400)[:32]
    labels[planted] = (labels[planted] + rng.integers(1, 4, size=32)) % 4
    return embeddings, truth, labels


def test_planted_noise_is_found_and_the_truth_suggested(blobs):
    embeddings, truth, labels = blobs
    probabilities = out_of_fold_probabilities(embeddings, labels, 4, 5, 0.1, 0)
    assert np.allclose(probabilities.sum(axis=1), 1)
    quality = score_labels(labels, probabilities)
    wrong = labels != truth
    assert average_precision_score(wrong, -quality.score_N) > 0.9
    assert (quality.suggested_N[wrong] == truth[wrong]).mean() > 0.85
    assert quality.score_N == pytest.approx(probabilities[np.arange(400), labels])
    assert quality.probability_N == pytest.approx(probabilities.max(axis=1))
    assert (rankdata(quality.score_N)[wrong].mean()) < 60


def test_a_row_has_no_say_about_itself(blobs):
    embeddings, _, labels = blobs
    first = out_of_fold_probabilities(embeddings, labels, 4, 5, 1.0, 3)
    changed = embeddings.copy()
    changed[7] += 50
    second = out_of_fold_probabilities(changed, labels, 4, 5, 1.0, 3)
    # The rows judged by the same model as row 7 are those that it could not teach.
    same_fold = np.abs(first - second).max(axis=1) < 1e-9
    assert 60 <= same_fold.sum() <= 100
    assert not same_fold[7]


def test_folds_are_repeatable_by_seed(blobs):
    embeddings, _, labels = blobs
    by_seed = [out_of_fold_probabilities(embeddings, labels, 4, 5, 0.1, seed) for seed in (1, 1, 2)]
    assert (by_seed[0] == by_seed[1]).all()
    assert (by_seed[0] != by_seed[2]).any()


def test_a_class_of_one_row_is_never_suggested_for_itself(blobs):
    embeddings, _, labels = blobs
    labels = labels.copy()
    labels[0] = 5
    probabilities = out_of_fold_probabilities(embeddings, labels, 6, 5, 0.1, 0)
    assert probabilities.shape == (400, 6)
    assert probabilities[0, 5] == 0
    assert (probabilities[:, 4] == 0).all()
    assert score_labels(labels, probabilities).score_N[0] == 0


def test_the_probe_is_a_logistic_regression_on_standardised_embeddings(blobs):
    embeddings, _, labels = blobs
    scaled = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    reference = LogisticRegression(C=0.3, max_iter=500).fit(scaled, labels)
    probe = fit_probe(embeddings, labels, 0.3)
    expected = reference.predict_proba(scaled)
    assert np.allclose(predict_probe(probe, embeddings, 4), expected, atol=1e-6)


def test_classes_never_seen_get_nothing(blobs):
    embeddings, _, labels = blobs
    some = labels != 1
    probabilities = predict_probe(fit_probe(embeddings[some], labels[some], 1.0), embeddings, 4)
    assert (probabilities[:, 1] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_no_rows_have_no_scores():
    quality = score_labels(np.empty(0, dtype=int), np.empty((0, 3)))
    assert [len(each) for each in quality] == [0, 0, 0]
