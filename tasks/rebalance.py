"""Stage rebalance: which train rows are seen how often, and how frequent the classes then are."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from expectations.asked import BalancedRule, extend
from expectations.check import check, preload, refuse_broken
from expectations.suites import add_asked_columns, balanced_suite
from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.embeddings import Synthetic, load_embeddings, save_synthetic
from tasks.artifacts.tables import load_rows, load_table, save_rows
from tasks.core.params import Section
from tasks.core.resampling import Resampled, build_sampler, check_sampler, resample

_WORDS = Literal["auto", "all", "minority", "majority", "not minority", "not majority"]


class Params(Section):
    """`sampler` and `arguments` as imbalanced-learn names them; `sampling_strategy` as it takes it:
    a word, a ratio of two classes, classes, or rows per class. What a sampler makes up are
    embeddings, for the classifier's head alone."""

    sampler: str
    sampling_strategy: _WORDS | Annotated[float, Field(gt=0, le=1)] | list[str] | dict[str, int]
    arguments: dict[str, Any]
    drop_duplicates: bool
    expectations: list[BalancedRule]

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        check_sampler(self.sampler, self.arguments)
        return self


def main(
    train: Path,
    labels: Path,
    embeddings: Path,
    duplicates: Path,
    splits: Path,
    out_rows: Path,
    out_synthetic: Path,
    out_priors: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
) -> None:
    preload()
    table = load_table(labels, ["image_id", "label", "weight"])
    twins = load_table(duplicates, ["image_id", "split", "twin_split"])
    rows = find_usable(table, load_rows(train))
    kept = drop_twins(table, rows, twins) if params.drop_duplicates else rows
    given = table["label"].astype("string")
    embeddings_ND = load_embeddings(embeddings)[kept]
    resampled = rebalance(embeddings_ND, given.iloc[kept].to_numpy(str), params, seed)
    chosen = kept[resampled.chosen_M]
    before, after = (count_classes(given.iloc[some]) for some in (rows, chosen))
    suite = extend(balanced_suite(list(before)), params.expectations)
    checked = check(suite, add_asked_columns(table.iloc[chosen].reset_index(drop=True)))
    refuse_broken(checked)
    held_out = {split: load_json(splits)["class_counts"][split] for split in ("val", "test")}
    save_rows(chosen, out_rows)
    save_synthetic(Synthetic(resampled.made_up_SD, resampled.made_up_labels_S), out_synthetic)
    save_json({label: count / len(chosen) for label, count in after.items()}, out_priors)
    document = {
        "before": {"train": before, **held_out},
        "after": {"train": after, **held_out},
        "made_up": count_classes(resampled.made_up_labels_S),
        "num_neighbours": resampled.num_neighbours,
        "num_duplicates": _count_pairs(twins),
        "num_dropped": len(rows) - len(kept),
        "suites": [checked.document()],
    }
    save_json(document, out_metrics)


def find_usable(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """The rows that bear a label and weigh something."""
    usable = table["label"].notna() & (table["weight"] > 0)
    return rows[usable.to_numpy()[rows]]


def drop_twins(table: pd.DataFrame, rows: np.ndarray, twins: pd.DataFrame) -> np.ndarray:
    """The rows without those that have a twin held out."""
    seen_elsewhere = table["image_id"].isin(twins.loc[twins["split"] == "train", "image_id"])
    return rows[~seen_elsewhere.to_numpy()[rows]]


def rebalance(
    embeddings_ND: np.ndarray, labels_N: np.ndarray, params: Params, seed: int
) -> Resampled:
    """Raises ParamsError if the sampler cannot do with these rows what is asked."""
    if params.sampler == "none":
        everything = np.arange(len(labels_N))
        return Resampled(everything, embeddings_ND[:0], labels_N[:0], None)
    sampler = build_sampler(params.sampler, params.arguments, seed)
    return resample(embeddings_ND, labels_N, sampler, params.sampling_strategy)


def count_classes(labels: np.ndarray | pd.Series) -> dict[str, int]:
    counts = pd.Series(labels).value_counts().sort_index()
    return {str(label): int(count) for label, count in counts.items()}


def _count_pairs(twins: pd.DataFrame) -> dict[str, int]:
    """Images by the two splits in which they and their twins lie."""
    images = twins.drop_duplicates(["image_id", "twin_split"])
    return count_classes(images["split"] + " in " + images["twin_split"])
