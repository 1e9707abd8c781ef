"""The classifier's head fitted once more, when its encoder has learnt (classifier retraining: Kang
et al., Decoupling representation and classifier for long-tailed recognition, 2020).

N images, D width of the embedding
"""

from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.core.params import Section
from tasks.core.probe import Probe


class NoRefit(Section):
    name: Literal["none"]


class Refit(Section):
    """To the embeddings of the train rows, as `probe` does, after a `sampler` of imbalanced-learn
    (or `none`) has balanced them; what SMOTE and its like make up, they make of these."""

    name: Literal["embeddings"]
    sampler: str
    arguments: dict[str, Any]
    probe: Probe

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        from tasks.core.resampling import check_sampler  # takes a second

        check_sampler(self.sampler, self.arguments)
        return self


AnyRefit = Annotated[NoRefit | Refit, Field(discriminator="name")]


class Embedded(NamedTuple):
    """float32 (N, D), labels as positions among the classes (N,), weights of rows (N,)."""

    embeddings_ND: np.ndarray
    codes_N: np.ndarray
    weights_N: np.ndarray


def balance(embedded: Embedded, classes: list[str], refit: Refit, seed: int) -> Embedded:
    """What is made up weighs 1. Raises ParamsError if the sampler cannot do with these rows."""
    if refit.sampler == "none":
        return embedded
    from tasks.core.resampling import build_sampler, resample

    names_N = np.array(classes)[embedded.codes_N]
    sampler = build_sampler(refit.sampler, refit.arguments, seed)
    done = resample(embedded.embeddings_ND, names_N, sampler, "auto", "finetune.refit")
    code_of = {name: code for code, name in enumerate(classes)}
    made_up = [code_of[name] for name in done.made_up_labels_S]
    return Embedded(
        np.concatenate([embedded.embeddings_ND[done.chosen_M], done.made_up_SD]),
        np.array([*embedded.codes_N[done.chosen_M], *made_up], dtype=np.int64),
        np.concatenate([embedded.weights_N[done.chosen_M], np.ones(len(made_up), np.float32)]),
    )
