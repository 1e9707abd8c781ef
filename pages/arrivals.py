"""What reports/arrivals.html shows: the data as it came in, for the data team."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pages.blocks import Bars, Block, Facts, Notice, Picture, Section, Table, Text, Thumbnails
from pages.counts import class_bars, count_values
from pages.rules import rules_blocks

_NUM_EXAMPLES = 3
_MOST_BARS = 40
_QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
_SHOWN = [
    "width", "height", "bytes_per_pixel", "brightness", "contrast", "entropy", "sharpness",
    "colourfulness", "uniformity",
]  # fmt: skip


def verdict_notice(verdict: Mapping[str, Any]) -> Notice:
    if verdict["verdict"] == "pass":
        return Notice("good", "The data may go on: every critical expectation holds.")
    return Notice("bad", "The data is refused. " + " ".join(verdict["reasons"]))


def arrivals_sections(
    arrived: pd.DataFrame,
    measures: pd.DataFrame,
    worst: pd.DataFrame,
    pictures: Mapping[str, bytes],
    quarantine: pd.DataFrame,
    verdict: dict,
) -> list[Section]:
    """`worst`: image_id, issue, score, against, path of the images that head each issue, whose
    `pictures` are PNGs by image_id."""
    numbers = measure_arrivals(arrived, measures, verdict)
    return [
        Section("What came in", [arrival_facts(numbers), *arrival_bars(numbers)]),
        Section("What was rejected", rejected(numbers, quarantine)),
        Section("Odd images", odd_images(numbers, worst, pictures)),
        Section("What the images are like", distributions(numbers)),
        Section("Expectations", rules_blocks(verdict["suites"])),
    ]


def measure_arrivals(
    arrived: pd.DataFrame, measures: pd.DataFrame, verdict: Mapping[str, Any]
) -> dict[str, Any]:
    """Every number that the blocks below show, but for the scores of single images."""
    return {
        "num_arrived": verdict["num_arrived"],
        "num_rejected": verdict["num_rejected"],
        "rejected_fraction": round(verdict["rejected_fraction"], 6),
        "rejected_by_reason": dict(verdict["rejected_by_reason"]),
        "num_unlabelled": int(arrived["label"].isna().sum()),
        "arrived_by_source": count_values(arrived["path"].str.split("/").str[0]),
        "arrived_by_label": count_values(arrived["label"]),
        "images_by_issue": dict(verdict["images_by_issue"]),
        **_measure_measures(measures),
    }


def _measure_measures(measures: pd.DataFrame) -> dict[str, Any]:
    if measures.empty:
        return {"sizes": {}, "histograms": {}, "quantiles": {}}
    sizes = measures["width"].astype(str) + " × " + measures["height"].astype(str)
    common = sorted(count_values(sizes).items(), key=lambda item: -item[1])[:10]
    quantiles = measures[_SHOWN].quantile(list(_QUANTILES.values())).round(6)
    return {
        "sizes": dict(common),
        "histograms": {
            name: _histogram(measures[name].to_numpy(float)) for name in ("brightness", "contrast")
        },
        "quantiles": {
            name: dict(zip(_QUANTILES, map(float, quantiles[name]), strict=True)) for name in _SHOWN
        },
    }


def _histogram(values: np.ndarray) -> dict[str, float]:
    counts, edges = np.histogram(values, bins=10, range=(0, 1))
    return {
        f"{low:.1f} to {high:.1f}": round(float(count / max(1, len(values))), 6)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    }


def arrival_facts(numbers: Mapping[str, Any]) -> Facts:
    return Facts(
        {
            "images": numbers["num_arrived"],
            "rejected": numbers["num_rejected"],
            "without a label": numbers["num_unlabelled"],
            "classes": len(numbers["arrived_by_label"]),
            "sources": len(numbers["arrived_by_source"]),
        }
    )


def arrival_bars(numbers: Mapping[str, Any]) -> list[Block]:
    sources = numbers["arrived_by_source"]
    labels = class_bars({"images": numbers["arrived_by_label"]}, "Images per label, as given.")
    if len(sources) < 2:
        return [labels]
    largest = sorted(sources, key=lambda name: -sources[name])[:_MOST_BARS]
    return [Bars({"images": {name: sources[name] for name in largest}}, "By source."), labels]


def rejected(numbers: Mapping[str, Any], quarantine: pd.DataFrame) -> list[Block]:
    """quarantine: path, reason, detail."""
    counts = numbers["rejected_by_reason"]
    if not counts:
        return [Text("Nothing was rejected.")]
    rows = []
    for reason in sorted(counts, key=lambda name: -counts[name]):
        files = quarantine[quarantine["reason"] == reason]
        found, examples = (
            list(files[name].dropna().unique()[:_NUM_EXAMPLES]) for name in ("detail", "path")
        )
        cells = ["\n".join(found), "\n".join(examples)]
        rows.append([reason.replace("_", " "), counts[reason], *cells])
    return [
        Facts({"rejected": numbers["num_rejected"], "share of all": numbers["rejected_fraction"]}),
        Table(
            ["reason", "files", "what was found", "for example"],
            rows,
            "Rejected files by reason; all are in data/quarantine.parquet.",
        ),
    ]


def odd_images(
    numbers: Mapping[str, Any], worst: pd.DataFrame, pictures: Mapping[str, bytes]
) -> list[Block]:
    """What is odd about images that may go on: how many, and the worst of each kind."""
    counts = numbers["images_by_issue"]
    if not counts:
        return [Text("No image is odd.")]
    named = {issue.replace("_", " "): count for issue, count in counts.items()}
    blocks: list[Block] = [
        Bars(
            {"images": named},
            "Images by what is odd about them; all are in data/issues.parquet. None is left out "
            "for it.",
        )
    ]
    for issue, rows in worst.groupby("issue"):
        shown = [
            Picture(pictures[image_id], path, [f"{score:.3f}, against the {against}", path])
            for image_id, score, against, path in rows[
                ["image_id", "score", "against", "path"]
            ].to_numpy()
        ]
        name = str(issue).replace("_", " ")
        blocks.append(Thumbnails(shown, f"The worst of {counts[issue]}: {name}."))
    return blocks


def distributions(numbers: Mapping[str, Any]) -> list[Block]:
    if not numbers["quantiles"]:
        return [Text("No image could be measured.")]
    rows = [
        [name.replace("_", " "), *(quantiles[column] for column in _QUANTILES)]
        for name, quantiles in numbers["quantiles"].items()
    ]
    return [
        Bars({"images": numbers["sizes"]}, "The most common sizes, ten at most."),
        Bars(
            _without_empty_ends(numbers["histograms"]),
            "Share of images by brightness and contrast, both from 0 to 1.",
        ),
        Table(["measure", *_QUANTILES], rows, "Measures of the images that may go on."),
    ]


def _without_empty_ends(histograms: Mapping[str, Mapping[str, float]]) -> dict[str, dict]:
    bins = list(next(iter(histograms.values())))
    filled = [n for n, name in enumerate(bins) if any(h[name] for h in histograms.values())]
    kept = bins[filled[0] : filled[-1] + 1] if filled else []
    return {name: {one: shares[one] for one in kept} for name, shares in histograms.items()}
