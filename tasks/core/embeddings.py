"""What embeddings are worth.

N, M images, D width of the embedding, K classes
"""

import numpy as np


def normalise(embeddings_ND: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    lengths = np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    return embeddings_ND / np.maximum(lengths, 1e-12)


def knn_accuracy(
    train_ND: np.ndarray, train_labels_N: np.ndarray, val_MD: np.ndarray, val_labels_M: np.ndarray
) -> float:
    """Accuracy of a vote of the 20 nearest by cosine, weighted by exp(similarity / 0.07)
    (Wu et al., Unsupervised feature learning via non-parametric instance discrimination, 2018).

    Labels are integers in [0, K).
    """
    num_neighbours = min(20, len(train_ND))
    num_classes = int(max(train_labels_N.max(), val_labels_M.max())) + 1
    train_ND, correct = normalise(train_ND), 0
    for start in range(0, len(val_MD), 1024):
        similarity_MN = normalise(val_MD[start : start + 1024]) @ train_ND.T
        nearest = np.argpartition(-similarity_MN, num_neighbours - 1, axis=1)[:, :num_neighbours]
        weight = np.exp(np.take_along_axis(similarity_MN, nearest, axis=1) / 0.07)
        votes = np.zeros((len(nearest), num_classes))
        for neighbour in range(num_neighbours):
            np.add.at(
                votes,
                (np.arange(len(nearest)), train_labels_N[nearest[:, neighbour]]),
                weight[:, neighbour],
            )
        correct += int((votes.argmax(axis=1) == val_labels_M[start : start + 1024]).sum())
    return correct / len(val_MD)


def feature_spread(embeddings_ND: np.ndarray) -> float:
    """Mean standard deviation of normalised features times √D: about 1 where the directions are
    spread evenly, 0 where all images are one point (Chen and He, Exploring simple Siamese
    representation learning, 2021, section 4.1)."""
    normalised = normalise(embeddings_ND)
    return float(normalised.std(axis=0).mean() * np.sqrt(embeddings_ND.shape[1]))
