"""The section `monitoring` of params.yaml: what a check of a window asks and promises."""

from pathlib import Path
from typing import Annotated, Self

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


def load_params(path: Path) -> tuple[Params, Run]:
    """The section `monitoring`, and the one that all share.

    Raises ParamsError, one line for each mistake; ArtifactError if there is no such YAML.
    """
    sections = load_yaml(path)
    found, mistakes = [], []
    for name, model in (("monitoring", Params), ("run", Run)):
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
    params, run = found
    return params, run
