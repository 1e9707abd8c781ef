"""The nearest are the nearest, whatever the number of images, and the far ones stand out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from tasks.core.neighbours import Space, find_outliers


def standardised(train, others):
    return [(one - train.mean(axis=0)) / train.std(axis=0) for one in (train, others)]


@settings(max_examples=20, deadline=None)
@given(num_train=st.integers(5, 40), num_others=st.integers(0, 10), k=st.integers(1, 5))
def test_neighbours_are_those_of_scikit_learn(num_train, num_others, k):
    rng = np.random.default_rng(num_train * 100 + num_others)
    train, others = rng.normal(size=(num_train, 3)), rng.normal(size=(num_others, 3))
    found = Space(train).find_nearest(others, k)
    assert found.rows_MJ.shape == (num_others, k)
    if num_others:
        places, queries = standardised(train, others)
        reference = NearestNeighbors(n_neighbors=k, metric="cosine").fit(places)
        distances, rows = reference.kneighbors(queries)
        assert found.distance_MJ == pytest.approx(distances, abs=1e-9)
        assert (found.rows_MJ == rows).all()


def test_a_row_is_no_neighbour_of_itself_and_chunks_make_no_difference():
    train = np.random.default_rng(0).normal(size=(1500, 4))
    found = Space(train).find_nearest_others(np.arange(1500), 3)
    assert not (found.rows_MJ == np.arange(1500)[:, None]).any()
    alone = Space(train).find_nearest_others(np.array([1400]), 3)
    assert (alone.rows_MJ == found.rows_MJ[1400]).all()
    # Asked as a stranger, a row finds itself first, and then the same.
    asked = Space(train).find_nearest(train[[1400]], 4)
    assert asked.rows_MJ[0].tolist() == [1400, *found.rows_MJ[1400]]


def test_no_more_neighbours_than_there_are_and_the_first_of_equals_first():
    train = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 1.0]])
    assert Space(train).find_nearest_others(np.arange(3), 9).rows_MJ.shape == (3, 2)
    assert Space(train).find_nearest(train[[0]], 2).rows_MJ[0].tolist() == [0, 1]


def test_what_lies_far_is_an_outlier_and_a_normal_crowd_has_few():
    usual = np.exp(np.random.default_rng(0).normal(size=2000))
    found = find_outliers(usual, np.array([0.5, 1.0, 1000.0]), 3.0)
    assert found.tolist() == [False, False, True]
    assert find_outliers(usual, usual, 3.0).mean() < 0.001
    assert not find_outliers(np.empty(0), np.array([1.0]), 3.0).any()
