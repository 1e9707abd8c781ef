"""How much the rows of a class count, by how many it has.

K classes
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from tasks.core.params import Section


class Unweighted(Section):
    name: Literal["none"]

    @property
    def from_epoch(self) -> int:
        return 1

    def of(self, counts_K: Tensor) -> Tensor:
        return torch.ones_like(counts_K)


class _Weighted(Section):
    """Weights are 1 before `from_epoch` (the first is 1): a later one defers the rebalancing until
    the features have been learnt (Cao et al., Learning imbalanced datasets with label-distribution-
    aware margin loss, 2019, section 3.3)."""

    from_epoch: PositiveInt


class InverseFrequency(_Weighted):
    name: Literal["inverse_frequency"]

    def of(self, counts_K: Tensor) -> Tensor:
        return _with_mean_1(1 / counts_K)


class EffectiveNumber(_Weighted):
    """By the inverse of the number of rows of which none is nearly another's copy (Cui et al.,
    Class-balanced loss based on effective number of samples, 2019, equation 4)."""

    name: Literal["effective_number"]
    beta: Annotated[float, Field(ge=0, lt=1)]

    def of(self, counts_K: Tensor) -> Tensor:
        return _with_mean_1((1 - self.beta) / (1 - self.beta**counts_K))


ClassWeights = Annotated[
    Unweighted | InverseFrequency | EffectiveNumber,
    Field(discriminator="name"),
]


def _with_mean_1(weights_K: Tensor) -> Tensor:
    return weights_K / weights_K.mean()
