"""What a classifier is taught from, as the stages before it left it."""

from pathlib import Path

import albumentations as A
import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.documents import save_json
from tasks.artifacts.images import save_pixels
from tasks.artifacts.tables import save_rows, save_table
from tasks.core.errors import SplitError
from tasks.labelled import Labelled, load_labelled


def load(folder: Path, rows: np.ndarray, val: np.ndarray) -> Labelled:
    """Of 40 rows, the last of class c, all others of a and b by turns."""
    (folder / "images").mkdir()
    save_pixels(np.zeros((40, 8, 8, 1), np.uint8), folder / "images/0.npy")
    labels = np.where(np.arange(40) % 2, "b", "a").astype(object)
    labels[39] = "c"
    save_table(pd.DataFrame({"label": labels, "weight": np.ones(40)}), folder / "labels.parquet")
    save_rows(rows, folder / "rows.npy")
    save_rows(val, folder / "val.npy")
    save_json({"a": 0.495, "b": 0.495, "c": 0.01}, folder / "priors.json")
    mixing = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}
    policy = A.to_dict(A.Compose([A.HorizontalFlip()]))
    save_json({"transforms": policy, "mixing": mixing}, folder / "policy.json")
    files = ("images", "labels.parquet", "rows.npy", "val.npy", "priors.json", "policy.json")
    return load_labelled(*(folder / name for name in files))


def test_a_class_that_a_fold_lacks_counts_as_one_row(tmp_path):
    found = load(tmp_path, np.arange(20), np.arange(20, 40))
    assert found.counts.tolist() == [10, 10, 1]
    assert found.codes[[0, 1, 39]].tolist() == [0, 1, 2]


def test_val_rows_of_no_class_judge_nothing(tmp_path):
    with pytest.raises(SplitError, match="no val row bears a class of the train rows"):
        load(tmp_path, np.arange(20), np.array([], dtype=int))
