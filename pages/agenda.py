"""What is worth a person's time, most important first."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pages.blocks import Point
from pages.comparison import num_worse

MOST_POINTS = 5
FEW_ROWS = 10
LOPSIDED = 5.0

Numbers = Mapping[str, Any]


class Concern(NamedTuple):
    """A point, the share of images that it concerns, and how much one of them can spoil: 1 is an
    image that is lost."""

    point: Point
    share: float
    cost: float


def find_points(numbers: Numbers) -> list[Point]:
    """At most five, by share times cost. numbers: what metrics/quality.json holds."""
    concerns = [concern(numbers) for concern in _CONCERNS]
    concerns = [concern for concern in concerns if concern.point.number]
    # Stable: of two that weigh the same, the one listed first.
    concerns.sort(key=lambda concern: -concern.share * concern.cost)
    return [concern.point for concern in concerns[:MOST_POINTS]]


def _share(count: float, of: float) -> float:
    return count / max(1, of)


def _held_out(numbers: Numbers) -> int:
    return numbers["num_rows"]["val"] + numbers["num_rows"]["test"]


def _conflicts(numbers: Numbers) -> Concern:
    point = Point(
        "Images that came with two labels",
        numbers["num_conflicts"],
        "The same pixels bear different labels, so one of the two is wrong; the copy that stays "
        "keeps its own, whether right or not.",
        "Say which is right in decisions/labels.csv, and mend it at the source.",
        "Duplicates",
    )
    return Concern(point, _share(point.number, numbers["num_arrived"]), 5.0)


def _missed_leaks(numbers: Numbers) -> Concern:
    point = Point(
        "Look-alikes on two sides of a split",
        max(0, numbers["num_missed_leaks"] - numbers["num_dropped_by_rebalance"]),
        "If they show the same thing, figures on val and test are too good: the net has seen the "
        "answer.",
        "Where the pairs shown are the same thing, set rebalance.drop_duplicates to true; all are "
        "in data/embedding_duplicates.parquet.",
        "Splits and leaks",
    )
    return Concern(point, _share(point.number, _held_out(numbers)), 4.0)


def _doubtful_labels(numbers: Numbers) -> Concern:
    point = Point(
        "Labels that look wrong and wait for a decision",
        numbers["num_to_review"],
        "A wrong label teaches the wrong class, and in val or test it counts right answers as "
        "errors.",
        "Answer the most doubtful in decisions/labels.csv; the page of labels has the line to copy "
        "for each.",
        "Labels that look wrong",
        "review.html",
    )
    return Concern(point, _share(point.number, sum(numbers["num_rows"].values())), 2.0)


def _augmentations(numbers: Numbers) -> Concern:
    audit = numbers["augmentation"]
    point = Point(
        "Augmentations that change what images show",
        len(audit["flagged"]),
        "Every epoch shows the net images of one class under the label of another.",
        "Take them out of augment.transforms, or make them weaker.",
        "Augmentation",
    )
    # At least a little: a transform may be flagged for one class alone.
    shares = [max(0.05, audit["transforms"][name]["difference"]) for name in audit["flagged"]]
    return Concern(point, max(shares, default=0.0), 2.0)


def _leaks(numbers: Numbers) -> Concern:
    point = Point(
        "Near-duplicates on two sides of a split",
        numbers["num_leaks"],
        "The copy that is worth less is left out, of given splits if split.drop_given_leaks says "
        "so, or figures on val and test were too good; whoever made the split will repeat it.",
        "Mend the split at the source; all are in data/leaks.parquet.",
        "Splits and leaks",
    )
    return Concern(point, _share(point.number, _held_out(numbers)), 1.0)


def _rejected(numbers: Numbers) -> Concern:
    point = Point(
        "Rejected files",
        numbers["num_rejected"],
        "They are lost to training, and more so the classes or sources they come from.",
        "Mend them at the source and take it in again; all are in data/quarantine.parquet.",
        "Rejected",
        "arrivals.html",
    )
    return Concern(point, numbers["rejected_fraction"], 1.0)


def _broken_rules(numbers: Numbers) -> Concern:
    point = Point(
        "Rules that do not hold",
        numbers["num_broken"],
        "Somebody wrote down that the data should be otherwise.",
        "Mend the data, or the rule in params.yaml.",
        "Expectations",
    )
    rules = sum(one["num_holding"] + one["num_broken"] for one in numbers["rules"].values())
    return Concern(point, _share(point.number, rules), 1.0)


def _outliers(numbers: Numbers) -> Concern:
    point = Point(
        "Images that look like no class",
        numbers["num_outliers"],
        "What belongs to no class can only be learnt by heart.",
        "Drop them in decisions/labels.csv where they do not belong.",
        "Labels that look wrong",
        "review.html",
    )
    return Concern(point, _share(point.number, sum(numbers["num_rows"].values())), 0.5)


def _odd(numbers: Numbers) -> Concern:
    point = Point(
        "Odd images",
        numbers["num_odd"],
        "Too dark, blurred or of a strange size, they may be faults of a camera or of a "
        "conversion. None was left out.",
        "Look at the worst of each kind; all are in data/issues.parquet.",
        "Odd images",
        "arrivals.html",
    )
    return Concern(point, _share(point.number, numbers["num_arrived"]), 0.3)


def _overlaps(numbers: Numbers) -> Concern:
    pairs = numbers["overlapping_classes"]
    point = Point(
        "Pairs of classes that look like one",
        len(pairs),
        "No model can tell apart what the labels do not.",
        "Merge them in clean.classes, or write down what tells them apart.",
        "Labels that look wrong",
        "review.html",
    )
    return Concern(point, max((pair["confused_fraction"] for pair in pairs), default=0.0), 0.2)


def _small_classes(numbers: Numbers) -> Concern:
    point = Point(
        f"Classes with fewer than {FEW_ROWS} rows in a split",
        len(numbers["small_classes"]),
        "One row more or less then moves the class's score by a tenth and more.",
        "Collect more of these classes, or merge them in clean.classes.",
        "Class balance",
    )
    return Concern(point, _share(point.number, len(numbers["arrived_by_label"])), 0.2)


def _imbalance(numbers: Numbers) -> Concern:
    imbalance = numbers["imbalance"]
    point = Point(
        "Train rows of the largest class, times those of the smallest",
        imbalance if imbalance >= LOPSIDED else 0,
        "The net learns the large classes first; rebalancing repeats the images of the small ones "
        "and adds no new ones.",
        "Collect more of the small classes, or choose another rebalance.sampler.",
        "Class balance",
    )
    return Concern(point, 1 - 1 / max(1.0, imbalance), 0.05)


def _worse(numbers: Numbers) -> Concern:
    compared = numbers["compared"]
    point = Point(
        "Numbers that are worse than in the snapshot before",
        num_worse(compared),
        "What came in since differs from what the model has been good for.",
        "Look at what changed at the source.",
        "Compared with the snapshot before",
    )
    return Concern(point, _share(point.number, sum(map(len, compared.values()))), 0.05)


_CONCERNS = (
    _conflicts,
    _missed_leaks,
    _doubtful_labels,
    _augmentations,
    _leaks,
    _rejected,
    _broken_rules,
    _outliers,
    _odd,
    _overlaps,
    _small_classes,
    _imbalance,
    _worse,
)
