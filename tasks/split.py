"""Stage split: rows for training, choosing and judging, and what the train rows look like."""

from pathlib import Path
from typing import Annotated, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, model_validator

from expectations.asked import RowsRule, SplitsRule, extend
from expectations.check import check, preload, refuse_broken
from expectations.suites import (
    add_asked_columns,
    add_columns_asked_of_splits,
    clean_suite,
    splits_suite,
)
from tasks.artifacts.documents import save_json
from tasks.artifacts.images import Images
from tasks.artifacts.tables import load_table, save_rows, save_table
from tasks.core.near_duplicates import find_candidates, hash_variants, measure_differences
from tasks.core.params import Section
from tasks.core.splits import SPLITS, Fractions, assign_splits, check_classes, find_leaks

_CHUNK_BYTES = 16_000_000


class Expectations(Section):
    """What users expect of the manifest and of the splits, beyond the suites."""

    clean: list[RowsRule]
    splits: list[SplitsRule]


class Params(Section):
    """Two images are near-duplicates if, for one of a few small shifts or crops of the one, their
    perceptual hashes differ in at most `near_duplicate_bits` of 64, and their lowest frequencies by
    at most `near_duplicate_difference`, of grey levels in [0, 1]. Of two on two sides the one worth
    less held out goes; where both came with their splits, only if `drop_given_leaks` says so."""

    val_fraction: Annotated[float, Field(gt=0, lt=1)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    near_duplicate_bits: Annotated[NonNegativeInt, Field(le=16)]
    near_duplicate_difference: Annotated[float, Field(ge=0, le=1)]
    drop_given_leaks: bool
    expectations: Expectations

    @model_validator(mode="after")
    def _leaves_train_rows(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction together must leave some train rows")
        return self


class Statistics(NamedTuple):
    """Mean and standard deviation per channel, of pixels in [0, 1]."""

    mean: list[float]
    std: list[float]


def main(
    images: Path,
    manifest: Path,
    out_train: Path,
    out_val: Path,
    out_test: Path,
    out_unlabelled: Path,
    out_leaks: Path,
    out_statistics: Path,
    out_metrics: Path,
    params: Params,
) -> None:
    preload()
    pixels, table = Images(images), load_table(manifest)
    splits = assign_splits(table, Fractions(params.val_fraction, params.test_fraction))
    leaks = find_leaks(table, splits, find_near_duplicates(pixels, params))
    left_out = find_left_out(leaks, table, params.drop_given_leaks)
    kept = ~table["image_id"].isin(left_out)
    labelled = kept & table["label"].notna()
    check_classes(table.loc[labelled, "label"].tolist(), splits[labelled].tolist())
    classes = sorted(table.loc[labelled, "label"].unique())
    asked, divided = params.expectations, table[labelled].assign(split=splits[labelled])
    checks = [
        check(extend(clean_suite(), asked.clean), add_asked_columns(table)),
        check(extend(splits_suite(classes), asked.splits), add_columns_asked_of_splits(divided)),
    ]
    refuse_broken(*checks)
    outs = {"train": out_train, "val": out_val, "test": out_test, "unlabelled": out_unlabelled}
    rows = {split: np.flatnonzero(kept & (splits == split)) for split in outs}
    for split, out in outs.items():
        save_rows(rows[split], out)
    save_table(leaks, out_leaks)
    save_json(measure_statistics(pixels, rows["train"])._asdict(), out_statistics)
    suites = [checked.document() for checked in checks]
    counts = _counts(table, rows, len(leaks), left_out.nunique())
    save_json({**counts, "suites": suites}, out_metrics)


def find_left_out(leaks: pd.DataFrame, table: pd.DataFrame, drop_given: bool) -> pd.Series:
    """image_id of the leaks' rows that are not used. A given split was somebody's decision, so its
    own leaks may be left as they are, and are reported alone."""
    is_given = table.set_index("image_id")["split"].notna()
    came_so = is_given[leaks["image_id"]].to_numpy() & is_given[leaks["twin_id"]].to_numpy()
    return leaks.loc[drop_given | ~came_so, "image_id"]


def find_near_duplicates(pixels: Images, params: Params) -> np.ndarray:
    """Pairs of rows, int64 (P, 2), that agree by hash and then by what the hash was made from."""
    chunk = max(1, _CHUNK_BYTES // int(np.prod(pixels.image_shape)))
    rows = np.arange(len(pixels))
    hashes_NV = np.concatenate([hash_variants(images) for images in pixels.chunks(rows, chunk)])
    found = find_candidates(hashes_NV, params.near_duplicate_bits)
    differences = [
        measure_differences(pixels[query], pixels[target], variant)
        for query, target, variant in zip(
            *(np.split(column, range(chunk, len(column), chunk)) for column in found), strict=True
        )
    ]
    near = np.concatenate(differences) <= params.near_duplicate_difference
    pairs = np.column_stack([found.query, found.target])[near]
    return np.unique(np.sort(pairs, axis=1), axis=0)


def measure_statistics(pixels: Images, rows: np.ndarray) -> Statistics:
    """Of the given rows alone, in one pass."""
    counts = np.zeros((pixels.image_shape[-1], 256), dtype=np.int64)
    for chunk in pixels.chunks(rows, max(1, _CHUNK_BYTES // int(np.prod(pixels.image_shape)))):
        for channel in range(len(counts)):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    # A channel without contrast would divide by nothing.
    return Statistics(np.round(mean, 6).tolist(), np.round(np.maximum(std, 1e-3), 6).tolist())


def _counts(
    table: pd.DataFrame, rows: dict[str, np.ndarray], num_leaks: int, num_left_out: int
) -> dict:
    labels = table["label"]
    return {
        "num_rows": {split: len(indices) for split, indices in rows.items()},
        "class_counts": {
            split: {
                str(label): int(count)
                for label, count in labels.iloc[rows[split]].value_counts().sort_index().items()
            }
            for split in SPLITS
        },
        "num_leaks": num_leaks,
        "num_left_out": num_left_out,
    }
