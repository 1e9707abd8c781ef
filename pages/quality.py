"""What reports/quality.html shows: what the data is worth, and what a person should look at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pages.arrivals import expectations_table
from pages.augmentation import augmentation_blocks, flagged_transforms, measure_augmentation
from pages.blocks import Bars, Block, Facts, Notice, Picture, Section, Table, Text, Thumbnails

_NUM_ROWS = 20
_SPLITS = ("train", "val", "test", "unlabelled")


class Quality(NamedTuple):
    """Everything on the page. `suspicious`: pictures of the rows that head the review queue."""

    arrived: pd.DataFrame
    quarantine: pd.DataFrame
    dropped: pd.DataFrame
    leaks: pd.DataFrame
    queue: pd.DataFrame
    verdict: Mapping[str, Any]
    splits: Mapping[str, Any]
    audit: Mapping[str, Any]
    rebalanced: Mapping[str, Any]
    suspicious: Sequence[Picture]
    duplicates: Sequence[Picture]
    sheet: bytes
    augmentation: pd.DataFrame


def measure_quality(quality: Quality) -> dict[str, Any]:
    """Every number on the page."""
    reasons = quality.dropped["reason"].value_counts().sort_index()
    return {
        "num_arrived": len(quality.arrived),
        "num_rejected": len(quality.quarantine),
        "rejected_by_reason": dict(quality.verdict["rejected_by_reason"]),
        "dropped_by_reason": {str(reason): int(count) for reason, count in reasons.items()},
        "num_leaks": len(quality.leaks),
        "num_rows": dict(quality.splits["num_rows"]),
        "class_counts": quality.splits["class_counts"],
        "balance": {key: quality.rebalanced[key] for key in ("before", "after", "made_up")},
        "num_embedding_duplicates": dict(quality.rebalanced["num_duplicates"]),
        "num_dropped_by_rebalance": quality.rebalanced["num_dropped"],
        "num_suspicious": dict(quality.audit["num_suspicious"]),
        "num_to_review": quality.audit["num_to_review"],
        "num_decisions": dict(quality.audit["num_decisions"]),
        "augmentation": measure_augmentation(quality.augmentation),
        "verdict": quality.verdict["verdict"],
    }


def quality_notice(quality: Quality) -> Notice:
    """What is worth a person's time, most important first."""
    matters = [
        (len(quality.quarantine), "rejected files"),
        (
            int((quality.dropped["reason"] == "duplicate_with_other_label").sum()),
            "images that came with two labels",
        ),
        (len(quality.leaks), "near-duplicates across splits"),
        (quality.audit["num_to_review"], "labels to review"),
        (len(flagged_transforms(quality.augmentation)), "augmentations that change labels"),
    ]
    broken = sum(
        not finding["passed"] for suite in _suites(quality) for finding in suite["findings"]
    )
    matters.append((broken, "expectations that do not hold"))
    named = [f"{count} {what}" for count, what in matters if count]
    if not named:
        return Notice("good", "The data passed, and nothing asks for a person's time.")
    return Notice("warning", "The data passed. Worth a look: " + ", ".join(named) + ".")


def quality_sections(quality: Quality) -> list[Section]:
    return [
        Section("What came in", [_totals(quality)]),
        Section("Rejected", _rejected(quality)),
        Section("Duplicates", _duplicates(quality)),
        Section("Splits and leaks", _splits(quality)),
        Section("Balance", _balance(quality)),
        Section("Labels that look wrong", _labels(quality)),
        Section("Augmentation", augmentation_blocks(quality.augmentation, quality.sheet)),
        Section("Expectations", [expectations_table(_suites(quality))]),
    ]


def _suites(quality: Quality) -> list[dict]:
    return [
        suite
        for document in (quality.verdict, quality.splits, quality.rebalanced)
        for suite in document["suites"]
    ]


def _in_order(mapping: Mapping[str, Any], keys: Sequence[str]) -> list[tuple[str, Any]]:
    """Items as people think of them; JSON keeps keys by letter."""
    return [(key, mapping[key]) for key in keys]


def _totals(quality: Quality) -> Facts:
    rows = quality.splits["num_rows"]
    return Facts(
        {
            "images came in": len(quality.arrived),
            "rejected": len(quality.quarantine),
            "dropped": len(quality.dropped),
            **{f"{split} rows": n for split, n in _in_order(rows, _SPLITS)},
            "labels to review": quality.audit["num_to_review"],
        }
    )


def _rejected(quality: Quality) -> list[Block]:
    counts = {name: float(count) for name, count in quality.verdict["rejected_by_reason"].items()}
    if not counts:
        return [Text("Every file could be read.")]
    rows = quality.quarantine[["path", "reason", "detail"]].head(_NUM_ROWS).to_numpy().tolist()
    return [
        Bars({"files": counts}, "Rejected files by reason."),
        Table(["path", "reason", "detail"], rows, f"The first {len(rows)} rejected files."),
    ]


def _duplicates(quality: Quality) -> list[Block]:
    twins = quality.dropped[quality.dropped["reason"].str.startswith("duplicate")]
    if twins.empty:
        return [Text("No two images have the same pixels.")]
    kept = quality.arrived.set_index("image_id")["path"]
    rows = [
        [path, kept.get(twin, twin), reason.replace("_", " ")]
        for path, twin, reason in twins[["path", "twin_id", "reason"]].head(_NUM_ROWS).to_numpy()
    ]
    return [
        Text(
            f"{len(twins)} images repeat another's pixels. One copy of each stays: a held-out one "
            "before one that would be learnt from."
        ),
        Thumbnails(quality.duplicates, "Images of which a copy was dropped."),
        Table(["dropped", "stays", "reason"], rows, f"The first {len(rows)} duplicates."),
    ]


def _splits(quality: Quality) -> list[Block]:
    counts = {
        split: {label: float(count) for label, count in classes.items()}
        for split, classes in _in_order(quality.splits["class_counts"], _SPLITS[:3])
    }
    blocks: list[Block] = [Bars(counts, "Images per class in each split.")]
    if missed := quality.rebalanced["num_duplicates"]:
        found = ", ".join(f"{count} of {where}" for where, count in missed.items())
        dropped = quality.rebalanced["num_dropped"]
        blocks.append(
            Text(
                f"The encoder found images on two sides of a split that look alike: {found}; "
                f"{dropped} train rows were dropped for it. All are in "
                "data/embedding_duplicates.parquet."
            )
        )
    if quality.leaks.empty:
        return [*blocks, Text("By their hashes, no near-duplicates lie on two sides of a split.")]
    rows = quality.leaks.head(_NUM_ROWS).to_numpy().tolist()
    return [
        *blocks,
        Text(
            "These near-duplicates lay on two sides of a split; the first of each pair is left out."
        ),
        Table(["left out", "of", "looks like", "in"], rows, "Leaks between splits."),
    ]


def _balance(quality: Quality) -> list[Block]:
    series = {
        when: {label: float(count) for label, count in counts["train"].items()}
        for when, counts in _in_order(quality.rebalanced, ("before", "after"))
    }
    blocks: list[Block] = [Bars(series, "Train rows per class, before and after rebalancing.")]
    if made_up := quality.rebalanced["made_up"]:
        counts = {label: float(count) for label, count in made_up.items()}
        caption = "Embeddings per class that were made up, for the classifier's head alone."
        blocks.append(Bars({"embeddings": counts}, caption))
    return blocks


def _labels(quality: Quality) -> list[Block]:
    if quality.queue.empty:
        return [Text("No label contradicts what its image looks like.")]
    columns = ["path", "split", "label", "suggested_label", "score"]
    rows = quality.queue[columns].head(_NUM_ROWS).to_numpy().tolist()
    pairs = quality.queue["label"] + " → " + quality.queue["suggested_label"]
    common = pairs.value_counts(sort=False).sort_values(ascending=False, kind="stable").head(10)
    confused = {str(pair): float(count) for pair, count in common.items()}
    return [
        Text(
            "Decide in decisions/labels.csv, one line per image: keep, relabel:<class> or drop, "
            "with your name and the time. All rows are in data/review_queue.csv."
        ),
        Thumbnails(quality.suspicious, "The labels that look most wrong."),
        Bars({"images": confused}, "Given label → suggested label, the most frequent pairs."),
        Table(
            ["path", "split", "label", "suggested", "score"],
            rows,
            f"The first {len(rows)} of {len(quality.queue)}; the score is 0 where a model that has "
            "not seen the row is sure of another label, and 0.5 where it is undecided.",
        ),
    ]
