"""Images that show the same: by equal pixels, or by perceptual hash."""

from collections.abc import Sequence
from itertools import pairwise
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


def find_near_pairs(hashes: np.ndarray, max_bits: int) -> np.ndarray:
    """Pairs of rows whose 64-bit hashes differ in at most `max_bits` bits: int64 (P, 2), i < j.

    The hash is cut into `max_bits + 1` bands; two hashes that differ in no more bits than that
    agree in one band at least (pigeonhole; Manku et al., Detecting near-duplicates for web
    crawling, 2007), so only rows that share a band are compared.

    hashes: uint64 (N,). Equal hashes by the thousand (blank images) are paired with the first of
    their kind alone, which keeps the number of pairs linear.
    """
    first, inverse = np.unique(hashes, return_inverse=True)
    representative = np.full(len(first), len(hashes))
    np.minimum.at(representative, inverse, np.arange(len(hashes)))
    equal = np.column_stack([representative[inverse], np.arange(len(hashes))])
    equal = equal[equal[:, 0] != equal[:, 1]]
    near = [representative[pairs] for pairs in _near_distinct(first, max_bits)]
    pairs = np.concatenate([equal, *near]) if near else equal
    return np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64).reshape(-1, 2)


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


def _near_distinct(hashes: np.ndarray, max_bits: int) -> list[np.ndarray]:
    if max_bits == 0:
        return []
    found = []
    edges = np.linspace(0, 64, max_bits + 2).astype(int)
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        for distance in range(1, _longest_run(band[order])):
            left, right = order[:-distance], order[distance:]
            same_band = band[left] == band[right]
            left, right = left[same_band], right[same_band]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= max_bits
            found.append(np.column_stack([left[near], right[near]]))
    return found


def _longest_run(values: Sequence | np.ndarray) -> int:
    """Length of the longest run of equal values."""
    if len(values) == 0:
        return 0
    changes = np.flatnonzero(np.diff(values) != 0)
    ends = np.concatenate([[-1], changes, [len(values) - 1]])
    return int(np.diff(ends).max())
