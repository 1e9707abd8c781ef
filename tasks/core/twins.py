"""Images that show the same though their hashes differ: close by embedding.

N, M images, D width of the embedding, P pairs
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.core.embeddings import cosines

# One is enough for a row to be left out; the closest by embedding may differ in pixels.
_NUM_TWINS = 5


class Close(NamedTuple):
    """Positions in one array and in another, int64 (P,), and the cosine of the two."""

    one_P: np.ndarray
    other_P: np.ndarray
    similarity_P: np.ndarray


def find_close(one_ND: np.ndarray, other_MD: np.ndarray, least_similarity: float) -> Close:
    """For each row of `one`, its five closest rows of `other`, those that are as close as asked;
    exact."""
    found = [Close(*np.empty((3, 0)))]
    kept = min(_NUM_TWINS, len(other_MD))
    for start, similarity_NM in cosines(one_ND, other_MD) if kept else ():
        closest = np.argpartition(-similarity_NM, kept - 1, axis=1)[:, :kept]
        similarity = np.take_along_axis(similarity_NM, closest, axis=1)
        row, rank = np.nonzero(similarity >= least_similarity)
        found.append(Close(row + start, closest[row, rank], similarity[row, rank]))
    one, other, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Close(one.astype(np.int64), other.astype(np.int64), similarity)


def find_twins(
    embeddings_ND: np.ndarray, rows: Mapping[str, np.ndarray], least_similarity: float
) -> pd.DataFrame:
    """Close rows on two sides of a split: row, split, twin_row, twin_split, similarity.

    `row` is the one that is worth less to keep held out: splits stand in `rows` in that order,
    train, val, test.
    """
    found = []
    for split, twin_split in combinations(rows, 2):
        one, other = rows[split], rows[twin_split]
        close = find_close(embeddings_ND[one], embeddings_ND[other], least_similarity)
        found.append(
            pd.DataFrame(
                {
                    "row": one[close.one_P],
                    "split": split,
                    "twin_row": other[close.other_P],
                    "twin_split": twin_split,
                    "similarity": close.similarity_P.astype(float).round(6),
                }
            )
        )
    pairs = pd.concat(found, ignore_index=True)
    return pairs.sort_values(["row", "twin_row"], ignore_index=True)
