"""Rows that are close to the encoder are duplicates only where their pixels agree."""

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.images import Images, save_pixels
from tasks.audit import Params, find_missed_duplicates

ROWS = {"train": np.arange(20), "val": np.arange(20, 25), "test": np.arange(25, 30)}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(20, 200, (30, 6, 6, 1), dtype=np.uint8)


def found(folder, pixels: np.ndarray, embeddings: np.ndarray) -> pd.DataFrame:
    params = Params.model_construct(duplicate_similarity=0.999, duplicate_difference=0.05)
    save_pixels(pixels, folder / "a.npy")
    table = pd.DataFrame({"image_id": [f"id{row}" for row in range(30)]}, dtype="string")
    return find_missed_duplicates(Images(folder), embeddings, table, ROWS, params)


def test_both_must_agree(tmp_path, pixels):
    embeddings = np.random.default_rng(1).normal(size=(30, 32)).astype(np.float32)
    pixels[27] = pixels[3] + 10  # a difference of 10 of 255
    pixels[22] = pixels[3] - 14  # and one that is too large
    pixels[28] = pixels[4]  # equal pixels, but not to the encoder
    pixels[21] = pixels[26]
    embeddings[[27, 22]], embeddings[21] = embeddings[3], embeddings[26]
    pairs = found(tmp_path, pixels, embeddings)
    assert pairs.drop(columns=["similarity"]).to_numpy().tolist() == [
        ["id3", "train", "id27", "test", round(10 / 255, 6)],
        ["id21", "val", "id26", "test", 0.0],
    ]
    assert (pairs["similarity"] == 1).all()


def test_where_there_are_none_the_table_is_of_the_same_kind(tmp_path, pixels):
    embeddings = np.random.default_rng(1).normal(size=(30, 32)).astype(np.float32)
    nothing = found(tmp_path, pixels, embeddings)
    embeddings[27], pixels[27] = embeddings[3], pixels[3]
    some = found(tmp_path, pixels, embeddings)
    assert (len(nothing), len(some)) == (0, 1)
    assert nothing.dtypes.equals(some.dtypes)
