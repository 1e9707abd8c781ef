"""What reports/arrivals.html shows: the data as it came in, for the data team."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pages.blocks import Bars, Block, Facts, Notice, Picture, Section, Table, Text, Thumbnails

_NUM_EXAMPLES = 50
_SHOWN = [
    "width", "height", "bytes_per_pixel", "brightness", "contrast", "entropy", "sharpness",
    "colourfulness", "uniformity",
]  # fmt: skip


def verdict_notice(verdict: dict) -> Notice:
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
    return [
        Section("What came in", [_totals(arrived, quarantine), _labels(arrived)]),
        Section("What was rejected", _rejected(quarantine)),
        Section("Odd images", odd_images(worst, pictures, verdict)),
        Section("What the images are like", _distributions(measures)),
        Section("Expectations", [expectations_table(verdict["suites"])]),
    ]


def _totals(arrived: pd.DataFrame, quarantine: pd.DataFrame) -> Facts:
    return Facts(
        {
            "images": len(arrived),
            "rejected": len(quarantine),
            "without a label": int(arrived["label"].isna().sum()),
            "classes": int(arrived["label"].nunique()),
            "sources": arrived["path"].str.split("/").str[0].nunique(),
        }
    )


def _labels(arrived: pd.DataFrame) -> Bars:
    return Bars({"images": _counts(arrived["label"])}, "Images per label, as given.")


def _counts(values: pd.Series) -> dict[str, float]:
    counts = values.value_counts().sort_index()
    return {str(value): float(count) for value, count in counts.items()}


def _rejected(quarantine: pd.DataFrame) -> list:
    if quarantine.empty:
        return [Text("Nothing was rejected.")]
    rows = quarantine[["path", "reason", "detail"]].head(_NUM_EXAMPLES).to_numpy().tolist()
    shown = f"The first {len(rows)} of {len(quarantine)}; all are in the quarantine table."
    return [
        Bars({"images": _counts(quarantine["reason"])}, "Rejected images by reason."),
        Table(["path", "reason", "detail"], rows, shown),
    ]


def odd_images(worst: pd.DataFrame, pictures: Mapping[str, bytes], verdict: dict) -> list[Block]:
    """What is odd about images that may go on: how many, and the worst of each kind."""
    counts = verdict["images_by_issue"]
    if not counts:
        return [Text("No image is odd.")]
    numbers = {issue.replace("_", " "): float(count) for issue, count in counts.items()}
    blocks: list[Block] = [Bars({"images": numbers}, "Images by what is odd about them.")]
    for issue, rows in worst.groupby("issue"):
        shown = [
            Picture(pictures[image_id], path, [f"{score:.3f}, against the {against}"])
            for image_id, score, against, path in rows[
                ["image_id", "score", "against", "path"]
            ].to_numpy()
        ]
        name = str(issue).replace("_", " ")
        blocks.append(Thumbnails(shown, f"The worst of {counts[issue]}: {name}."))
    return blocks


def _distributions(measures: pd.DataFrame) -> list:
    if measures.empty:
        return [Text("No image could be measured.")]
    sizes = measures["width"].astype(str) + " × " + measures["height"].astype(str)
    common = sorted(_counts(sizes).items(), key=lambda item: -item[1])[:10]
    shares = {
        name: _histogram(measures[name].to_numpy(float)) for name in ("brightness", "contrast")
    }
    quantiles = measures[_SHOWN].quantile([0, 0.05, 0.5, 0.95, 1])
    rows = [[name, *map(float, quantiles[name])] for name in quantiles.columns]
    return [
        Bars({"images": dict(common)}, "The ten most common sizes."),
        Bars(shares, "Share of images by brightness and contrast, both from 0 to 1."),
        Table(["measure", "least", "5 %", "median", "95 %", "most"], rows, "Measures."),
    ]


def _histogram(values: np.ndarray) -> dict[str, float]:
    counts, edges = np.histogram(values, bins=10, range=(0, 1))
    return {
        f"{low:.1f} to {high:.1f}": float(count / max(1, len(values)))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    }


def expectations_table(suites: list[dict]) -> Table:
    rows = [
        [
            suite["suite"],
            finding["rule"],
            finding["column"],
            finding["severity"],
            "holds" if finding["passed"] else f"broken by {finding['num_unexpected']} values",
            _in_words(finding),
        ]
        for suite in suites
        for finding in suite["findings"]
    ]
    return Table(
        ["suite", "rule", "column", "severity", "result", "detail"],
        rows,
        "Every rule that was run.",
    )


def _in_words(finding: dict) -> str:
    missing = finding["num_missing"]
    said = [finding["detail"], *finding["examples"]]
    return "; ".join(
        filter(None, [*said, f"{missing} missing values not looked at" * bool(missing)])
    )
