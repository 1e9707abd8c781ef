"""What users ask of a candidate, as it stands in params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from tasks.core.params import Section
from tasks.core.promotion import Threshold

Metric = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "cohen_kappa",
    "matthews_correlation",
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_loss",
    "calibration_error",
]
Share = Annotated[float, Field(ge=0, le=1)]


class Change(Section):
    """A candidate that is shown to be worse than the champion by more than `margin` is refused.
    `harm`: how much worse a candidate should not get through; the verdict states the chance that
    one would have been refused."""

    margin: NonNegativeFloat
    harm: PositiveFloat

    @model_validator(mode="after")
    def _harm_is_not_allowed(self) -> Self:
        if self.harm <= self.margin:
            raise ValueError(
                f"harm {self.harm} is within the margin {self.margin}, so that none such would "
                "ever be refused; expected harm above margin"
            )
        return self

    @property
    def threshold(self) -> Threshold:
        return Threshold(self.margin, self.harm)


class SliceChange(Change):
    """Of accuracy in every slice that has `least_rows`."""

    least_rows: PositiveInt


class RobustnessChange(Change):
    """Of accuracy under all corruptions at a strength, on `num_rows` test rows at most."""

    num_rows: PositiveInt
    strength: Annotated[int, Field(ge=1, le=5)]


class Growth(Section):
    """How many times the champion's bytes (as ONNX) and operations per image are too many."""

    num_bytes: PositiveFloat
    num_flops: PositiveFloat


class Data(Section):
    """Of test rows, the labels that look wrong; of val and test, the look-alikes in train."""

    suspicious_fraction: Share
    missed_leak_fraction: Share


class Servable(Section):
    """What `publish` asks of the exported model in a fresh process: the 95th percentile of the time
    that one image takes, and how long all of its trial may take."""

    max_latency_ms: PositiveFloat
    timeout_seconds: PositiveFloat
