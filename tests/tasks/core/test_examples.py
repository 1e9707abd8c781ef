"""Mistakes come by confidence, doubts by margin, no row twice."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.examples import choose_examples


def test_each_group_is_in_its_order():
    probabilities = np.array(
        [
            *([0.9, 0.1, 0], [0.6, 0.4, 0], [0.2, 0.8, 0]),
            *([0.45, 0.44, 0.11], [0, 0.3, 0.7], [0.5, 0.5, 0]),
        ]
    )
    labels = np.array([1, 1, 1, 0, 2, 0])
    chosen = choose_examples(labels, probabilities, 5, 2, 1, 0)
    assert chosen.mistakes.tolist() == [0, 1]
    assert chosen.uncertain.tolist() == [5, 3]
    assert chosen.random.tolist() == [2, 4]
    assert choose_examples(labels, probabilities, 1, 0, 0, 0).mistakes.tolist() == [0]


@given(st.integers(1, 40), st.integers(2, 5), st.integers(0, 9), st.integers(0, 99))
def test_no_row_is_shown_twice_and_every_class_has_its_few(num_rows, num_classes, count, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(num_classes), num_rows)
    labels = rng.integers(0, num_classes, num_rows)
    chosen = choose_examples(labels, probabilities, count, count, count, seed)
    together = np.concatenate(chosen)
    assert len(set(together)) == len(together)
    assert (probabilities[chosen.mistakes].argmax(axis=1) != labels[chosen.mistakes]).all()
    rest = np.setdiff1d(np.arange(num_rows), [*chosen.mistakes, *chosen.uncertain])
    for label in range(num_classes):
        expected = min(count, (labels[rest] == label).sum())
        assert (labels[chosen.random] == label).sum() == expected
    again = choose_examples(labels, probabilities, count, count, count, seed)
    assert again.random.tolist() == chosen.random.tolist()
