"""Near-duplicates agree by hash and by pixels; statistics are those of numpy."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tasks.artifacts.images import Images, save_pixels
from tasks.split import Params, find_near_duplicates, measure_statistics

GOOD = {
    "val_fraction": 0.15,
    "test_fraction": 0.2,
    "near_duplicate_bits": 3,
    "near_duplicate_difference": 0.02,
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


def test_near_duplicates_agree_by_hash_and_by_pixels(tmp_path):
    base = np.random.default_rng(0).integers(20, 200, (8, 8, 1), dtype=np.uint8)
    pixels = np.stack([base, base, base + 5, base + 6, 255 - base, base])
    hashes = [f"{number:016x}" for number in (0, 0b111, 1, 1, 0, 0b1111)]
    table = pd.DataFrame({"perceptual_hash": hashes})
    pairs = find_near_duplicates(images(tmp_path / "i", pixels), table, Params(**GOOD))
    # Row 3 differs by 6/255 from row 0, more than 0.02; row 4 has other pixels under an equal hash;
    # row 5 has equal pixels and a hash 4 bits away from row 0, 1 from row 1, 3 from rows 2 and 3.
    assert {tuple(pair) for pair in pairs.tolist()} == {
        (0, 1),
        (0, 2),
        (1, 2),
        (1, 5),
        (2, 3),
        (2, 5),
    }


def test_pixels_darker_and_brighter_differ_alike(tmp_path):
    pixels = np.array([0, 255, 250], dtype=np.uint8).reshape(3, 1, 1, 1)
    table = pd.DataFrame({"perceptual_hash": ["0" * 16] * 3})
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        pairs = find_near_duplicates(images(tmp_path / "i", pixels[order]), table, Params(**GOOD))
        found = {frozenset(int(pixels[order][row].item()) for row in pair) for pair in pairs}
        assert frozenset({0, 255}) not in found and frozenset({0, 250}) not in found


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
