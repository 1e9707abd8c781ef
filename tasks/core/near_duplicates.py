"""Pictures of the same: re-encoded, resized, shifted by a pixel or cropped at the rim.

A picture is hashed by its lowest frequencies. So are the copies that a small shift or crop would
make of it, which takes no pixels: a shift of a thumbnail is a matrix, and so is the transform.

N images, V variants, P pairs, S side of the thumbnail, K frequencies an axis
"""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

_S, _K = 32, 8
# Of the side: the step of a shift, of which there may be two, and a crop.
_SHIFT, _CROP = 1 / 32, 0.05
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# A blank picture's frequencies are not nothing, but rounded to it.
_FAINT = 1e-4
_LEAST_BANDS = 4
_PAIRS_AT_A_TIME = 4_000_000


class Candidates(NamedTuple):
    """Pairs of near hashes: the row `query`, seen as its copy `variant`, and the row `target`."""

    query: np.ndarray
    target: np.ndarray
    variant: np.ndarray


def _sampled(low: float, high: float, num_from: int, num_to: int) -> np.ndarray:
    """(num_to, num_from): means of the parts of the stretch from `low` to `high`, in sides.

    What lies beyond the rim repeats it. Parts narrower than a pixel are read off a straight line.
    """
    edges = np.linspace(low, high, num_to + 1) * num_from
    if num_to >= num_from * (high - low):
        centres = np.clip((edges[:-1] + edges[1:]) / 2 - 0.5, 0, num_from - 1)
        return np.maximum(1 - np.abs(centres[:, None] - np.arange(num_from)), 0)
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(num_from)
    overlap = np.minimum(right, pixel + 1) - np.maximum(left, pixel)
    overlap[:, 0] += np.maximum(0, np.minimum(right[:, 0], 0) - left[:, 0])
    overlap[:, -1] += np.maximum(0, right[:, 0] - np.maximum(left[:, 0], num_from))
    overlap = np.maximum(overlap, 0)
    return overlap / overlap.sum(axis=1, keepdims=True)


def _cosines() -> np.ndarray:
    """(K, S): the first rows of the orthonormal DCT-II (Ahmed, Natarajan and Rao, 1974)."""
    angles = np.pi * (2 * np.arange(_S) + 1) * np.arange(_K)[:, None] / (2 * _S)
    return np.cos(angles) * np.sqrt(np.where(np.arange(_K) == 0, 1, 2) / _S)[:, None]


def _stretches(*edges: tuple[float, float]) -> np.ndarray:
    """(E, K, S): each maps a row or column of a thumbnail to the frequencies of its stretch."""
    return np.stack([_cosines() @ _sampled(*edge, _S, _S) for edge in edges]).astype(np.float32)


_SHIFTS = _stretches(*((by, 1 + by) for by in (0, -_SHIFT, _SHIFT, -2 * _SHIFT, 2 * _SHIFT)))
_CROPS = _stretches((0, 1 - _CROP), (_CROP, 1), (_CROP / 2, 1 - _CROP / 2))
# Rows are stretched in one way of a family, columns in another; the first is the picture as it is.
_VARIANTS = [pair for family in (_SHIFTS, _CROPS) for pair in product(family, repeat=2)]
NUM_VARIANTS = len(_VARIANTS)


def hash_variants(images_NHWC: np.ndarray) -> np.ndarray:
    """uint64 (N, V): the signs of the lowest frequencies, of the images as they are (column 0) and
    of the copies that shifts and crops would make of them."""
    thumbnails_NSS = _thumbnails(images_NHWC)
    return np.concatenate([_hash_family(thumbnails_NSS, one) for one in (_SHIFTS, _CROPS)], axis=1)


def _hash_family(thumbnails_NSS: np.ndarray, family_EKS: np.ndarray) -> np.ndarray:
    """uint64 (N, E²), as `_VARIANTS` has them in order."""
    number, ways = len(thumbnails_NSS), len(family_EKS)
    stretch_SF = family_EKS.reshape(-1, _S).T
    # Two large products instead of a small one for each image and variant.
    columns_NFS = (thumbnails_NSS.reshape(-1, _S) @ stretch_SF).reshape(number, _S, -1)
    columns_NFS = np.ascontiguousarray(columns_NFS.transpose(0, 2, 1))
    above = columns_NFS.reshape(-1, _S) @ stretch_SF > _FAINT
    above = above.reshape(number, ways, _K, ways, _K).transpose(0, 3, 1, 4, 2)
    above = above.reshape(number, ways * ways, _K * _K)
    # The mean grey level says how bright a picture is, not what it shows.
    above[..., 0] = False
    return np.packbits(above, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def find_candidates(hashes_NV: np.ndarray, max_bits: int) -> Candidates:
    """Pairs of which one's variant and the other as it is differ in at most `max_bits` of 64 bits.

    The hash is cut into `max_bits + 1` bands; two hashes that differ in no more bits than that
    agree in one band at least (pigeonhole; Manku et al., Detecting near-duplicates for web
    crawling, 2007), so only those that share a band are compared. Of equal hashes only the first
    row is compared with others, and the rest with it, so that blank images by the thousand cost no
    more than their number.
    """
    targets, firsts, inverse = np.unique(hashes_NV[:, 0], return_index=True, return_inverse=True)
    found = [_equal(firsts[inverse])]
    bands = _cut(targets, max_bits)
    for variant in range(NUM_VARIANTS):
        queries, rows = np.unique(hashes_NV[:, variant], return_index=True)
        for band in bands:
            keys = band.key(queries)
            starts = band.begins[keys]
            for query, place in _joined(starts, band.begins[keys + np.uint64(1)] - starts):
                target = band.order[place]
                near = np.bitwise_count(queries[query] ^ targets[target]) <= max_bits
                pair = np.column_stack([rows[query[near]], firsts[target[near]]])
                found.append(np.column_stack([pair, np.full(len(pair), variant)]))
    pairs = np.unique(np.concatenate(found), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return Candidates(*pairs.T)


class _Band(NamedTuple):
    """Some bits of a hash. `order`: hashes by the value of these bits; `begins`: where each value
    begins there."""

    cut: np.uint64
    mask: np.uint64
    order: np.ndarray
    begins: np.ndarray

    def key(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self.cut) & self.mask


def _cut(hashes: np.ndarray, max_bits: int) -> list[_Band]:
    bands = []
    # More bands than need be where few bits may differ: each has a table of its values.
    edges = np.linspace(0, 64, max(max_bits + 1, _LEAST_BANDS) + 1).astype(int)
    for low, high in pairwise(edges):
        cut, mask = np.uint64(low), np.uint64((1 << int(high - low)) - 1)
        keys = (hashes >> cut) & mask
        order = np.argsort(keys, kind="stable")
        begins = np.searchsorted(keys[order], np.arange(int(mask) + 2, dtype=np.uint64))
        bands.append(_Band(cut, mask, order, begins))
    return bands


def _equal(first_N: np.ndarray) -> np.ndarray:
    """Each row with the first of its hash, as it is."""
    return np.column_stack([np.arange(len(first_N)), first_N, np.zeros(len(first_N), int)])


def _joined(starts: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each query with each place from its start on, so many at a time that memory stays flat."""
    ends = np.cumsum(counts)
    parts = np.arange(_PAIRS_AT_A_TIME, ends[-1] if len(ends) else 0, _PAIRS_AT_A_TIME)
    for queries in np.split(np.arange(len(counts)), np.unique(np.searchsorted(ends, parts))):
        repeated = np.repeat(queries, counts[queries])
        before = np.cumsum(counts[queries]) - counts[queries]
        within = np.arange(len(repeated)) - np.repeat(before, counts[queries])
        yield repeated, starts[repeated] + within


def measure_differences(
    queries_PHWC: np.ndarray, targets_PHWC: np.ndarray, variants_P: np.ndarray
) -> np.ndarray:
    """Root mean square difference (P,) of the pairs' lowest frequencies, once the query is shifted
    or cropped as its variant says; grey levels in [0, 1], so that 0 is the same picture."""
    differences = np.empty(len(variants_P))
    for variant in np.unique(variants_P):
        chosen = variants_P == variant
        apart = _frequencies(_thumbnails(queries_PHWC[chosen]), variant) - _frequencies(
            _thumbnails(targets_PHWC[chosen]), 0
        )
        differences[chosen] = np.sqrt((apart**2).sum(axis=(1, 2))) / _S
    return differences


def _thumbnails(images_NHWC: np.ndarray) -> np.ndarray:
    """Grey levels in [0, 1], float32 (N, S, S)."""
    height, width, channels = images_NHWC.shape[1:]
    weights = _LUMA / 255 if channels == 3 else np.ones(1, np.float32) / 255
    grey_NHW = images_NHWC.astype(np.float32) @ weights
    rows, columns = (_sampled(0, 1, side, _S).astype(np.float32) for side in (height, width))
    return rows @ grey_NHW @ columns.T


def _frequencies(thumbnails_NSS: np.ndarray, variant: int) -> np.ndarray:
    rows, columns = _VARIANTS[variant]
    return rows @ thumbnails_NSS @ columns.T
