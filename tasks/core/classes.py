"""Classes: renamed, merged and left out as people ask."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from tasks.core.errors import ParamsError


def map_classes(labels: pd.Series, renamed: Mapping[str, str], ignored: Sequence[str]) -> pd.Series:
    """Labels after renaming; classes with one new name are merged. Ignored ones become `<NA>`.

    Raises:
        ParamsError: a class that is renamed or ignored does not occur, or two of the classes that
            remain look like one.
    """
    present = set(labels.dropna().unique())
    unknown = sorted((set(renamed) | set(ignored)) - present)
    if unknown:
        raise ParamsError(
            f"params.yaml: clean.classes names {unknown}, which no image has; "
            f"the labels are {sorted(present)[:50]}"
        )
    mapped = labels.map(lambda label: renamed.get(label, label), na_action="ignore")
    mapped = mapped.mask(labels.isin(list(ignored))).astype("string")
    _refuse_twins(mapped.dropna().unique())
    return mapped


def _refuse_twins(classes: Iterable[str]) -> None:
    known: dict[str, str] = {}
    for name in sorted(classes):
        twin = known.setdefault(_looks(name), name)
        if twin != name:
            raise ParamsError(
                f"labels {twin!r} and {name!r} differ in case, space or form alone; expected "
                "clean.classes in params.yaml to give one name to both, or names further apart"
            )


def _looks(name: str) -> str:
    """What two names have in common that a reader takes for one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Cf: characters that are not seen, such as a space of no width.
    seen = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return " ".join(seen.split())
