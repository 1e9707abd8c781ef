"""Dealings are honest: p-values are exact, and sums are the sums."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import hypergeom, kstest

from monitoring.drift import discrepancy, rise
from monitoring.permutations import Question, Sums, ask


def test_the_first_dealing_is_the_group_and_all_have_its_size() -> None:
    rng = np.random.default_rng(0)
    features_NF, is_group_N = rng.normal(size=(40, 3)), np.arange(40) < 12
    seen: list[Sums] = []

    def look(sums: Sums) -> np.ndarray:
        seen.append(sums)
        return sums.gap_PF[:, 0]

    with_count = np.concatenate([features_NF, np.ones((40, 1))], axis=1)
    answer = ask({"a": Question(with_count, look)}, is_group_N, 300, [0])["a"]
    assert seen[0].group_PF[0, :3] == pytest.approx(features_NF[:12].sum(axis=0), abs=1e-5)
    assert seen[0].others_PF[0, :3] == pytest.approx(features_NF[12:].sum(axis=0), abs=1e-5)
    assert sum(len(sums.group_PF) for sums in seen) == 301
    assert all((sums.group_PF[:, 3] == 12).all() for sums in seen)
    gap = features_NF[:12].mean(axis=0) - features_NF[12:].mean(axis=0)
    assert answer.statistic == pytest.approx(gap[0], abs=1e-6)


def test_sparse_features_answer_as_dense_ones() -> None:
    rng = np.random.default_rng(1)
    features_NF = (rng.random((50, 4)) < 0.3).astype(np.float32)
    questions = {
        "dense": Question(features_NF, rise),
        "sparse": Question(sparse.csr_matrix(features_NF), rise),
    }
    answers = ask(questions, np.arange(50) < 20, 199, [3])
    assert answers["dense"] == answers["sparse"]


def test_a_share_gets_the_p_value_of_the_hypergeometric_distribution() -> None:
    """Fisher's exact test is the limit of infinitely many dealings."""
    for num_far_group, num_far_others in [(3, 2), (6, 4), (9, 20), (0, 5)]:
        far_N = np.zeros((130, 1), dtype=np.float32)
        far_N[:num_far_group] = far_N[30 : 30 + num_far_others] = 1
        answer = ask({"a": Question(far_N, rise)}, np.arange(130) < 30, 9999, [0])["a"]
        exact = hypergeom.sf(num_far_group - 1, 130, num_far_group + num_far_others, 30)
        assert answer.p_value == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 9999))


def test_p_values_are_uniform_where_nothing_differs() -> None:
    p_values = []
    for seed in range(300):
        features_NF = np.random.default_rng(seed).exponential(size=(60, 1)).astype(np.float32)
        answer = ask({"a": Question(features_NF, rise)}, np.arange(60) < 15, 99, [seed, 1])["a"]
        p_values.append(answer.p_value)
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_what_is_the_same_in_every_row_tells_nothing() -> None:
    """Although sums in another order differ in their last digits."""
    is_group_N = np.arange(500) < 100
    questions = {
        "share": Question(np.ones((500, 1), dtype=np.float32), rise),
        "waves": Question(np.full((500, 2), 0.1, dtype=np.float32), discrepancy),
    }
    assert {one.p_value for one in ask(questions, is_group_N, 199, [0]).values()} == {1.0}
