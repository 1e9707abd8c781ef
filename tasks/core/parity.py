"""How variants of a net stand to the net itself, and which of them is taken.

N rows, K classes
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import binomtest

_Z = 1.959964  # of a 95 % interval

Rule = Literal["float32", "fewest_bytes", "fewest_flops"]


class Bounds(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


class Parity(NamedTuple):
    """A variant beside the net, over the same rows.

    max_difference: of a logit; infinite where a logit is not finite.
    agreement: the share of rows of which both say the same class.
    accuracy: the variant's.  accuracy_loss: how far it is below the net's, row by row.
    """

    max_difference: float
    agreement: float
    accuracy: Bounds
    accuracy_loss: Bounds

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.max_difference)


class Variant(NamedTuple):
    """What there is to choose from."""

    name: str
    parity: Parity
    num_bytes: int
    num_flops: int


class Choice(NamedTuple):
    variant: str
    reason: str


def compare_logits(expected_NK: np.ndarray, given_NK: np.ndarray, codes_N: np.ndarray) -> Parity:
    """`expected_NK` are the net's; a row whose code is below 0 has no label that counts."""
    difference_NK = np.abs(expected_NK - given_NK)
    said_N, given_N = expected_NK.argmax(axis=1), given_NK.argmax(axis=1)
    labelled_N = codes_N >= 0
    net_M, variant_M = (one[labelled_N] == codes_N[labelled_N] for one in (said_N, given_N))
    return Parity(
        max_difference=float(difference_NK.max()) if np.isfinite(difference_NK).all() else math.inf,
        agreement=float((said_N == given_N).mean()),
        accuracy=bound_share(int(variant_M.sum()), len(variant_M)),
        accuracy_loss=bound_loss(net_M, variant_M),
    )


def bound_share(num_right: int, num_rows: int) -> Bounds:
    """A share with its score interval (Wilson, 1927)."""
    if num_rows == 0:
        return Bounds(0.0, 0.0, 1.0)
    found = binomtest(num_right, num_rows).proportion_ci(method="wilson")
    return Bounds(num_right / num_rows, float(found.low), float(found.high))


def bound_loss(before_N: np.ndarray, after_N: np.ndarray) -> Bounds:
    """By how much the share of rows that are right fell, with its adjusted Wald interval: a row of
    either kind of change is added (Bonett and Price, Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data, 2012). With no change at all it still
    says how much might go unseen among so few rows.
    """
    num_rows = len(before_N)
    num_lost, num_won = int((before_N & ~after_N).sum()), int((after_N & ~before_N).sum())
    lost, won = (num_lost + 1) / (num_rows + 2), (num_won + 1) / (num_rows + 2)
    spread = _Z * math.sqrt((lost + won - (lost - won) ** 2) / (num_rows + 2))
    value = (num_lost - num_won) / num_rows if num_rows else 0.0
    return Bounds(value, max(-1.0, lost - won - spread), min(1.0, lost - won + spread))


def find_eligible(variants: Sequence[Variant], max_accuracy_loss: float) -> list[Variant]:
    """The first, float32, and those that are as good as sure to lose no more accuracy than that."""
    return [
        variants[0],
        *(
            one
            for one in variants[1:]
            if one.parity.is_finite and one.parity.accuracy_loss.high <= max_accuracy_loss
        ),
    ]


def choose(variants: Sequence[Variant], rule: Rule, max_accuracy_loss: float) -> Choice:
    """By `rule` among those that are eligible. Where two have as many operations the bytes decide,
    and the other way round."""
    if rule == "float32":
        return Choice(variants[0].name, "it is the net itself, to the last digits of a logit")
    eligible = find_eligible(variants, max_accuracy_loss)
    if rule == "fewest_bytes":
        best = min(eligible, key=lambda one: (one.num_bytes, one.num_flops))
        what = f"{best.num_bytes:,} bytes"
    else:
        best = min(eligible, key=lambda one: (one.num_flops, one.num_bytes))
        what = f"{best.num_flops:,} operations per image"
    return Choice(
        best.name,
        f"with {what} it has the fewest of the {len(eligible)} that lose at most "
        f"{max_accuracy_loss:.2%} of accuracy, of {len(variants)}",
    )
