"""What is worth a person's time, most important first."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pages.blocks import Point
from pages.comparison import num_worse

MOST_POINTS = 5
FEW_ROWS = 10
LOPSIDED = 5.0


class Concern(NamedTuple):
    """A point, the share of images that it concerns, and how much one of them can spoil."""

    point: Point
    share: float
    cost: float


def find_points(numbers: Mapping[str, Any]) -> list[Point]:
    """At most five, by share times cost. numbers: what metrics/quality.json holds."""
    concerns = [
        *_about_labels(numbers),
        *_about_leaks(numbers),
        *_about_training(numbers),
        *_about_arrivals(numbers),
        *_about_classes(numbers),
    ]
    concerns = [concern for concern in concerns if concern.point.number]
    # Stable: of two that weigh the same, the one listed first.
    concerns.sort(key=lambda concern: -concern.share * concern.cost)
    return [concern.point for concern in concerns[:MOST_POINTS]]


def _share(count: float, of: float) -> float:
    return count / max(1, of)


def _about_labels(numbers: Mapping[str, Any]) -> list[Concern]:
    rows = sum(numbers["num_rows"].values())
    conflicts, doubtful = numbers["num_conflicts"], numbers["num_to_review"]
    outliers, overlaps = numbers["num_outliers"], numbers["overlapping_classes"]
    return [
        Concern(
            Point(
                "Images that came with two labels",
                conflicts,
                "The same pixels bear different labels, so one of the two is wrong; the copy that "
                "stays keeps its own, whether right or not.",
                "Say which is right in decisions/labels.csv, and mend it at the source.",
                "Duplicates",
            ),
            _share(conflicts, numbers["num_arrived"]),
            5.0,
        ),
        Concern(
            Point(
                "Labels that look wrong and wait for a decision",
                doubtful,
                "A wrong label teaches the wrong class, and in val or test it counts right answers "
                "as errors.",
                "Answer the most doubtful in decisions/labels.csv; the page of labels has the line "
                "to copy for each.",
                "Labels that look wrong",
                "review.html",
            ),
            _share(doubtful, rows),
            2.0,
        ),
        Concern(
            Point(
                "Images that look like no class",
                outliers,
                "What belongs to no class can only be learnt by heart.",
                "Drop them in decisions/labels.csv where they do not belong.",
                "Labels that look wrong",
                "review.html",
            ),
            _share(outliers, rows),
            0.5,
        ),
        Concern(
            Point(
                "Pairs of classes that look like one",
                len(overlaps),
                "No model can tell apart what the labels do not.",
                "Merge them in clean.classes, or write down what tells them apart.",
                "Labels that look wrong",
                "review.html",
            ),
            max((pair["confused_fraction"] for pair in overlaps), default=0.0),
            0.2,
        ),
    ]


def _about_leaks(numbers: Mapping[str, Any]) -> list[Concern]:
    held_out = numbers["num_rows"]["val"] + numbers["num_rows"]["test"]
    missed = max(0, numbers["num_missed_leaks"] - numbers["num_dropped_by_rebalance"])
    return [
        Concern(
            Point(
                "Look-alikes on two sides of a split",
                missed,
                "If they show the same thing, figures on val and test are too good: the net has "
                "seen the answer.",
                "Where the pairs shown are the same thing, set rebalance.drop_duplicates to true; "
                "all are in data/embedding_duplicates.parquet.",
                "Splits and leaks",
            ),
            _share(missed, held_out),
            4.0,
        ),
        Concern(
            Point(
                "Near-duplicates on two sides of a split",
                numbers["num_leaks"],
                "The copy that is worth less was left out, so no figure is too good for it; but "
                "whoever made the split will repeat it.",
                "Mend the split at the source; all are in data/leaks.parquet.",
                "Splits and leaks",
            ),
            _share(numbers["num_leaks"], held_out),
            1.0,
        ),
    ]


def _about_training(numbers: Mapping[str, Any]) -> list[Concern]:
    flagged = numbers["augmentation"]["flagged"]
    transforms = numbers["augmentation"]["transforms"]
    return [
        Concern(
            Point(
                "Augmentations that change what images show",
                len(flagged),
                "Every epoch shows the net images of one class under the label of another.",
                "Take them out of augment.transforms, or make them weaker.",
                "Augmentation",
            ),
            # At least a little: a transform may be flagged for one class alone.
            max((max(0.05, transforms[name]["difference"]) for name in flagged), default=0.0),
            2.0,
        ),
    ]


def _about_arrivals(numbers: Mapping[str, Any]) -> list[Concern]:
    rules = sum(one["num_holding"] + one["num_broken"] for one in numbers["rules"].values())
    worse = num_worse(numbers["compared"])
    return [
        Concern(
            Point(
                "Rejected files",
                numbers["num_rejected"],
                "They are lost to training, and more so the classes or sources they come from.",
                "Mend them at the source and take it in again; all are in data/quarantine.parquet.",
                "Rejected",
                "arrivals.html",
            ),
            numbers["rejected_fraction"],
            1.0,
        ),
        Concern(
            Point(
                "Rules that do not hold",
                numbers["num_broken"],
                "Somebody wrote down that the data should be otherwise.",
                "Mend the data, or the rule in params.yaml.",
                "Expectations",
            ),
            _share(numbers["num_broken"], rules),
            1.0,
        ),
        Concern(
            Point(
                "Numbers that are worse than in the snapshot before",
                worse,
                "What came in since differs from what the model has been good for.",
                "Look at what changed at the source.",
                "Compared with the snapshot before",
            ),
            _share(worse, sum(len(kind) for kind in numbers["compared"].values())),
            0.05,
        ),
        Concern(
            Point(
                "Odd images",
                numbers["num_odd"],
                "Too dark, blurred or of a strange size, they may be faults of a camera or of a "
                "conversion. None was left out.",
                "Look at the worst of each kind; all are in data/issues.parquet.",
                "Odd images",
                "arrivals.html",
            ),
            _share(numbers["num_odd"], numbers["num_arrived"]),
            0.3,
        ),
    ]


def _about_classes(numbers: Mapping[str, Any]) -> list[Concern]:
    small, imbalance = len(numbers["small_classes"]), numbers["imbalance"]
    lopsided = imbalance if imbalance >= LOPSIDED else 0
    return [
        Concern(
            Point(
                f"Classes with fewer than {FEW_ROWS} rows in a split",
                small,
                "One row more or less then moves the class's score by a tenth and more.",
                "Collect more of these classes, or merge them in clean.classes.",
                "Class balance",
            ),
            _share(small, len(numbers["arrived_by_label"])),
            0.2,
        ),
        Concern(
            Point(
                "Train rows of the largest class, times those of the smallest",
                lopsided,
                "The net learns the large classes first; rebalancing repeats the images of the "
                "small ones and adds no new ones.",
                "Collect more of the small classes, or choose another rebalance.sampler.",
                "Class balance",
            ),
            1 - 1 / max(1.0, lopsided),
            0.05,
        ),
    ]
