"""A small Quality to make pages of, with any text in the place of what people name."""

import io
from typing import Any

import pandas as pd
from PIL import Image

from pages.blocks import Picture
from pages.quality import Pictures, quality_notice, quality_sections
from pages.quality_numbers import Quality, measure_quality
from pages.render import render_page

MEASURES = [
    "width", "height", "bytes_per_pixel", "brightness", "contrast", "entropy", "sharpness",
    "colourfulness", "uniformity",
]  # fmt: skip


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 90).save(file, "PNG")
    return file.getvalue()


def finding(rule: str, passed: bool, **changed: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "column": "label",
        "severity": "warning",
        "passed": passed,
        "num_unexpected": 0 if passed else 7,
        "num_missing": 0,
        "detail": "",
        "examples": [],
        **changed,
    }


def a_quality(text: str = "cat", previous: dict[str, Any] | None = None) -> Quality:
    counts = {"train": {text: 40, "b": 6}, "val": {text: 12, "b": 11}, "test": {text: 13, "b": 14}}
    twins = pd.DataFrame([["1", "train", "2", "val"]])
    leaks = twins.set_axis(["image_id", "split", "twin_id", "twin_split"], axis=1)
    measures = pd.DataFrame([[1 / (n + 3)] * len(MEASURES) for n in range(5)], columns=MEASURES)
    transforms = [
        (name, in_policy, label, 0.4 if label == text else 0.123)
        for name, in_policy in ((text, True), ("flip", False))
        for label in (None, text, "b")
    ]
    folder = text.replace("/", "_")
    return Quality(
        arrived=pd.DataFrame({"path": [f"{folder}/1", f"{folder}2/1"], "label": [text, None]}),
        measures=measures,
        issues=pd.DataFrame({"image_id": ["1", "1"], "issue": [text, "dark"]}),
        quarantine=pd.DataFrame({"path": [text], "reason": [text], "detail": [text]}),
        dropped=pd.DataFrame({"reason": ["duplicate", "duplicate_with_other_label"]}),
        leaks=leaks,
        missed_leaks=leaks,
        queue=pd.DataFrame({"label": [text], "suggested_label": ["b"], "score": [0.1]}),
        verdict={
            "verdict": "pass",
            "reasons": [],
            "num_arrived": 210,
            "num_rejected": 17,
            "rejected_fraction": 17 / 210,
            "rejected_by_reason": {text: 17},
            "images_by_issue": {text: 5, "dark": 2},
            "suites": [
                {
                    "suite": text,
                    "findings": [
                        finding(text, False, column=text, detail=text, examples=[text]),
                        finding(text, True),
                    ],
                }
            ],
        },
        splits={
            "num_rows": {"train": 46, "val": 23, "test": 27, "unlabelled": 3},
            "class_counts": counts,
            "suites": [],
        },
        audit={
            "num_suspicious": {"train": 18, "val": 19, "test": 20},
            "num_to_review": 21,
            "num_outliers": {"train": 4, "val": 5, "test": 0},
            "expected_errors": {"fraction": 0.0567},
            "overlapping_classes": [{"classes": [text, "b"], "confused_fraction": 0.3}],
            "num_decisions": {"keep": 31, "relabel": 32, "drop": 33},
        },
        rebalanced={
            "before": counts,
            "after": {**counts, "train": {text: 40, "b": 41}},
            "made_up": {text: 44},
            "num_duplicates": {"train in val": 8},
            "num_dropped": 1,
            "suites": [],
        },
        augmentation=pd.DataFrame(
            [
                {
                    "transform": name,
                    "in_policy": in_policy,
                    "is_view": False,
                    "label": label,
                    "changed_fraction": difference + 0.05123,
                    "identity_fraction": 0.05123,
                    "difference": difference,
                    "low": difference - 0.11234,
                    "high": difference + 0.11234,
                    "is_flagged": difference > 0.2,
                    "looks_like": text,
                }
                for name, in_policy, label, difference in transforms
            ]
        ),
        previous=previous,
    )


def some_pictures(text: str = "cat") -> Pictures:
    one = [Picture(png(), text, [text, text])]
    worst = pd.DataFrame(
        {
            "image_id": ["1", "1"],
            "issue": [text, "dark"],
            "score": [0.1, 0.2],
            "against": ["data", "threshold"],
            "path": [text, text],
        }
    )
    return Pictures(worst, {"1": png()}, one, one, one, one, one, png())


def page_of(quality: Quality, pictures: Pictures) -> str:
    numbers = measure_quality(quality)
    sections = quality_sections(quality, numbers, pictures)
    return render_page("Data quality", "", sections, quality_notice(numbers))
