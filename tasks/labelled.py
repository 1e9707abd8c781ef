"""What a classifier is taught from: rows of labelled images, and what is done to them."""

from pathlib import Path
from typing import NamedTuple

import albumentations as A
import numpy as np
import pandas as pd

from tasks.artifacts.documents import load_json
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.errors import SplitError
from tasks.core.mixing import Mixing
from tasks.core.policy import load_policy


class Labelled(NamedTuple):
    """Train rows with repeats and val rows; per row of the manifest its class and weight; per class
    how many of the train rows it has, 1 at least."""

    pixels: Images
    rows: np.ndarray
    val: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    classes: list[str]
    counts: np.ndarray
    policy: A.Compose
    mixing: Mixing


def load_labelled(
    images: Path, labels: Path, rows: Path, val: Path, priors: Path, policy: Path
) -> Labelled:
    """Raises SplitError if no val row bears a class of the train rows."""
    table, chosen, held_out = load_table(labels), load_rows(rows), load_rows(val)
    prior_of = load_json(priors)
    codes = pd.Categorical(table["label"], categories=list(prior_of)).codes.astype(np.int64)
    held_out = held_out[codes[held_out] >= 0]
    if len(held_out) == 0:
        raise SplitError("finetune: no val row bears a class of the train rows")
    document, shares_K = load_json(policy), np.array(list(prior_of.values()))
    # A fold of the rows may lack the few of a class, and losses divide by how many there are.
    counts_K = np.maximum(np.rint(shares_K * len(chosen)), 1)
    return Labelled(
        Images(images),
        chosen,
        held_out,
        codes,
        table["weight"].to_numpy(dtype=np.float32),
        list(prior_of),
        counts_K.astype(np.int64),
        load_policy(document["transforms"]),
        Mixing(**document["mixing"]),
    )
