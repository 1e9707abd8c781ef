"""Classes: renamed, merged and left out as people ask."""

from collections.abc import Mapping, Sequence

import pandas as pd

from tasks.core.errors import ParamsError
from tasks.core.names import find_lookalikes


def map_classes(labels: pd.Series, renamed: Mapping[str, str], ignored: Sequence[str]) -> pd.Series:
    """Labels after renaming; classes with one new name are merged. Ignored ones become `<NA>`.

    Raises:
        ParamsError: a class that is renamed or ignored does not occur, or two of the classes that
            remain look like one.
    """
    present = set(labels.dropna().unique())
    for key, named in (("clean.classes", renamed), ("clean.ignored", ignored)):
        if unknown := sorted(set(named) - present):
            raise ParamsError(
                f"params.yaml: {key} names {unknown}, which no image has; "
                f"the labels are {sorted(present)[:50]}"
            )
    mapped = labels.map(lambda label: renamed.get(label, label), na_action="ignore")
    mapped = mapped.mask(labels.isin(list(ignored))).astype("string")
    if alike := find_lookalikes(mapped.dropna().unique()):
        raise ParamsError(
            f"labels {alike[0]!r} and {alike[1]!r} differ in case, space or form alone; expected "
            "clean.classes in params.yaml to give one name to both, or names further apart"
        )
    return mapped
