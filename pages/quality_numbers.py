"""The numbers of reports/quality.html, as metrics/quality.json holds them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from pages.agenda import FEW_ROWS, find_points
from pages.arrivals import measure_arrivals
from pages.augmentation import measure_augmentation
from pages.comparison import compare
from pages.counts import count_values
from pages.rules import measure_rules

_SPLITS = ("train", "val", "test")


class Quality(NamedTuple):
    """Everything that is known of the data. `previous`: what `measure_quality` gave for the
    snapshot before, if there was one."""

    arrived: pd.DataFrame
    measures: pd.DataFrame
    issues: pd.DataFrame
    quarantine: pd.DataFrame
    dropped: pd.DataFrame
    leaks: pd.DataFrame
    missed_leaks: pd.DataFrame
    queue: pd.DataFrame
    verdict: Mapping[str, Any]
    splits: Mapping[str, Any]
    audit: Mapping[str, Any]
    rebalanced: Mapping[str, Any]
    augmentation: pd.DataFrame
    previous: Mapping[str, Any] | None


def measure_quality(quality: Quality) -> dict[str, Any]:
    """Every number on the page, but for the scores beneath single images."""
    numbers = {
        **measure_arrivals(quality.arrived, quality.measures, quality.verdict),
        **_measure_rows(quality),
        **_measure_labels(quality),
        "augmentation": measure_augmentation(quality.augmentation),
        "rules": measure_rules(all_suites(quality)),
        "verdict": quality.verdict["verdict"],
    }
    numbers["num_odd"] = int(quality.issues["image_id"].nunique())
    numbers["num_broken"] = sum(one["num_broken"] for one in numbers["rules"].values())
    numbers["compared"] = compare(quality.previous, numbers)
    numbers["agenda"] = [{"number": p.number, "what": p.what} for p in find_points(numbers)]
    return numbers


def _measure_rows(quality: Quality) -> dict[str, Any]:
    reasons = quality.dropped["reason"]
    counts = quality.splits["class_counts"]
    train = [count for count in counts["train"].values() if count]
    return {
        "num_dropped": len(quality.dropped),
        "dropped_by_reason": count_values(reasons),
        "num_repeats": int(reasons.str.startswith("duplicate").sum()),
        "num_conflicts": int((reasons == "duplicate_with_other_label").sum()),
        "num_leaks": len(quality.leaks),
        "leaks_by_splits": count_values(_sides(quality.leaks)),
        "num_embedding_duplicates": dict(quality.rebalanced["num_duplicates"]),
        "num_missed_leaks": sum(quality.rebalanced["num_duplicates"].values()),
        "num_dropped_by_rebalance": quality.rebalanced["num_dropped"],
        "num_rows": dict(quality.splits["num_rows"]),
        "class_counts": counts,
        "small_classes": _small_classes(counts),
        "imbalance": round(max(train) / min(train), 6) if train else 0.0,
        "balance": {key: quality.rebalanced[key] for key in ("before", "after", "made_up")},
    }


def _small_classes(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Classes with few rows in train or in what judges them; a split that is empty judges none."""
    used = [counts[split] for split in _SPLITS if any(counts[split].values())]
    labels = sorted({label for split in used for label in split})
    return [label for label in labels if any(split.get(label, 0) < FEW_ROWS for split in used)]


def _sides(leaks: pd.DataFrame) -> pd.Series:
    return leaks["split"].astype("string") + " in " + leaks["twin_split"].astype("string")


def _measure_labels(quality: Quality) -> dict[str, Any]:
    pairs = quality.queue["label"] + " → " + quality.queue["suggested_label"]
    common = sorted(count_values(pairs).items(), key=lambda item: -item[1])[:10]
    audit = quality.audit
    return {
        "num_suspicious": dict(audit["num_suspicious"]),
        "num_to_review": audit["num_to_review"],
        "to_review_by_pair": dict(common),
        "expected_error_fraction": audit["expected_errors"]["fraction"],
        "num_outliers": sum(audit["num_outliers"].values()),
        "overlapping_classes": list(audit["overlapping_classes"]),
        "num_decisions": dict(audit["num_decisions"]),
    }


def all_suites(quality: Quality) -> list[dict]:
    return [
        suite
        for document in (quality.verdict, quality.splits, quality.rebalanced)
        for suite in document["suites"]
    ]
