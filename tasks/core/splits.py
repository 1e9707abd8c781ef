"""Which rows train, which choose, which judge: by content alone, and the same for ever."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.core.errors import SplitError
from tasks.core.hashing import hashed_fraction

SPLITS = ("train", "val", "test")
_RANK = {"test": 0, "val": 1, "train": 2, "unlabelled": 3}


class Fractions(NamedTuple):
    val: float
    test: float


def assign_splits(manifest: pd.DataFrame, fractions: Fractions) -> pd.Series:
    """The split of every row: train, val, test or unlabelled.

    A given split is kept; a split that nobody gave is cut out of the train rows. A row's place
    comes from a hash of its group or, without one, of its perceptual hash: from nothing but the
    row itself, so that no other row, whenever it comes, can move it.

    manifest: label, split, group, perceptual_hash.
    """
    by_image = "image " + manifest["perceptual_hash"].astype("string")
    keys = ("group " + manifest["group"].astype("string")).fillna(by_image)
    share = np.array([hashed_fraction(key.encode()) for key in keys])
    hashed = pd.Series(
        np.select(
            [share < fractions.test, share < fractions.test + fractions.val],
            ["test", "val"],
            "train",
        ),
        index=manifest.index,
        dtype=object,
    )
    given = manifest["split"]
    is_given = set(given.dropna())
    keeps = given.notna() & ~((given == "train") & ~hashed.isin(list(is_given))).fillna(False)
    splits = hashed.mask(keeps, given.astype(object))
    return splits.mask(manifest["label"].isna(), "unlabelled").astype("string")


def find_leaks(manifest: pd.DataFrame, splits: pd.Series, pairs: np.ndarray) -> pd.DataFrame:
    """Near-duplicates on two sides of a split: image_id, split, twin_id, twin_split.

    `image_id` names the row to leave out, the one that is worth less to keep held out: of a train
    and a test row the train row, of a val and a test row the val row.

    pairs: int64 (P, 2), rows of the manifest.
    """
    rank = splits.map(_RANK).to_numpy()
    pairs = pairs[rank[pairs[:, 0]] != rank[pairs[:, 1]]]
    # Train and unlabelled rows are learnt from alike.
    pairs = pairs[~((rank[pairs] >= 2).all(axis=1))]
    swapped = rank[pairs[:, 0]] < rank[pairs[:, 1]]
    pairs = np.where(swapped[:, None], pairs[:, ::-1], pairs)
    ids, names = manifest["image_id"].to_numpy(), splits.to_numpy()
    leaks = pd.DataFrame(
        {
            "image_id": ids[pairs[:, 0]],
            "split": names[pairs[:, 0]],
            "twin_id": ids[pairs[:, 1]],
            "twin_split": names[pairs[:, 1]],
        },
        dtype="string",
    )
    return leaks.sort_values(["image_id", "twin_id"], ignore_index=True)


def check_classes(labels: Sequence[str], splits: Sequence[str]) -> None:
    """Raises SplitError if a class has no row to train on or none to be judged by, or if nothing
    is held out for val."""
    counts = pd.crosstab(pd.Series(labels), pd.Series(splits)).reindex(
        columns=list(SPLITS), fill_value=0
    )
    lacking = counts[(counts["train"] == 0) | (counts["test"] == 0)]
    if len(lacking):
        described = "; ".join(
            f"{label!r} has {row['train']} train, {row['val']} val, {row['test']} test"
            for label, row in lacking.iterrows()
        )
        raise SplitError(
            f"every class needs at least one train and one test row: {described}. Add images, "
            "merge the class into another (clean.classes) or leave it out (clean.ignored)"
        )
    if counts["val"].sum() == 0:
        raise SplitError("no row is held out for val; raise split.val_fraction or add images")
