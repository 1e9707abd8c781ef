"""Whether an encoder is worth starting from: a linear probe on it beside the same on fresh nets.

N train rows, M val rows, D width of the embedding
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from tasks.core.comparison import compare, draw_shares
from tasks.core.params import Section

Initialisation = Literal["pretrained", "always", "scratch"]
_PENALTIES = np.logspace(-1, 5, 7)


class Adoption(Section):
    """Balanced accuracy on val of a probe on the encoder, and on the best of some fresh nets of the
    same architecture; `low` and `high` bound the gain with 95 % certainty."""

    score: float
    fresh_score: float
    gain: float
    low: float
    high: float
    adopted: bool


class Embedded(NamedTuple):
    """What a net makes of the rows that teach a probe, and of those that measure it."""

    train_ND: np.ndarray
    val_MD: np.ndarray


def judge_adoption(
    encoder: Embedded,
    fresh: Sequence[Embedded],
    train_labels_N: np.ndarray,
    val_labels_M: np.ndarray,
    is_collapsed: bool,
    seed: int,
) -> Adoption:
    """An encoder is adopted if it beats the best of the fresh nets by more than the interval of the
    difference, over val rows drawn with replacement within their classes, and has not collapsed.

    The best of several, as a fresh net may be lucky, and the encoder with it. Labels are integers.
    """
    draws = draw_shares(val_labels_M, np.random.default_rng(seed))

    def right(embedded: Embedded) -> np.ndarray:
        said_M = probe_classes(embedded.train_ND, train_labels_N, embedded.val_MD)
        return (said_M == val_labels_M)[None]

    ours_1M = right(encoder)
    compared = [
        compare(ours_1M, right(one), val_labels_M, draws, np.random.default_rng(seed))
        for one in fresh
    ]
    against = min(compared, key=lambda one: one.difference)
    return Adoption(
        score=round(against.balanced_accuracy, 6),
        fresh_score=round(against.balanced_accuracy - against.difference, 6),
        gain=round(against.difference, 6),
        low=round(against.low, 6),
        high=round(against.high, 6),
        adopted=against.low > 0 and not is_collapsed,
    )


def probe_classes(
    train_ND: np.ndarray, train_labels_N: np.ndarray, val_MD: np.ndarray
) -> np.ndarray:
    """The classes (M,) that ridge regression on standardised embeddings gives, classes weighing
    the same, the penalty chosen by leaving out one train row at a time."""
    # Imported late: all who load an encoder know of adoption, and do not judge it.
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(train_labels_N)) == 1:
        return np.full(len(val_MD), train_labels_N[0])
    ridge = RidgeClassifierCV(_PENALTIES, class_weight="balanced")
    probe = make_pipeline(StandardScaler(), ridge)
    probe.fit(train_ND.astype(np.float64), train_labels_N)
    return probe.predict(val_MD.astype(np.float64))


def begin_with(
    wanted: Initialisation, adoption: Adoption | None
) -> Literal["pretrained", "scratch"]:
    """`pretrained` asks for an encoder that was found to be worth it, `always` for any."""
    if wanted == "always" or (wanted == "pretrained" and adoption and adoption.adopted):
        return "pretrained"
    return "scratch"
