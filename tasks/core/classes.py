"""Classes: renamed, merged and left out as people ask."""

from collections.abc import Mapping, Sequence

import pandas as pd

from tasks.core.errors import ParamsError


def map_classes(labels: pd.Series, renamed: Mapping[str, str], ignored: Sequence[str]) -> pd.Series:
    """Labels after renaming; classes with one new name are merged. Ignored ones become `<NA>`.

    Raises:
        ParamsError: a class that is renamed or ignored does not occur.
    """
    present = set(labels.dropna().unique())
    unknown = sorted((set(renamed) | set(ignored)) - present)
    if unknown:
        raise ParamsError(
            f"params.yaml: clean.classes names {unknown}, which no image has; "
            f"the labels are {sorted(present)[:50]}"
        )
    mapped = labels.map(lambda label: renamed.get(label, label), na_action="ignore")
    return mapped.mask(labels.isin(list(ignored))).astype("string")
