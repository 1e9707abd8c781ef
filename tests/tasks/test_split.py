"""Near-duplicates are found wherever they lie; statistics are those of numpy."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tasks.artifacts.images import Images, save_pixels
from tasks.split import Params, find_left_out, find_near_duplicates, measure_statistics

GOOD = {
    "val_fraction": 0.15,
    "test_fraction": 0.2,
    "near_duplicate_bits": 3,
    "near_duplicate_difference": 0.02,
    "drop_given_leaks": True,
    "expectations": {"clean": [], "splits": []},
}


def images(folder, array: np.ndarray) -> Images:
    folder.mkdir(exist_ok=True)
    save_pixels(array[: len(array) // 2], folder / "a.npy")
    save_pixels(array[len(array) // 2 :], folder / "b.npy")
    return Images(folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_numpys_of_the_given_rows_alone(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9000, 3, 3, channels), dtype=np.uint8)
    rows = np.random.default_rng(1).permutation(9000)[:5000]
    found = measure_statistics(images(tmp_path / "i", pixels), rows)
    chosen = pixels[rows] / 255
    assert found.mean == pytest.approx(chosen.mean(axis=(0, 1, 2)).tolist(), abs=1e-6)
    assert found.std == pytest.approx(chosen.std(axis=(0, 1, 2)).tolist(), abs=1e-6)


def test_a_channel_without_contrast_can_be_divided_by(tmp_path):
    pixels = np.full((10, 2, 2, 1), 100, dtype=np.uint8)
    found = measure_statistics(images(tmp_path / "i", pixels), np.arange(10))
    assert found.std == [0.001]


def test_near_duplicates_are_found_across_shards_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.split._CHUNK_BYTES", 16 * 16 * 3 * 7)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    pixels[40] = pixels[3] // 2 * 2
    pixels[49] = 255 - pixels[12]
    pairs = find_near_duplicates(images(tmp_path / "i", pixels), Params(**GOOD))
    assert pairs.tolist() == [[3, 40]]


def test_leaks_of_given_splits_are_left_out_only_if_asked():
    table = pd.DataFrame({"image_id": list("abcd"), "split": ["train", "test", None, None]})
    leaks = pd.DataFrame({"image_id": ["a", "c", "a", "c"], "twin_id": ["b", "b", "d", "d"]})
    assert set(find_left_out(leaks, table, drop_given=True)) == {"a", "c"}
    assert find_left_out(leaks, table, drop_given=False).tolist() == ["c", "a", "c"]
    given_alone = leaks[:1]
    assert find_left_out(given_alone, table, drop_given=False).empty
    assert find_left_out(leaks[:0], table, drop_given=True).empty


@pytest.mark.parametrize(
    "changed",
    [{"val_fraction": 0.0}, {"test_fraction": 1.0}, {"val_fraction": 0.5, "test_fraction": 0.5},
     {"near_duplicate_bits": 17}, {"near_duplicate_bits": -1}, {"near_duplicate_difference": 1.1},
     {"more": 1}],
)  # fmt: skip
def test_other_params_are_refused(changed):
    Params(**GOOD)
    with pytest.raises(ValidationError):
        Params(**{**GOOD, **changed})
