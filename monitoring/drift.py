"""Whether a window differs from the reference: four families, one promise about false alarms.

probabilities   the largest gap between the distributions of a class's probability
                (Kolmogorov and Smirnov's statistic, at quantiles, largest over the classes)
embeddings      maximum mean discrepancy (Gretton et al., A kernel two-sample test, 2012) by random
                Fourier features (Rahimi and Recht, 2007)
outliers        rise of the share of rows far from their nearest in the reference (Sun et al.,
                Out-of-distribution detection with deep nearest neighbors, 2022)
classes         χ² of the predicted classes

What is far, and on which scale, is learnt from a part of the reference that is then set aside, so
that the rest of the reference and a window without drift are exchangeable, and all p-values exact.
Holm's correction (1979) keeps the promise for the four together.

N, M rows, D width of the embedding, K classes, C cuts of a class's probability, P dealings
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from monitoring.params import Floors, Params
from monitoring.permutations import Question, Sums, ask
from monitoring.rows import Rows, sample_rows

FAMILIES = ("probabilities", "embeddings", "outliers", "classes")
_NUM_CUTS = 64
_NUM_FITTED = 2000
# Farther is far enough, and does not overflow.
_REACH = 100.0


class Family(NamedTuple):
    """`effect`: how far apart, in the unit of `floor`; `adjusted`: p-value after Holm."""

    statistic: float
    p_value: float
    adjusted: float
    effect: float
    floor: float

    def shows(self, alpha: float) -> bool:
        return self.adjusted <= alpha and self.effect >= self.floor


class Fitted:
    """What is learnt from the part of a reference that is set aside."""

    def __init__(self, embeddings_ND: np.ndarray, params: Params, seed: int):
        self._mean_D = embeddings_ND.mean(axis=0)
        sd_D = embeddings_ND.std(axis=0)
        self._sd_D = np.where(sd_D > 1e-6, sd_D, 1.0)
        places_ND = self.place(embeddings_ND)
        num_neighbours = min(params.num_neighbours, len(places_ND) - 1)
        self._nearest = NearestNeighbors(n_neighbors=num_neighbours, algorithm="brute")
        # Without rows to ask about, a row is no neighbour of itself.
        self.own_distance_N = self._nearest.fit(places_ND).kneighbors()[0].mean(axis=1)
        self.reach = float(np.quantile(self.own_distance_N, 1 - params.outlier_fraction))
        rng = np.random.default_rng([seed, 1])
        width = typical_distance(places_ND[:1000])
        shape = places_ND.shape[1], params.num_frequencies
        self._frequencies_DF = (rng.normal(size=shape) / width).astype(np.float32)

    def place(self, embeddings_MD: np.ndarray) -> np.ndarray:
        """On the scale of the reference's standard deviations."""
        with np.errstate(over="ignore"):
            places_MD = (embeddings_MD - self._mean_D) / self._sd_D
        return np.clip(places_MD, -_REACH, _REACH).astype(np.float32)

    def distances(self, embeddings_MD: np.ndarray) -> np.ndarray:
        """Mean distance (M,) to the nearest rows that were set aside."""
        return self._nearest.kneighbors(self.place(embeddings_MD))[0].mean(axis=1)

    def waves(self, embeddings_MD: np.ndarray) -> np.ndarray:
        """Random Fourier features (M, 2F), whose products are Gaussian kernels."""
        angles_MF = self.place(embeddings_MD) @ self._frequencies_DF
        waves_MF = np.concatenate([np.cos(angles_MF), np.sin(angles_MF)], axis=1)
        return waves_MF / np.sqrt(np.float32(angles_MF.shape[1]))


def typical_distance(places_ND: np.ndarray) -> float:
    """The median distance between rows (Gretton et al., 2012); 1 where all are the same."""
    squares_N = (places_ND.astype(np.float64) ** 2).sum(axis=1)
    products_NN = places_ND.astype(np.float64) @ places_ND.T.astype(np.float64)
    apart_NN = squares_N[:, None] + squares_N - 2 * products_NN
    middle = np.median(apart_NN[np.triu_indices(len(places_ND), 1)])
    return float(np.sqrt(middle)) if middle > 1e-9 else 1.0


class Placed(NamedTuple):
    """Rows, and how far each lies from the part of the reference that was set aside."""

    rows: Rows
    distance_N: np.ndarray

    def take(self, rows: np.ndarray) -> "Placed":
        return Placed(self.rows.take(rows), self.distance_N[rows])


class Reference(NamedTuple):
    """A reference divided: `fitted` knows one part, `others` are compared with windows.

    `distance_N` is of every row, whichever part it is in, in the reference's own order.
    """

    fitted: Fitted
    others: Placed
    distance_N: np.ndarray


def divide(rows: Rows, params: Params, seed: int) -> Reference:
    """At least two rows are in either part; there must be four."""
    count = len(rows.embeddings_ND)
    order = np.random.default_rng([seed, 0]).permutation(count)
    num_fitted = min(max(2, round(params.fit_fraction * count)), _NUM_FITTED, count - 2)
    aside, kept = order[:num_fitted], np.sort(order[num_fitted:])
    fitted = Fitted(rows.embeddings_ND[aside], params, seed)
    distance_N = np.empty(count)
    distance_N[aside] = fitted.own_distance_N
    distance_N[kept] = fitted.distances(rows.embeddings_ND[kept])
    kept = kept[sample_rows(len(kept), params.max_rows, [seed, 2])]
    return Reference(fitted, Placed(rows.take(kept), distance_N[kept]), distance_N)


def compare(
    reference: Reference, window: Placed, params: Params, seeds: list[int]
) -> dict[str, Family]:
    """Every family's p-value and effect; draws come from `seeds`."""
    sides = reference.others.rows, window.rows
    both = Rows(*(np.concatenate(pair) for pair in zip(*sides, strict=True)))
    distance_N = np.concatenate([reference.others.distance_N, window.distance_N])
    is_window_N = np.arange(len(distance_N)) >= len(reference.others.distance_N)
    fitted, num_classes = reference.fitted, both.probabilities_NK.shape[1]
    far_N1 = (distance_N > fitted.reach)[:, None].astype(np.float32)
    classes_NK = sparse.csr_matrix(np.eye(num_classes, dtype=np.float32)[both.predicted_N])
    levels = levels_of(both.probabilities_NK)
    questions = {
        "probabilities": Question(levels, lambda sums: largest_gap(sums, num_classes)),
        "embeddings": Question(fitted.waves(both.embeddings_ND), discrepancy),
        "outliers": Question(far_N1, rise),
        "classes": Question(classes_NK, chi_square),
    }
    answers = ask(questions, is_window_N, params.num_permutations, seeds)
    shares = [
        np.bincount(side.predicted_N, minlength=num_classes) / len(side.predicted_N)
        for side in sides
    ]
    effects = {
        "probabilities": answers["probabilities"].statistic,
        "embeddings": float(np.sqrt(max(0.0, answers["embeddings"].excess))),
        "outliers": answers["outliers"].statistic,
        "classes": float(np.abs(shares[0] - shares[1]).sum() / 2),
    }
    return families(
        {name: (answer.statistic, answer.p_value) for name, answer in answers.items()},
        effects,
        params.floors,
    )


def families(
    found: Mapping[str, tuple[float, float]], effects: Mapping[str, float], floors: Floors
) -> dict[str, Family]:
    adjusted = holm({name: p_value for name, (_, p_value) in found.items()})
    return {
        name: Family(statistic, p_value, adjusted[name], effects[name], getattr(floors, name))
        for name, (statistic, p_value) in found.items()
    }


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: those at most α are rejected by Holm's procedure at level α."""
    adjusted, least = {}, 0.0
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda one: one[1])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_value))
        adjusted[name] = least
    return adjusted


def levels_of(probabilities_NK: np.ndarray) -> sparse.csr_matrix:
    """One-hot (N, K·C): between which quantiles of all rows each class's probability lies."""
    shares = np.arange(1, _NUM_CUTS) / _NUM_CUTS
    cuts_CK = np.quantile(probabilities_NK, shares, axis=0, method="lower")
    codes_NK = np.stack(
        [
            class_number * _NUM_CUTS + np.searchsorted(cuts_C, column_N, side="left")
            for class_number, (cuts_C, column_N) in enumerate(
                zip(cuts_CK.T, probabilities_NK.T, strict=True)
            )
        ],
        axis=1,
    )
    num_rows, num_classes = codes_NK.shape
    ones = np.ones(codes_NK.size, dtype=np.float32)
    ends = np.arange(0, codes_NK.size + 1, num_classes)
    return sparse.csr_matrix(
        (ones, codes_NK.ravel(), ends), shape=(num_rows, num_classes * _NUM_CUTS)
    )


def largest_gap(sums: Sums, num_classes: int) -> np.ndarray:
    gap_PKC = sums.gap_PF.reshape(len(sums.gap_PF), num_classes, _NUM_CUTS)
    return np.abs(gap_PKC.cumsum(axis=2)).max(axis=(1, 2))


def discrepancy(sums: Sums) -> np.ndarray:
    """Squared distance between the mean features."""
    return (sums.gap_PF**2).sum(axis=1)


def rise(sums: Sums) -> np.ndarray:
    return sums.gap_PF[:, 0]


def chi_square(sums: Sums) -> np.ndarray:
    """Of the table of classes by group; a class that neither has counts nothing."""
    total_F = sums.group_PF[0] + sums.others_PF[0]
    share_F = total_F / (sums.num_group + sums.num_others)
    scale = 1 / sums.num_group + 1 / sums.num_others
    return (sums.gap_PF**2 / np.where(share_F > 0, share_F, 1.0)).sum(axis=1) / scale
