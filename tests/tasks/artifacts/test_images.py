"""Rows of shards are read as if they were one array; raw shards keep bytes and order."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.artifacts.images import (
    RAW_SCHEMA,
    Images,
    RawImage,
    load_row_group,
    num_row_groups,
    raw_table,
    save_pixels,
)
from tasks.core.errors import ArtifactError

LENGTHS = (3, 0, 5, 1)


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (sum(LENGTHS), 4, 5, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, whole):
    folder, start = tmp_path_factory.mktemp("images"), 0
    for name, length in zip("abcd", LENGTHS, strict=True):
        save_pixels(whole[start : start + length], folder / f"{name}.npy")
        start += length
    return folder


@given(st.lists(st.integers(0, sum(LENGTHS) - 1), max_size=20))
def test_rows_are_those_of_the_whole(folder, whole, rows):
    images = Images(folder)
    assert len(images) == sum(LENGTHS) and images.image_shape == (4, 5, 3)
    chosen = images[np.array(rows, dtype=int)]
    assert chosen.dtype == np.uint8
    assert (chosen == whole[rows]).all() and chosen.shape == (len(rows), 4, 5, 3)


def test_a_copy_is_given(folder, whole):
    images = Images(folder)
    images[np.array([0])][:] = 0
    assert (images[np.array([0])] == whole[:1]).all()


def test_chunks_cover_all_rows_in_order(folder, whole):
    rows = np.array([8, 0, 3, 3, 7])
    chunks = list(Images(folder).chunks(rows, 2))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    assert (np.concatenate(chunks) == whole[rows]).all()


@pytest.mark.parametrize("row", [-1, sum(LENGTHS), 10**9])
def test_a_row_that_is_not_there_is_an_error(folder, row):
    with pytest.raises(IndexError, match=r"\[0, 9\)"):
        Images(folder)[np.array([0, row])]


def test_no_shards_are_told(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds no \.npy shard"):
        Images(tmp_path)


def test_shards_of_other_shapes_are_told(tmp_path):
    save_pixels(np.zeros((1, 4, 4, 1), np.uint8), tmp_path / "a.npy")
    save_pixels(np.zeros((1, 4, 4, 3), np.uint8), tmp_path / "b.npy")
    with pytest.raises(ArtifactError, match="differ in shape"):
        Images(tmp_path)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 1), np.float32), np.zeros(3)]
)
def test_a_shard_of_another_kind_is_told(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ArtifactError, match=r"a\.npy: holds .* expected uint8"):
        Images(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 60, 130, -1])
def test_a_torn_shard_is_told(tmp_path, keep):
    save_pixels(np.zeros((3, 4, 4, 1), np.uint8), tmp_path / "a.npy")
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:keep])
    with pytest.raises(ArtifactError, match=r"a\.npy: is not a readable"):
        Images(tmp_path)


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="is not a readable"):
        Images(tmp_path)


RAW = [RawImage("a", b"\0\1", "ü.png"), RawImage("b", b"", "x.jpg"), RawImage("c", b"22", "y")]


def test_raw_images_come_back_in_order(tmp_path):
    with pq.ParquetWriter(tmp_path / "s.parquet", RAW_SCHEMA) as writer:
        writer.write_table(raw_table(RAW[:2]))
        writer.write_table(raw_table(RAW[2:]))
    assert num_row_groups(tmp_path / "s.parquet") == 2
    read = [image for group in (0, 1) for image in load_row_group(tmp_path / "s.parquet", group)]
    assert read == RAW


def test_raw_shards_say_that_they_hold_images():
    described = json.loads((RAW_SCHEMA.metadata or {})[b"huggingface"])
    assert described["info"]["features"]["image"] == {"_type": "Image"}


@pytest.mark.parametrize("keep", [0, 3, 50, -10])
def test_a_torn_raw_shard_is_told(tmp_path, keep):
    file = tmp_path / "s.parquet"
    pq.write_table(raw_table(RAW), file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"s\.parquet: is not a readable shard"):
        list(load_row_group(file, 0))
    with pytest.raises(ArtifactError, match=r"s\.parquet: is not a readable shard"):
        num_row_groups(file)
