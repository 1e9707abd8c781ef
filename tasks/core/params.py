"""What every section of params.yaml has in common, and the section that stages share."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError


class Section(BaseModel):
    """A section of params.yaml: frozen, no unknown keys, no silent conversion, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Run(Section):
    """What all stages share. A stage names the keys it reads as arguments of its `main`."""

    seed: NonNegativeInt
    num_threads: PositiveInt
    precision: Literal["float32", "bf16", "fp16"]
    device: Literal["cpu", "cuda"]


def explain_validation(section: str, error: ValidationError, values: Any) -> list[str]:
    """One line per mistake in `values`: where it is, what is wrong, what was given."""
    lines = []
    for mistake in error.errors(include_url=False, include_context=False):
        is_missing = mistake["type"] == "missing"
        where = ".".join([section, *_keys(mistake["loc"], values, is_missing)])
        # What is wrong with a section as a whole names the keys that do not go together.
        is_whole = isinstance(mistake["input"], dict)
        given = "" if is_missing or is_whole else f" (given: {mistake['input']!r})"
        lines.append(f"{where}: {mistake['msg']}{given}")
    return lines


def _keys(places: tuple[int | str, ...], values: Any, is_missing: bool) -> list[str]:
    """The places that stand in `values`, and what is missing there: pydantic also names the kinds
    that it chose between."""
    keys = []
    for number, place in enumerate(places, start=1):
        inside = _holds(values, place)
        if inside or (is_missing and number == len(places)):
            keys.append(str(place))
        values = values[place] if inside else values
    return keys


def _holds(values: Any, place: int | str) -> bool:
    in_list = isinstance(values, list) and isinstance(place, int)
    return in_list or (isinstance(values, dict) and place in values)


# What DVC calls two facts about a file, and leaves out of the hash of a run wherever it stands
# (https://github.com/treeverse/dvc/issues/10296).
OVERLOOKED_BY_DVC = ("size", "nfiles")


def find_overlooked(value: Any, where: str) -> list[str]:
    """One line per key that DVC's run cache overlooks: changed alone, it brings back the outputs
    of its former value."""
    if isinstance(value, list):
        items = [(str(number), item) for number, item in enumerate(value)]
    elif isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    else:
        return []
    lines = [
        f"{where}.{key}: DVC's run cache overlooks the name {key!r}, so it would give back what "
        "another value gave; expected another name"
        for key, _ in items
        if isinstance(value, dict) and key in OVERLOOKED_BY_DVC
    ]
    return lines + [line for key, item in items for line in find_overlooked(item, f"{where}.{key}")]
