"""Embeddings come back as they were, with the same bytes each time, or are refused."""

import io

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.embeddings import (
    Synthetic,
    load_embeddings,
    load_synthetic,
    save_embeddings,
    save_synthetic,
)
from tasks.artifacts.tables import save_table
from tasks.core.errors import ArtifactError


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(5, 3), (0, 3), (1, 1)])
def test_embeddings_come_back_as_they_were(tmp_path, shape):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for name in ("a.npy", "b.npy"):
        save_embeddings(rows, tmp_path / name)
    np.testing.assert_array_equal(load_embeddings(tmp_path / "a.npy"), rows)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a readable .npy file"),
        (npy(np.zeros((4, 2), np.float32))[:-3], "is not a readable .npy file"),
        (npy(np.array([{"a": 1}], dtype=object)), "is not a readable .npy file"),
        (npy(np.zeros((4, 2))), r"holds float64 of shape \(4, 2\), expected float32"),
        (npy(np.zeros(4, np.float32)), r"holds float32 of shape \(4,\), expected"),
        (npy(np.array([[1, np.nan]], np.float32)), "not finite"),
    ],
)
def test_other_content_is_refused(tmp_path, content, told):
    (tmp_path / "e.npy").write_bytes(content)
    with pytest.raises(ArtifactError, match=told):
        load_embeddings(tmp_path / "e.npy")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        load_embeddings(tmp_path / "none.npy")


@pytest.mark.parametrize("number", [0, 1, 5])
def test_made_up_embeddings_come_back_with_their_labels(tmp_path, number):
    rows = np.random.default_rng(0).normal(size=(number, 3)).astype(np.float32)
    labels = np.array(["ü", "b", "a", "b", "a"][:number], dtype=str)
    for name in ("a.parquet", "b.parquet"):
        save_synthetic(Synthetic(rows, labels), tmp_path / name)
    loaded = load_synthetic(tmp_path / "a.parquet")
    np.testing.assert_array_equal(loaded.embeddings_SD, rows)
    assert loaded.embeddings_SD.dtype == np.float32
    assert loaded.labels_S.tolist() == labels.tolist()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_what_holds_no_made_up_embeddings_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(ArtifactError, match="does not exist"):
        load_synthetic(path)
    save_synthetic(Synthetic(np.zeros((4, 3), np.float32), np.array(["a"] * 4)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(ArtifactError, match="holds no labels and embeddings"):
        load_synthetic(path)
    for frame in ({"label": ["a"]}, {"label": ["a"], "embedding": [0.5]}):
        save_table(pd.DataFrame(frame), path)
        with pytest.raises(ArtifactError, match="holds no labels and embeddings"):
            load_synthetic(path)
