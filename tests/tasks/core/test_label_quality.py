"""Planted wrong labels are found, no row has a say about itself, and probabilities are true."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import average_precision_score

from tasks.core.errors import ParamsError
from tasks.core.label_quality import (
    Features,
    Probe,
    choose_judge,
    divide,
    group_numbers,
    out_of_fold_logits,
    score_labels,
)

PENALTIES = [0.3, 3.0]


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=400)
    embeddings = rng.normal(size=(400, 6)) + 3 * np.eye(4, 6)[truth]
    labels = truth.copy()
    planted = rng.permutation(400)[:32]
    labels[planted] = (labels[planted] + rng.integers(1, 4, size=32)) % 4
    return embeddings, truth, labels


def judged(embeddings, labels, groups=None, num_classes=4, seed=0):
    groups = np.arange(len(labels)) if groups is None else groups
    logits = out_of_fold_logits(
        embeddings, labels, groups, num_classes, PENALTIES, 5, 200, seed
    )  # fmt: skip
    judge, chosen = choose_judge({"whole": logits}, labels, PENALTIES)
    return judge.probabilities(chosen)


def test_planted_noise_is_found_and_the_truth_suggested(blobs):
    embeddings, truth, labels = blobs
    probabilities = judged(embeddings, labels)
    assert np.allclose(probabilities.sum(axis=1), 1)
    quality = score_labels(labels, probabilities)
    wrong = labels != truth
    assert average_precision_score(wrong, -quality.score_N) > 0.9
    assert (quality.suggested_N[wrong] == truth[wrong]).mean() > 0.85
    assert quality.probability_N == pytest.approx(probabilities.max(axis=1))


def test_the_score_is_the_margin_over_the_strongest_other_class():
    quality = score_labels(np.array([0, 2]), np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]))
    assert quality.score_N == pytest.approx([(0.7 - 0.2 + 1) / 2, (0.3 - 0.6 + 1) / 2])
    assert quality.suggested_N.tolist() == [0, 1]


def test_a_row_has_no_say_about_itself(blobs):
    embeddings, _, labels = blobs
    rows = np.arange(400)
    changed = embeddings.copy()
    changed[7] += 50
    first, second = (
        out_of_fold_logits(one, labels, rows, 4, [1.0], 5, 200, 3)[0]
        for one in (embeddings, changed)
    )
    # The rows judged by the same model as row 7 are those that it could not teach.
    same_fold = np.abs(first - second).max(axis=1) < 1e-9
    assert 60 <= same_fold.sum() <= 100
    assert not same_fold[7]


@settings(max_examples=30, deadline=None)
@given(
    num_classes=st.sampled_from([3, 40]),  # in the latter, each has fewer rows than there are folds
    groups=st.lists(st.integers(0, 12), min_size=30, max_size=60).filter(
        lambda groups: len(set(groups)) >= 3
    ),
    seed=st.integers(0, 5),
)
def test_no_group_is_on_both_sides_and_every_row_is_judged_once(num_classes, groups, seed):
    groups = np.array(groups)
    labels = np.arange(len(groups)) % num_classes
    times_judged = np.zeros(len(groups), dtype=int)
    for learnt, judging in divide(labels, groups, 3, seed):
        assert not set(groups[learnt]) & set(groups[judging])
        assert not set(learnt) & set(judging)
        times_judged[judging] += 1
    assert (times_judged == 1).all()


def test_a_row_without_a_group_is_one_of_its_own():
    numbers = group_numbers(pd.Series(["a", None, "b", "a", None], dtype="string"))
    assert numbers[0] == numbers[3]
    assert len(set(numbers)) == 4


def test_fewer_groups_than_folds_are_refused(blobs):
    embeddings, _, labels = blobs
    with pytest.raises(ParamsError, match=r"num_folds: 5, but train has 2 groups"):
        judged(embeddings, labels, groups=np.arange(400) % 2)


def test_folds_are_repeatable_by_seed(blobs):
    embeddings, _, labels = blobs
    np.random.seed(1)
    by_seed = [judged(embeddings, labels, seed=seed) for seed in (1, 1, 2)]
    assert (by_seed[0] == by_seed[1]).all()
    assert (by_seed[0] != by_seed[2]).any()


def test_a_class_of_one_row_is_never_suggested_for_itself(blobs):
    embeddings, _, labels = blobs
    labels = labels.copy()
    labels[0] = 5
    probabilities = judged(embeddings, labels, num_classes=6)
    assert probabilities.shape == (400, 6)
    assert probabilities[0, 5] == 0
    assert (probabilities[:, 4] == 0).all()
    assert score_labels(labels, probabilities).score_N[0] < 0.5


@pytest.mark.parametrize("is_grouped", [False, True])
def test_classes_that_all_have_fewer_rows_than_folds_are_judged(blobs, is_grouped):
    embeddings, true, _ = blobs
    few = np.concatenate([np.flatnonzero(true == label)[:4] for label in range(4)])
    groups = np.arange(16) % 8 if is_grouped else None
    # So few teach a probe only what is plain.
    plain = embeddings[few] + 9 * np.eye(4, 6)[true[few]]
    probabilities = judged(plain, true[few], groups=groups)
    assert (probabilities.argmax(axis=1) == true[few]).mean() > 0.9
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_a_single_class_is_sure():
    embeddings = np.random.default_rng(0).normal(size=(20, 3))
    assert judged(embeddings, np.zeros(20, dtype=int), num_classes=1) == pytest.approx(1)


def test_the_probe_is_a_kernel_ridge_regression(blobs):
    embeddings, _, labels = blobs
    scaled = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    features = Features(embeddings, 400, 0)(embeddings)
    probe = Probe(4, 3.0).fit(features, labels)
    # scikit-learn's kernel ridge has no intercept; shares of classes stand in for it.
    gram = features @ features.T
    shares = np.eye(4)[labels].mean(axis=0)
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    reference = KernelRidge(alpha=3, kernel="precomputed").fit(centred, np.eye(4)[labels] - shares)
    expected = np.maximum(reference.predict(centred) + shares, 0.01)
    assert np.exp(probe.predict(features)) == pytest.approx(expected, abs=1e-4)
    distances = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    assert gram == pytest.approx(np.exp(-distances / 6), abs=1e-6)


def test_a_row_that_weighs_nothing_teaches_nothing(blobs):
    embeddings, _, labels = blobs
    features = Features(embeddings, 100, 0)(embeddings)
    weights = np.ones(400)
    weights[:50] = 0
    weighted = Probe(4, 1.0).fit(features, labels, weights).predict(features)
    without = Probe(4, 1.0).fit(features[50:], labels[50:]).predict(features)
    assert weighted == pytest.approx(without, abs=1e-6)


def test_no_rows_have_no_scores():
    quality = score_labels(np.empty(0, dtype=int), np.empty((0, 3)))
    assert [len(each) for each in quality] == [0, 0, 0]
