"""What every section of params.yaml has in common, and the section that stages share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError


class Section(BaseModel):
    """A section of params.yaml: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Run(Section):
    """What all stages share. A stage names the keys it reads as arguments of its `main`."""

    seed: NonNegativeInt
    num_threads: PositiveInt
    precision: Literal["float32", "bf16"]
    device: Literal["cpu", "cuda"]


def explain_validation(section: str, error: ValidationError) -> list[str]:
    """One line per mistake: where it is, what is wrong, what was given."""
    lines = []
    for mistake in error.errors(include_url=False, include_context=False):
        where = ".".join([section, *map(str, mistake["loc"])])
        given = "" if mistake["type"] == "missing" else f" (given: {mistake['input']!r})"
        lines.append(f"{where}: {mistake['msg']}{given}")
    return lines
