"""What reports/training.html says of the exported model and its cheaper variants."""

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import Block, Facts, Mark, Scatter, Table, Text
from pages.rules import rules_blocks

_COLUMNS = [
    *("variant", "may be chosen", "bytes", "operations", "agreement", "difference below"),
    *("accuracy", "low", "high", "lost", "lost at most"),
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
        "Beside the net, on test rows, with 95 % intervals. A variant may be chosen that loses at "
        f"most {export['max_accuracy_loss']:.2%} of accuracy by its interval."
    )
    blocks = [compared, chosen, Table(_COLUMNS, [_row(one) for one in variants], caption)]
    for cost, what in (("num_bytes", "bytes"), ("num_flops", "operations per image")):
        if len({one[cost] for one in variants}) > 1:
            blocks.append(_picture(variants, cost, what))
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
        *(one["name"], one["is_eligible"], one["num_bytes"], one["num_flops"]),
        *(one["agreement"], one["max_difference_below"]),
        *(accuracy["value"], accuracy["low"], accuracy["high"]),
        *(loss["value"], loss["high"]),
    ]


def _picture(variants: Sequence[Mapping[str, Any]], cost: str, what: str) -> Scatter:
    marks = {}
    for one in variants:
        accuracy = one["accuracy"]
        marks[one["name"]] = Mark(one[cost], accuracy["value"], accuracy["low"], accuracy["high"])
    caption = (
        f"Accuracy on test rows, with its interval, by {what}. The line joins those that no other "
        "beats."
    )
    return Scatter(marks, find_front(variants, cost), what, caption)
