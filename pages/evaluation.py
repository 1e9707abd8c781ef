"""What reports/training.html shows of metrics/evaluate.json: scores, how sure the model may be,
where it is weak, whether it is alike for all, and what it withstands."""

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import (
    Block,
    Curves,
    Facts,
    Folded,
    Heatmap,
    Matrix,
    Notice,
    Section,
    Spread,
    Table,
    Text,
    Whiskers,
)

Evaluation = Mapping[str, Any]
_MOST_WHISKERS = 40
_RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")


def evaluation_sections(evaluate: Evaluation) -> list[Section]:
    sections = [
        Section("What the model is worth", _scores(evaluate)),
        Section("Confusion", [_confusion(evaluate)]),
        Section("How sure it may be", _calibration(evaluate)),
        Section("Where it is weak", [*_weak_slices(evaluate), *_slices(evaluate)]),
        Section("What it withstands", [*_robustness(evaluate), *_behaviours(evaluate)]),
    ]
    if evaluate["fairness"]:
        sections.append(Section("Whom it treats alike", _fairness(evaluate["fairness"])))
    return sections


def _spread(name: str, interval: Mapping[str, float]) -> Spread:
    return Spread(name, interval["value"], interval["low"], interval["high"])


def _cells(interval: Mapping[str, float] | None) -> list[Any]:
    return [None] * 3 if interval is None else [interval[key] for key in ("value", "low", "high")]


def _scores(evaluate: Evaluation) -> list[Block]:
    metrics = evaluate["metrics"]
    rows = [[name.replace("_", " "), *_cells(one)] for name, one in metrics.items()]
    classes = [
        [name, one["precision"], one["recall"], one["f1"], one["num_rows"]]
        for name, one in evaluate["classes"].items()
    ]
    return [
        Facts(
            {
                "test accuracy": metrics["accuracy"]["value"],
                "balanced accuracy": metrics["balanced_accuracy"]["value"],
                "macro F1": metrics["macro_f1"]["value"],
                "test rows": evaluate["num_rows"],
            }
        ),
        Table(["metric", "value", "low", "high"], rows, "On test rows, with 95 % intervals."),
        Table(["class", "precision", "recall", "F1", "rows"], classes, "By class, on test rows."),
        *_views(evaluate.get("test_time_augmentation")),
    ]


def _views(differences: Mapping[str, Mapping[str, float]] | None) -> list[Block]:
    if not differences:
        return []
    rows = [[name.replace("_", " "), *_cells(one)] for name, one in differences.items()]
    caption = (
        "What it would add to each metric to average over augmented views of each image, with 95 % "
        "intervals. The model that is exported does not."
    )
    table = Table(["metric", "difference", "low", "high"], rows, caption)
    return [Folded("Test-time augmentation", [table])]


def _confusion(evaluate: Evaluation) -> Matrix:
    confusion = evaluate["confusion"]
    return Matrix(
        confusion["classes"], confusion["counts"], "actual", "predicted", "Test rows by class."
    )


def _calibration(evaluate: Evaluation) -> list[Block]:
    calibration, selective = evaluate["calibration"], evaluate["selective"]
    answered = selective["coverage"]["value"]
    error = selective["error"]["value"] if selective["error"] else "none is answered"
    return [
        Facts(
            {
                "temperature, fitted on val": calibration["temperature"],
                "calibration error before": calibration["error_before"]["value"],
                "calibration error after": calibration["error_after"]["value"],
                "does not answer below": selective["threshold"],
                "test rows that it answers": answered,
                "error among these": error,
            }
        ),
        Curves(
            {
                "as sure as right": [(0.0, 0.0), (1.0, 1.0)],
                "calibrated": _reliability(calibration["bins"]),
                "before": _reliability(calibration["bins_before"]),
            },
            "how sure the model is",
            "Accuracy by how sure the model is, on test rows: below the diagonal it is too sure.",
        ),
        Curves(
            {"error": [(one["coverage"], one["error"]) for one in selective["curve"]]},
            "fraction of images that it answers, the surest first",
            "What abstaining gives: the error among the images that it answers.",
        ),
    ]


def _reliability(bins: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    return [(one["confidence"], one["accuracy"]) for one in bins if one["num_rows"]]


def _weak_slices(evaluate: Evaluation) -> list[Block]:
    found = evaluate["weak_slices"]
    if not found:
        return [Notice("good", "No weak slice was found that chance does not explain.")]
    rows = [
        [one["slice"], one["num_rows"], *_cells(one["error"]), one["others_error"], one["p_value"]]
        for one in found
    ]
    columns = ["slice", "rows", "error", "low", "high", "error of the others", "p"]
    caption = (
        "Found by trees on one half of the test rows, measured on the other; p is adjusted for all "
        "slices that were looked at."
    )
    worst = f"The model is weak where {found[0]['slice']}."
    return [Notice("warning", worst), Table(columns, rows, caption)]


def _slices(evaluate: Evaluation) -> list[Block]:
    slices = evaluate["slices"]
    # How right it is where it is how sure is drawn above.
    drawn = [one for one in slices if not one["slice"].startswith("confidence=")]
    worst = sorted(drawn, key=lambda one: one["accuracy"]["value"])[:_MOST_WHISKERS]
    rows = [
        [one["slice"], one["num_rows"], *_cells(one["accuracy"]), one["others_accuracy"],
         one["confidence"], one["log_loss"]]
        for one in slices
    ]  # fmt: skip
    columns = [
        "slice",
        "rows",
        "accuracy",
        "low",
        "high",
        "of the others",
        "confidence",
        "log loss",
    ]
    return [
        Whiskers(
            [_spread(one["slice"], one["accuracy"]) for one in worst],
            evaluate["metrics"]["accuracy"]["value"],
            "all test rows",
            "Accuracy by slice, the least first.",
        ),
        Folded("All slices in numbers", [Table(columns, rows, "By slice, on test rows.")]),
    ]


def _robustness(evaluate: Evaluation) -> list[Block]:
    robustness = evaluate["robustness"]
    corruptions, clean = robustness["corruptions"], robustness["clean"]
    limit = clean - 0.1
    marked = [[share < limit for share in shares] for shares in corruptions.values()]
    return [
        Facts(
            {
                "accuracy, nothing changed": clean,
                "mean accuracy under corruption": robustness["mean"],
                "test rows changed": robustness["num_rows"],
            }
        ),
        Heatmap(
            [name.replace("_", " ") for name in corruptions],
            [f"strength {number}" for number in range(1, 6)],
            list(corruptions.values()),
            marked,
            "accuracy in %, ten points or more below what it is otherwise",
            "accuracy in %",
            "Accuracy on images that are changed more and more.",
        ),
    ]


def _behaviours(evaluate: Evaluation) -> list[Block]:
    rows = [
        [one["behaviour"], one["num_rows"], *_cells(one["measured"]), one["expected"],
         "holds" if one["holds"] else "broken"]
        for one in evaluate["behaviours"]
    ]  # fmt: skip
    if not rows:
        return [Text("No behaviour is asked for in evaluate.behaviours.")]
    columns = ["behaviour", "rows", "measured", "low", "high", "expected", "result"]
    return [Table(columns, rows, "What evaluate.behaviours asks of the model.")]


def _fairness(fairness: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    for column, classes in fairness.items():
        gaps = [
            [name, rate.replace("_", " "), *_cells(one["gaps"][rate])]
            for name, one in classes.items()
            for rate in _RATES
        ]
        rates = [
            [name, value, rate.replace("_", " "), measured["num_rows"], *_cells(measured[rate])]
            for name, one in classes.items()
            for value, measured in one["values"].items()
            for rate in _RATES
        ]
        caption = (
            f"How far rates lie apart between values of {column}, by predicted class. Noise alone "
            "makes gaps; the interval allows for it."
        )
        columns = ["class", "slice", "rate", "rows", "value", "low", "high"]
        blocks += [
            Table(["class", "rate", "gap", "low", "high"], gaps, caption),
            Folded(f"Rates by {column}", [Table(columns, rates, "On test rows.")]),
        ]
    return blocks
