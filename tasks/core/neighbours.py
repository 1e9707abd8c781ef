"""The nearest images, by their embeddings.

N, M images, D width of the embedding, J neighbours
"""

from typing import NamedTuple

import numpy as np

from tasks.core.embeddings import normalise

_CHUNK = 1024


class Neighbours(NamedTuple):
    """Of each image its nearest, nearest first: rows (M, J) and cosine distances in [0, 2]."""

    rows_MJ: np.ndarray
    distance_MJ: np.ndarray


class Space:
    """Embeddings to look for neighbours among, on the scale of their own standard deviations."""

    def __init__(self, embeddings_ND: np.ndarray):
        self._mean_D = embeddings_ND.mean(axis=0)
        self._sd_D = np.maximum(embeddings_ND.std(axis=0), 1e-6)
        self._places_ND = self._place(embeddings_ND)

    def _place(self, embeddings_ND: np.ndarray) -> np.ndarray:
        return normalise((embeddings_ND - self._mean_D) / self._sd_D)

    def find_nearest(self, embeddings_MD: np.ndarray, num_neighbours: int) -> Neighbours:
        """Of each image the `num_neighbours` most similar, or as many as there are."""
        return self._nearest(self._place(embeddings_MD), num_neighbours, None)

    def find_nearest_others(self, rows_M: np.ndarray, num_neighbours: int) -> Neighbours:
        """The same for rows of this space, which are no neighbours of themselves."""
        return self._nearest(self._places_ND[rows_M], num_neighbours, rows_M)

    def _nearest(
        self, places_MD: np.ndarray, num_neighbours: int, selves_M: np.ndarray | None
    ) -> Neighbours:
        num_others = len(self._places_ND) - (selves_M is not None)
        num_neighbours = min(num_neighbours, num_others)
        rows_MJ = np.empty((len(places_MD), num_neighbours), dtype=int)
        distance_MJ = np.empty((len(places_MD), num_neighbours))
        for start in range(0, len(places_MD) if num_neighbours else 0, _CHUNK):
            chunk = slice(start, start + _CHUNK)
            distance_MN = 1 - places_MD[chunk] @ self._places_ND.T
            if selves_M is not None:
                distance_MN[np.arange(len(distance_MN)), selves_M[chunk]] = np.inf
            nearest = np.argpartition(distance_MN, num_neighbours - 1, axis=1)[:, :num_neighbours]
            # Of equally near ones the first row comes first.
            nearest = np.sort(nearest, axis=1)
            near = np.take_along_axis(distance_MN, nearest, axis=1)
            order = np.argsort(near, axis=1, kind="stable")
            rows_MJ[chunk] = np.take_along_axis(nearest, order, axis=1)
            distance_MJ[chunk] = np.take_along_axis(near, order, axis=1)
        return Neighbours(rows_MJ, distance_MJ)


def find_outliers(distance_N: np.ndarray, distance_M: np.ndarray, reach: float) -> np.ndarray:
    """Which of M images lie farther from their neighbours than `reach` interquartile ranges above
    the third quartile of the N, on a logarithmic scale (Tukey's fences): bool (M,)."""
    if len(distance_N) == 0:
        return np.zeros(len(distance_M), dtype=bool)
    low, high = np.quantile(np.log(np.maximum(distance_N, 1e-6)), [0.25, 0.75])
    return np.log(np.maximum(distance_M, 1e-6)) > high + reach * (high - low)
