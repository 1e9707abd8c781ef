"""The part of reports/quality.html on augmentation: what is done to images, and what it costs."""

from typing import Any

import pandas as pd

from pages.blocks import Block, Figure, Heatmap, Notice, Table, Text

_MOST_CLASSES = 40
_NUM_ROWS = 12
_ALL = "all images"
_COLUMNS = [
    "transform", "label", "changed_fraction", "identity_fraction", "low", "high", "looks_like",
]  # fmt: skip


def flagged_transforms(audit: pd.DataFrame) -> dict[str, list[str]]:
    """The policy's transforms that change labels, with the classes that they do it to."""
    flagged = audit[audit["in_policy"] & audit["is_flagged"]]
    return {
        str(transform): [str(label) for label in rows["label"].dropna()]
        for transform, rows in flagged.groupby("transform", sort=False)
    }


def measure_augmentation(audit: pd.DataFrame) -> dict[str, Any]:
    """Every number on the page."""
    whole = audit[audit["label"].isna()]
    by_class = audit[audit["label"].isin(_worst_classes(audit))]
    columns = ["changed_fraction", "identity_fraction", "difference", "low", "high"]
    return {
        "flagged": flagged_transforms(audit),
        "transforms": {
            str(one["transform"]): {name: one[name] for name in columns}
            for one in whole.to_dict("records")
        },
        "difference_by_class": {
            str(transform): dict(zip(rows["label"], rows["difference"], strict=True))
            for transform, rows in by_class.groupby("transform", sort=False)
        },
        "clearest": _clearest(audit)[_COLUMNS].head(_NUM_ROWS).to_dict("records"),
    }


def augmentation_blocks(audit: pd.DataFrame, sheet: bytes) -> list[Block]:
    return [
        _notice(audit),
        Figure(
            sheet,
            "Originals in the first column, augmented versions of each beside it",
            "What augmentation does: originals at the left.",
        ),
        Text(
            "A transform that makes another class of an image teaches the classifier what is wrong."
            " Each was tried alone, on every image, at the strength that the policy gives it; then "
            "the original images that look most like the result were asked for their label. Shown "
            "is how much more often they bear another one than those around the untouched image."
        ),
        *_blind_spots(audit),
        *_heatmaps(audit),
        *_tables(audit),
    ]


def _notice(audit: pd.DataFrame) -> Notice:
    flagged = flagged_transforms(audit)
    if not flagged:
        return Notice("good", "No transform of the policy was seen to change what images show.")
    named = [
        f"{transform} ({'classes ' + ', '.join(labels[:10]) if labels else _ALL})"
        for transform, labels in flagged.items()
    ]
    return Notice(
        "warning",
        f"The policy changes what images show: {'; '.join(named)}. Take it out of "
        "augment.transforms, or make it weaker.",
    )


def _blind_spots(audit: pd.DataFrame) -> list[Block]:
    """What the encoder was taught to overlook, and so cannot clear of suspicion."""
    clear = audit[audit["in_policy"] & audit["is_view"]].groupby("transform", sort=False)
    names = [str(transform) for transform, rows in clear if not rows["is_flagged"].any()]
    if not names:
        return []
    return [
        Text(
            f"{', '.join(names)}: among pretrain.views as well, which teach the encoder to "
            "overlook such changes. That nothing is flagged says little here: look at the "
            "pictures above."
        )
    ]


def _heatmaps(audit: pd.DataFrame) -> list[Block]:
    """The policy's transforms, and what people might want to add, over the same classes."""
    classes = _worst_classes(audit)
    omitted = audit["label"].nunique() - len(classes)
    rest = f" {omitted} classes with fewer changes are left out." if omitted else ""
    own, others = audit[audit["in_policy"]], audit[~audit["in_policy"]]
    return [
        _heatmap(own, classes, f"The policy's transforms: label changes by class.{rest}"),
        _heatmap(others, classes, f"What one might add: label changes by class.{rest}"),
    ]


def _worst_classes(audit: pd.DataFrame) -> list[str]:
    """The classes that change most, in the order of the audit."""
    by_class = audit["difference"].groupby(audit["label"], sort=False).max()
    worst = set(by_class.sort_values(ascending=False, kind="stable").index[:_MOST_CLASSES])
    return [str(label) for label in by_class.index if label in worst]


def _heatmap(audit: pd.DataFrame, classes: list[str], caption: str) -> Heatmap:
    transforms = list(audit["transform"].unique())
    cells = {
        (transform, label): (difference, bool(is_flagged))
        for transform, label, difference, is_flagged in zip(
            audit["transform"],
            audit["label"].fillna(""),
            audit["difference"],
            audit["is_flagged"],
            strict=True,
        )
    }
    grid = [[cells[transform, label] for label in ("", *classes)] for transform in transforms]
    return Heatmap(
        transforms,
        [_ALL, *classes],
        [[difference for difference, _ in row] for row in grid],
        [[is_flagged for _, is_flagged in row] for row in grid],
        "surely changes the class",
        "labels that change, in per cent",
        caption,
    )


def _clearest(audit: pd.DataFrame) -> pd.DataFrame:
    """The flagged pairs of transform and class, the policy's own first."""
    flagged = audit[audit["label"].notna() & audit["is_flagged"]]
    return flagged.sort_values(["in_policy", "difference"], ascending=False, kind="stable")


def _tables(audit: pd.DataFrame) -> list[Block]:
    clearest = _clearest(audit)
    if clearest.empty:
        return []
    rows = clearest[_COLUMNS].head(_NUM_ROWS).round(3).to_numpy().tolist()
    return [
        Table(
            ["transform", "class", "changed", "untouched", "low", "high", "looks like"],
            rows,
            f"The {len(rows)} clearest of {len(clearest)} flagged pairs, the policy's own first: "
            "shares of images whose neighbours bear another label, and the interval of the "
            "difference. All intervals hold together with 95 %.",
        )
    ]
