"""What reports/training.html says of the exported model and its cheaper variants."""

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import Block, Facts, Mark, Scatter, Table, Text
from pages.rules import rules_blocks

_COLUMNS = [
    "variant",
    "agreement with the net",
    "difference below",
    "accuracy",
    "low",
    "high",
    "accuracy lost",
    "lost at most",
    "bytes",
    "operations",
    "may be chosen",
]


def exporting_blocks(export: Mapping[str, Any]) -> list[Block]:
    served, edge = export["choice"]["served"], export["choice"]["edge"]
    variants = export["variants"]
    compared = Facts(
        {
            "served": served["variant"],
            "agreement with the net": export["agreement"],
            "largest difference of a logit, below": export["max_difference_below"],
            "bytes": export["num_bytes"],
            "test rows compared": export["num_rows"],
        }
    )
    chosen = Text(
        f"Served is {served['variant']}: {served['reason']}. Devices get {edge['variant']}: "
        f"{edge['reason']}. The program of torch agrees on {export['program']['agreement']:.2%} of "
        "the rows."
    )
    caption = (
        "On test rows, with 95 % intervals. A variant may be chosen that loses at most "
        f"{export['max_accuracy_loss']:.2%} of accuracy by its interval."
    )
    blocks = [compared, chosen, Table(_COLUMNS, [_row(one) for one in variants], caption)]
    if len(variants) > 1:
        blocks += [
            _picture(variants, "num_bytes", "bytes", "What a byte brings"),
            _picture(variants, "num_flops", "operations per image", "What an operation brings"),
        ]
    if not export["suites"]:
        return blocks
    asked = Text("What export.expectations asks of predictions, tried on test rows:")
    return [*blocks, asked, *rules_blocks(export["suites"])]


def find_front(variants: Sequence[Mapping[str, Any]], cost: str) -> list[str]:
    """Names of those that no other beats in accuracy at the same cost or less, or in cost at the
    same accuracy."""
    points = {one["name"]: (one[cost], -one["accuracy"]["value"]) for one in variants}
    return [
        name
        for name, point in points.items()
        if not any(
            other != point and other[0] <= point[0] and other[1] <= point[1]
            for other in points.values()
        )
    ]


def _row(one: Mapping[str, Any]) -> list[Any]:
    accuracy, loss = one["accuracy"], one["accuracy_loss"]
    return [
        one["name"],
        one["agreement"],
        one["max_difference_below"],
        accuracy["value"],
        accuracy["low"],
        accuracy["high"],
        loss["value"],
        loss["high"],
        one["num_bytes"],
        one["num_flops"],
        one["is_eligible"],
    ]


def _picture(variants: Sequence[Mapping[str, Any]], cost: str, what: str, title: str) -> Scatter:
    marks = {}
    for one in variants:
        accuracy = one["accuracy"]
        marks[one["name"]] = Mark(one[cost], accuracy["value"], accuracy["low"], accuracy["high"])
    caption = (
        f"{title}: accuracy on test rows, with its interval, by {what}. The line joins those that "
        "no other beats."
    )
    return Scatter(marks, find_front(variants, cost), what, caption)
