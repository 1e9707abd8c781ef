"""The sections of params.yaml that no stage reads: `monitoring`, what a check of a window asks and
promises, `retrain` and `rollback`, what is done about a model that is no longer good enough."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from tasks.artifacts.documents import load_yaml
from tasks.core.errors import ParamsError
from tasks.core.params import Run, Section, explain_validation

Fraction = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]


class Floors(Section):
    """How far apart a family must at least lie, whatever its p-value, for an alarm."""

    probabilities: NonNegativeFloat
    embeddings: NonNegativeFloat
    outliers: NonNegativeFloat
    classes: NonNegativeFloat


class Params(Section):
    min_rows: Annotated[int, Field(ge=2)]
    max_rows: PositiveInt
    max_age_hours: PositiveFloat
    max_refused_fraction: Fraction
    max_invalid_fraction: Fraction
    alpha: Level
    quiet_alpha: Level
    floors: Floors
    num_permutations: PositiveInt
    num_frequencies: PositiveInt
    fit_fraction: Annotated[float, Field(gt=0, lt=1)]
    num_neighbours: PositiveInt
    outlier_fraction: Annotated[float, Field(gt=0, lt=1)]
    false_discovery_rate: Level
    fire_after: PositiveInt
    resolve_after: PositiveInt
    num_report_rows: Annotated[int, Field(ge=10, le=2000)]

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.quiet_alpha < self.alpha:
            raise ValueError(
                f"quiet_alpha {self.quiet_alpha}: expected at least alpha, {self.alpha}"
            )
        if (least := 4 / self.alpha - 1) > self.num_permutations:
            raise ValueError(
                f"num_permutations {self.num_permutations}: expected {least:g} or more, with fewer "
                f"none of four families can reach alpha {self.alpha}"
            )
        return self


class Retrain(Section):
    """`min_new_labels` are asked for, of images that can be taken in and that the champion was not
    trained on; `cooldown_hours` lie between the beginnings of two trainings."""

    min_new_labels: PositiveInt
    cooldown_hours: NonNegativeFloat


class Rollback(Section):
    """Of `days` of predictions, those drawn by chance are looked at, if `min_rows` of them and
    `min_labelled_fraction` have a label; `alpha` is the chance that a champion that is no worse
    than the previous one is rolled back."""

    days: PositiveFloat
    min_rows: PositiveInt
    min_labelled_fraction: Fraction
    alpha: Level


def load_params(path: Path) -> tuple[Params, Run]:
    """The section `monitoring`, and the one that all share. Raises as `load_some` does."""
    params, run = load_some(path, {"monitoring": Params, "run": Run})
    return params, run


def load_some(path: Path, models: Mapping[str, type[Section]]) -> list[Any]:
    """Some sections by their models, in order.

    Raises ParamsError, one line for each mistake; ArtifactError if there is no such YAML.
    """
    sections = load_yaml(path)
    found, mistakes = [], []
    for name, model in models.items():
        values = sections.get(name) if isinstance(sections, dict) else None
        if values is None:
            mistakes.append(f"{name}: section is missing")
            continue
        try:
            found.append(model.model_validate(values))
        except ValidationError as error:
            mistakes += explain_validation(name, error, values)
    if mistakes:
        raise ParamsError("\n  ".join([f"{path}:", *mistakes]))
    return found
