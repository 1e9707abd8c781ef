"""What reports/quality.html shows: what the data is worth, and what a person should look at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pages.agenda import FEW_ROWS, find_points
from pages.arrivals import arrival_bars, distributions, odd_images, rejected
from pages.augmentation import augmentation_blocks
from pages.blocks import Agenda, Bars, Block, Facts, Notice, Picture, Section, Text, Thumbnails
from pages.comparison import comparison_blocks
from pages.counts import class_bars
from pages.quality_numbers import Quality, all_suites
from pages.rules import rules_blocks
from pages.text import shown

_SPLITS = ("train", "val", "test", "unlabelled")


class Pictures(NamedTuple):
    """What the page shows of single images. `worst`: image_id, issue, score, against, path of
    those that head each issue, whose `odd` are PNGs by image_id. Leaks are pairs side by side."""

    worst: pd.DataFrame
    odd: Mapping[str, bytes]
    conflicts: Sequence[Picture]
    duplicates: Sequence[Picture]
    leaks: Sequence[Picture]
    missed_leaks: Sequence[Picture]
    suspicious: Sequence[Picture]
    sheet: bytes


def quality_notice(numbers: Mapping[str, Any]) -> Notice:
    rows, arrived = sum(numbers["num_rows"].values()), numbers["num_arrived"]
    passed = f"The data passed: {rows:,} of {arrived:,} images go on"
    points = find_points(numbers)
    if not points:
        return Notice("good", f"{passed}, and nothing asks for a person's time.")
    first = points[0]
    return Notice("warning", f"{passed}. First to look at: {first.what} ({shown(first.number)}).")


def quality_sections(
    quality: Quality, numbers: Mapping[str, Any], pictures: Pictures
) -> list[Section]:
    """numbers: what `measure_quality` gives for `quality`."""
    return [
        Section("Worth a person's time", _agenda(numbers)),
        Section("What came in", [_way(numbers), *arrival_bars(numbers)]),
        Section("Compared with the snapshot before", comparison_blocks(numbers["compared"])),
        Section("Rejected", rejected(numbers, quality.quarantine)),
        Section("Odd images", odd_images(numbers, pictures.worst, pictures.odd)),
        Section("What the images are like", distributions(numbers)),
        Section("Class balance", _balance(numbers)),
        Section("Splits and leaks", _splits(numbers, pictures)),
        Section("Duplicates", _duplicates(numbers, pictures)),
        Section("Labels that look wrong", _labels(numbers, pictures)),
        Section("Augmentation", augmentation_blocks(quality.augmentation, pictures.sheet)),
        Section("Expectations", rules_blocks(all_suites(quality))),
    ]


def _agenda(numbers: Mapping[str, Any]) -> list[Block]:
    points = find_points(numbers)
    if not points:
        return [Text("Nothing.")]
    return [
        Text("First what concerns many images, or spoils much with each. Five things at most."),
        Agenda(points),
    ]


def _way(numbers: Mapping[str, Any]) -> Facts:
    """What became of the images."""
    return Facts(
        {
            "images came in": numbers["num_arrived"],
            "rejected": numbers["num_rejected"],
            "dropped": numbers["num_dropped"],
            **{f"{split} rows": numbers["num_rows"][split] for split in _SPLITS},
            "came without a label": numbers["num_unlabelled"],
            "sources": len(numbers["arrived_by_source"]),
        }
    )


def _balance(numbers: Mapping[str, Any]) -> list[Block]:
    series = {when: numbers["balance"][when]["train"] for when in ("before", "after")}
    blocks: list[Block] = [
        Facts(
            {
                "classes": len(numbers["arrived_by_label"]),
                "largest, times the smallest": numbers["imbalance"],
                f"classes with fewer than {FEW_ROWS} rows in a split": len(
                    numbers["small_classes"]
                ),
            }
        ),
        class_bars(series, "Train rows per class, before and after rebalancing."),
    ]
    if made_up := numbers["balance"]["made_up"]:
        caption = "Embeddings per class that were made up, for the classifier's head alone."
        blocks.append(class_bars({"embeddings": made_up}, caption))
    return blocks


def _splits(numbers: Mapping[str, Any], pictures: Pictures) -> list[Block]:
    counts = {split: numbers["class_counts"][split] for split in _SPLITS[:3]}
    blocks: list[Block] = [class_bars(counts, "Images per class in each split.")]
    if missed := numbers["num_embedding_duplicates"]:
        dropped = numbers["num_dropped_by_rebalance"]
        blocks += [
            Text(
                "Images that look alike to the encoder and lie on two sides of a split. "
                f"Train rows dropped for it: {dropped:,}. All pairs are in "
                "data/embedding_duplicates.parquet."
            ),
            Facts(missed),
            Thumbnails(pictures.missed_leaks, "Pairs, side by side."),
        ]
    if not numbers["num_leaks"]:
        return [*blocks, Text("By their hashes, no near-duplicates lie on two sides of a split.")]
    return [
        *blocks,
        Text(
            "These near-duplicates lay on two sides of a split; the first of each pair is left "
            "out. All are in data/leaks.parquet."
        ),
        Facts(numbers["leaks_by_splits"]),
        Thumbnails(
            pictures.leaks, "Pairs: what is worth less held out at the left, its twin beside."
        ),
    ]


def _duplicates(numbers: Mapping[str, Any], pictures: Pictures) -> list[Block]:
    if not numbers["num_repeats"]:
        return [Text("No two images have the same pixels.")]
    blocks: list[Block] = [
        Text(
            "These images repeat another's pixels. One copy of each stays: a held-out one before "
            "one that would be learnt from. All are in data/clean/dropped.parquet."
        ),
        Facts(
            {
                "repeat another image": numbers["num_repeats"],
                "of these with another label": numbers["num_conflicts"],
            }
        ),
    ]
    if pictures.conflicts:
        blocks.append(Thumbnails(pictures.conflicts, "One image, two labels."))
    caption = "What was dropped, above the copy of it that stays."
    return [*blocks, Thumbnails(pictures.duplicates, caption)] if pictures.duplicates else blocks


def _labels(numbers: Mapping[str, Any], pictures: Pictures) -> list[Block]:
    facts = {
        "to review": numbers["num_to_review"],
        **{f"flagged in {split}": numbers["num_suspicious"][split] for split in _SPLITS[:3]},
        "expected errors in train, as a share": numbers["expected_error_fraction"],
        "look like no class": numbers["num_outliers"],
        **{f"decided: {verb}": count for verb, count in numbers["num_decisions"].items()},
    }
    if not numbers["num_to_review"]:
        return [Facts(facts), Text("No label that nobody has decided looks wrong.")]
    return [
        Facts(facts),
        Text(
            "Decide in decisions/labels.csv, one line per image: keep, relabel:<class> or drop, "
            "with your name and the time. reports/review.html has the line to copy for each, "
            "data/review_queue.csv all rows."
        ),
        Thumbnails(pictures.suspicious, "The labels that look most wrong: given → suggested."),
        Bars(
            {"images": numbers["to_review_by_pair"]},
            "Given label → suggested label, the most frequent pairs.",
        ),
    ]
