"""What reports/explain.html shows: why the model says what it says, and what the reasons are worth.

`document` is what metrics/explain.json holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pages.blocks import (
    Block,
    Example,
    Facts,
    Figure,
    Gallery,
    Lines,
    Notice,
    Section,
    Table,
    Text,
)
from pages.imitation import forest_blocks, rule_blocks

_NAMES = {
    "integrated_gradients": "integrated gradients",
    "smooth_gradients": "SmoothGrad",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
    "kernel_shap": "KernelSHAP",
    "lime": "LIME",
}
_GROUPS = {
    "mistakes": ("The most confident mistakes", "No test row is mistaken."),
    "uncertain": ("The least certain", "None were asked for."),
    "random": ("A few of every class", "None were asked for."),
}
_CHECKS = {"deletion": "deletion", "insertion": "insertion", "randomisation": "a broken net"}


class Group(NamedTuple):
    """Examples of a kind (`mistakes`, `uncertain`, `random`), of the `num_chosen` that were to be
    shown."""

    kind: str
    examples: Sequence[Example]
    num_chosen: int


class Explained(NamedTuple):
    """Everything on the page. `methods`: whose pictures stand in the groups, in this order;
    `scale`: a picture of their colours."""

    document: Mapping[str, Any]
    methods: Sequence[str]
    groups: Sequence[Group]
    scale: bytes


def explain_notice(document: Mapping[str, Any]) -> Notice:
    judged = {name: one for name, one in document["methods"].items() if "passed" in one}
    failed = [_NAMES[name] for name, one in judged.items() if not one["passed"]]
    if not failed:
        return Notice("good", f"All {len(judged)} methods point at what the model goes by.")
    if len(failed) == len(judged):
        return Notice("bad", "No method was shown to point at what the model goes by.")
    return Notice(
        "warning",
        f"Not shown to point at what the model goes by: {', '.join(failed)}. The others passed "
        "their checks.",
    )


def explain_sections(explained: Explained) -> list[Section]:
    document = explained.document
    return [
        Section("How to read the pictures", _instructions(explained)),
        *(Section(_GROUPS[group.kind][0], _group(explained, group)) for group in explained.groups),
        Section("Which methods to trust", check_blocks(document)),
        Section("What moves the model", forest_blocks(document["imitation"])),
        Section("Rules that imitate the model", rule_blocks(document["imitation"])),
    ]


def _instructions(explained: Explained) -> list[Block]:
    document = explained.document
    return [
        Text(
            "Each picture is coloured where a method found reasons for the class that the model "
            "says. Grad-CAM shows only what speaks for it. Strength is relative to the one picture."
        ),
        Figure(
            explained.scale,
            "From blue through grey to orange",
            "Blue: speaks against the class. Grey: says nothing. Orange: speaks for it.",
        ),
        Facts({"test rows": document["num_rows"], "mistakes": document["num_mistakes"]}),
        *(
            Text(f"{_NAMES[name]} is not shown: {one['unavailable']}.")
            for name, one in document["methods"].items()
            if "unavailable" in one
        ),
    ]


def _group(explained: Explained, group: Group) -> list[Block]:
    if not group.num_chosen:
        return [Text(_GROUPS[group.kind][1])]
    methods = explained.document["methods"]
    columns = [
        _NAMES[name] + ("" if methods[name]["passed"] else " ✕ failed")
        for name in explained.methods
    ]
    caption = f"Where the reasons lie, test rows: {len(group.examples)}"
    if len(group.examples) < group.num_chosen:
        caption += f" of {group.num_chosen}, as no more fit"
    return [Gallery(["given and said", "image", *columns], group.examples, f"{caption}.")]


def check_blocks(document: Mapping[str, Any]) -> list[Block]:
    """Which methods pass which checks, and by how much."""
    judged = {name: one for name, one in document["methods"].items() if "passed" in one}
    return [
        Text(
            "Deletion takes away first what a method calls important: the probability of the class "
            "should fall faster than at random. Insertion puts it first into a blurred image: the "
            "probability should rise faster. Then the weights of the net are broken, from its head "
            "down to all of them: what still looks the same tells of the image, not of the model. "
            "A method passes where the 95 % intervals leave no doubt about all three. All take "
            f"away cells of the same grid, on {document['num_images']} random test rows."
        ),
        Table(
            ["method", *_CHECKS.values(), "together"],
            [
                [_NAMES[name], *(_word(one[check]) for check in _CHECKS), _word(one)]
                for name, one in judged.items()
            ],
            "Which methods pass.",
        ),
        _areas(judged, "deletion", "Area under the deletion curve: low is good."),
        _areas(judged, "insertion", "Area under the insertion curve: high is good."),
        _curves(document, judged, "deletion", "taking away what matters most"),
        _curves(document, judged, "insertion", "putting in what matters most"),
        *_correlations(judged),
    ]


def _word(one: Mapping[str, Any]) -> str:
    return "passes" if one["passed"] else "✕ fails"


def _areas(judged: Mapping[str, Any], check: str, caption: str) -> Table:
    keys = ["area", "random_area", "difference", "low", "high"]
    rows = [
        [_NAMES[name], *(round(one[check][key], 3) for key in keys), _word(one[check])]
        for name, one in judged.items()
    ]
    columns = ["method", "area", "random", "difference", "low", "high", "result"]
    return Table(columns, rows, caption)


def _curves(document: Mapping[str, Any], judged: Mapping[str, Any], check: str, what: str) -> Lines:
    curves = {_NAMES[name]: one[check]["curve"] for name, one in judged.items()}
    random = document["random"][check]
    return Lines(
        {**curves, "random": random},
        f"state (1: nothing done, {len(random)}: all cells)",
        f"Probability of the class while {what}.",
    )


def _correlations(judged: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            _NAMES[name],
            *(round(value, 2) for value in one["randomisation"]["correlations"]),
            round(one["randomisation"]["high"], 2),
            _word(one["randomisation"]),
        ]
        for name, one in judged.items()
    ]
    if not rows:
        return []
    num_levels = len(rows[0]) - 3
    levels = [f"{level}/{num_levels} broken" for level in range(1, num_levels + 1)]
    return [
        Table(
            ["method", *levels, "high", "result"],
            rows,
            "Rank correlation of a method's maps with those of the net as it is broken, and the "
            "upper end of the interval of the last.",
        )
    ]
