"""Close rows are those that a plain loop finds, and lie on two sides of a split."""

import numpy as np
import pytest

from tasks.core import embeddings
from tasks.core.twins import find_close, find_twins


def clouds(number: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(number, width)).astype(np.float32)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def pairs(close) -> list[tuple[int, int]]:
    return sorted(zip(close.one_P.tolist(), close.other_P.tolist(), strict=True))


@pytest.mark.parametrize("block", [1, 7, 1024])
def test_pairs_are_those_of_a_plain_loop_whatever_the_block(monkeypatch, block):
    monkeypatch.setattr(embeddings, "_BLOCK", block)
    one, other = clouds(40), clouds(90)
    expected = []
    for i, left in enumerate(one):
        closest = sorted(range(90), key=lambda j: -cosine(left, other[j]))[:5]
        expected += [(i, j) for j in closest if cosine(left, other[j]) >= 0.9]
    close = find_close(one, other, 0.9)
    assert pairs(close) == sorted(expected) and expected
    for i, j, similarity in zip(*close, strict=True):
        assert similarity == pytest.approx(cosine(one[i], other[j]), abs=1e-5)


@pytest.mark.parametrize(("one", "other"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_is_close_to_nothing(one, other):
    close = find_close(clouds(one), clouds(other), 0.5)
    assert pairs(close) == [] and close.one_P.dtype == np.int64


def test_length_does_not_matter():
    one = clouds(30)
    assert pairs(find_close(one, one * 7, 0.9999)) == [(row, row) for row in range(30)]


def test_twins_are_named_from_the_side_that_is_worth_less():
    embeddings = clouds(60, 32)
    rows = {"train": np.arange(40), "val": np.arange(40, 50), "test": np.arange(50, 60)}
    embeddings[45], embeddings[55] = embeddings[7] * 2, embeddings[7]
    embeddings[58] = embeddings[3]
    embeddings[9] = embeddings[8]
    found = find_twins(embeddings, rows, 0.999)
    assert found[["row", "split", "twin_row", "twin_split"]].to_numpy().tolist() == [
        [3, "train", 58, "test"],
        [7, "train", 45, "val"],
        [7, "train", 55, "test"],
        [45, "val", 55, "test"],
    ]
    assert (found["similarity"] == 1).all()


def test_no_twins_are_an_empty_table_of_the_same_kind():
    rows = {"train": np.arange(5), "val": np.arange(5, 7), "test": np.arange(7, 8)}
    found = find_twins(clouds(8, 32), rows, 0.999)
    assert len(found) == 0
    assert found[["row", "twin_row"]].to_numpy().astype(np.int64).shape == (0, 2)
