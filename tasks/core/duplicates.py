"""Images whose pixels are equal."""

from typing import Protocol

import numpy as np
import pandas as pd

# The copy that stays: held-out rows before train rows, so that a leak is mended by shrinking train.
_RANK = {"test": 0, "val": 1, "train": 2}
_CHUNK = 4096


class Pixels(Protocol):
    """Canonical images by row: uint8 (n, H, W, C)."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


def find_duplicates(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows whose pixels another row has already: image_id, twin_id, conflict.

    `twin_id` is the copy that stays. `conflict` says that the two bear different labels.
    manifest: image_id, label, split, pixel_hash.
    """
    rank = manifest["split"].map(_RANK).fillna(3).astype(int) + 4 * manifest["label"].isna()
    ordered = manifest.assign(rank=rank).sort_values(["rank", "image_id"])
    first = ordered.drop_duplicates("pixel_hash").set_index("pixel_hash")
    twins = ordered[ordered["pixel_hash"].duplicated()]
    kept = first.loc[twins["pixel_hash"]]
    conflict = twins["label"].fillna("").to_numpy() != kept["label"].fillna("").to_numpy()
    found = pd.DataFrame(
        {
            "image_id": twins["image_id"].to_numpy(),
            "twin_id": kept["image_id"].to_numpy(),
            "conflict": conflict & twins["label"].notna().to_numpy(),
        }
    )
    return found.sort_values("image_id", ignore_index=True)


def measure_difference(pixels: Pixels, pairs: np.ndarray) -> np.ndarray:
    """Mean difference of the pixels of each pair, of a range of 1: float64 (P,).

    pairs: int64 (P, 2), rows.
    """
    differences = np.zeros(len(pairs))
    for start in range(0, len(pairs), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        left = pixels[chunk[:, 0]].astype(np.int16)
        difference = np.abs(left - pixels[chunk[:, 1]]).mean(axis=(1, 2, 3)) / 255
        differences[start : start + _CHUNK] = difference
    return differences
