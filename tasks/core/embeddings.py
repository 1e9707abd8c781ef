"""What embeddings are worth.

N, M images, D width of the embedding, K classes
"""

from collections.abc import Iterator

import numpy as np

_BLOCK = 1024


def normalise(embeddings_ND: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    lengths = np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    return embeddings_ND / np.maximum(lengths, 1e-12)


def cosines(one_ND: np.ndarray, other_MD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Of every row of `one` with all rows of `other`, block by block, so that memory grows with M
    and not with N x M: the first row of a block, and its cosines (at most 1024, M)."""
    other_MD = normalise(other_MD)
    for start in range(0, len(one_ND), _BLOCK):
        yield start, normalise(one_ND[start : start + _BLOCK]) @ other_MD.T


def knn_accuracy(
    train_ND: np.ndarray, train_labels_N: np.ndarray, val_MD: np.ndarray, val_labels_M: np.ndarray
) -> float:
    """Accuracy of the vote of the 20 nearest. Labels are integers in [0, K)."""
    num_classes = int(max(train_labels_N.max(), val_labels_M.max())) + 1
    voted_M = vote_of_neighbours(train_ND, train_labels_N, val_MD, 20, num_classes)
    return int((voted_M == val_labels_M).sum()) / len(val_MD)


def vote_of_neighbours(
    train_ND: np.ndarray,
    train_labels_N: np.ndarray,
    asked_MD: np.ndarray,
    num_neighbours: int,
    num_classes: int,
    itself_M: np.ndarray | None = None,
) -> np.ndarray:
    """The class (M,) that the nearest by cosine vote for, weighted by exp(similarity / 0.07)
    (Wu et al., Unsupervised feature learning via non-parametric instance discrimination, 2018).

    `itself_M` are the indices into `train_ND` that have no vote, one for each row of `asked_MD`.
    """
    num_neighbours = min(num_neighbours, len(train_ND) - (itself_M is not None))
    voted = []
    for start, similarity_MN in cosines(asked_MD, train_ND):
        rows = np.arange(len(similarity_MN))
        if itself_M is not None:
            similarity_MN[rows, itself_M[start : start + len(rows)]] = -np.inf
        nearest = np.argpartition(-similarity_MN, num_neighbours - 1, axis=1)[:, :num_neighbours]
        weight = np.exp(np.take_along_axis(similarity_MN, nearest, axis=1) / 0.07)
        votes = np.zeros((len(nearest), num_classes))
        for neighbour in range(num_neighbours):
            np.add.at(votes, (rows, train_labels_N[nearest[:, neighbour]]), weight[:, neighbour])
        voted.append(votes.argmax(axis=1))
    return np.concatenate(voted)


def feature_spread(embeddings_ND: np.ndarray) -> float:
    """Mean standard deviation of normalised features times √D: about 1 where the directions are
    spread evenly, 0 where all images are one point (Chen and He, Exploring simple Siamese
    representation learning, 2021, section 4.1)."""
    normalised = normalise(embeddings_ND)
    return float(normalised.std(axis=0).mean() * np.sqrt(embeddings_ND.shape[1]))


def effective_rank(embeddings_ND: np.ndarray) -> float:
    """In how many directions embeddings differ: the exponential of the entropy of the singular
    values' shares (Roy and Vetterli, The effective rank, 2007), of embeddings less their mean.

    From 1 (or 0, where all are equal) to the smaller of N - 1 and D.
    """
    centred_ND = embeddings_ND.astype(np.float64) - embeddings_ND.mean(axis=0, dtype=np.float64)
    is_wide = centred_ND.shape[1] > len(centred_ND)
    gram = centred_ND @ centred_ND.T if is_wide else centred_ND.T @ centred_ND
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))
    if values.sum() == 0:
        return 0.0
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


# Spread s is a mean cosine of 1 - s²: at 0.1, two images are 0.99 alike on average. Nets that have
# learnt nothing stand at 0.2 or above (convolutional on CIFAR-10) and 0.4 (transformers), methods
# at work at 0.4 and more; without what keeps it apart (BYOL less its predictor and teacher), a
# projection fell to 0.09 within two epochs and to 0.03 within eight.
_LEAST_SPREAD = 0.1
# Along one line, nothing but more and less can be told. Nets that have learnt nothing reach as many
# directions as good ones, so that a higher bound would say nothing of worth either.
_LEAST_RANK = 2.0


def has_collapsed(feature_spread: float, projection_spread: float, rank: float) -> bool:
    """Whether all images have become one point (or a line) to the encoder, or to the projector,
    where it shows first: the encoder learns no more from what is the same for all images."""
    return min(feature_spread, projection_spread) < _LEAST_SPREAD or rank < _LEAST_RANK
