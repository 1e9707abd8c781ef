"""What is said of arrivals: counts that add up, and a few examples of each reason."""

import numpy as np
import pandas as pd

from pages.arrivals import arrival_bars, distributions, measure_arrivals, rejected
from pages.blocks import Bars, Table, Text

MEASURES = [
    "width", "height", "bytes_per_pixel", "brightness", "contrast", "entropy", "sharpness",
    "colourfulness", "uniformity",
]  # fmt: skip


def numbers_of(paths: list[str], labels: list[str | None], reasons: dict[str, int]) -> dict:
    rng = np.random.default_rng(0)
    measures = pd.DataFrame(rng.random((30, len(MEASURES))), columns=MEASURES)
    arrived = pd.DataFrame({"path": paths, "label": labels})
    verdict = {
        "num_arrived": len(paths),
        "num_rejected": sum(reasons.values()),
        "rejected_fraction": sum(reasons.values()) / len(paths),
        "rejected_by_reason": reasons,
        "images_by_issue": {},
    }
    return measure_arrivals(arrived, measures.assign(width=8, height=6), verdict)


def test_images_are_counted_by_source_and_by_label():
    numbers = numbers_of(["a/1", "a/2", "b/x/1"], ["cat", None, "cat"], {})
    assert numbers["arrived_by_source"] == {"a": 2, "b": 1}
    assert numbers["arrived_by_label"] == {"cat": 2}
    assert numbers["num_unlabelled"] == 1
    series = [block.series for block in arrival_bars(numbers) if isinstance(block, Bars)]
    assert series == [{"images": {"a": 2, "b": 1}}, {"images": {"cat": 2}}]


def test_of_many_classes_the_smallest_are_shown():
    labels = [f"c{n:02d}" for n in range(60) for _ in range(n + 1)]
    (bars,) = arrival_bars(numbers_of(["a/1"] * len(labels), list(labels), {}))
    assert isinstance(bars, Bars)
    assert list(bars.series["images"]) == [f"c{n:02d}" for n in range(40)]
    assert "40 smallest of 60" in bars.caption


def test_each_reason_has_a_few_examples_and_the_most_frequent_comes_first():
    quarantine = pd.DataFrame(
        {
            "path": [f"{n}.png" for n in range(10)],
            "reason": ["torn"] * 8 + ["too_large", "too_large"],
            "detail": ["no end"] * 7 + [None, "9 MB", "8 MB"],
        }
    )
    numbers = numbers_of(["a/1"] * 20, ["x"] * 20, {"too_large": 2, "torn": 8})
    table = rejected(numbers, quarantine)[-1]
    assert isinstance(table, Table)
    assert table.rows == [
        ["torn", 8, "no end", "0.png\n1.png\n2.png"],
        ["too large", 2, "9 MB\n8 MB", "8.png\n9.png"],
    ]
    assert rejected({"rejected_by_reason": {}}, quarantine) == [Text("Nothing was rejected.")]


def test_histograms_lose_their_empty_ends_on_the_page_alone():
    numbers = numbers_of(["a/1"], ["x"], {})
    numbers["histograms"] = {
        "brightness": {"0": 0.0, "1": 0.5, "2": 0.0, "3": 0.5, "4": 0.0},
        "contrast": {"0": 0.0, "1": 0.0, "2": 1.0, "3": 0.0, "4": 0.0},
    }
    shown = next(b for b in distributions(numbers) if isinstance(b, Bars) and len(b.series) == 2)
    assert list(shown.series["contrast"]) == ["1", "2", "3"]


def test_shares_of_a_histogram_are_of_all_images():
    numbers = numbers_of(["a/1"], ["x"], {})
    for shares in numbers["histograms"].values():
        assert abs(sum(shares.values()) - 1) < 1e-4
    assert numbers["sizes"] == {"8 × 6": 30}
