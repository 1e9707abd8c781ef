"""The part of reports/explain.html on what imitates the model: forests, a list and a tree of rules.

`imitation` is what metrics/explain.json holds of that name: empty where there was too little.
"""

from collections.abc import Mapping
from typing import Any

from pages.blocks import Bars, Block, Facts, Table, Text

_NUM_FEATURES = 12
_LEAST_FIDELITY = 0.05
_TOO_LITTLE = "There are too few test rows, or nothing measured that differs among them."


def forest_blocks(imitation: Mapping[str, Any]) -> list[Block]:
    if not imitation:
        return [Text(_TOO_LITTLE)]
    intro = Text(
        "Forests were taught to say what the model says from what is measured and known of an "
        "image alone. Where they succeed, these measures move the model, or what moves with them "
        "does; where they fail, the model goes by something else. The bars are mean absolute SHAP "
        "values."
    )
    return [intro, *_confidence(imitation["right"]), *_classes(imitation["said"])]


def _confidence(surrogate: Mapping[str, Any] | None) -> list[Block]:
    if surrogate is None:
        return [Text("The model is equally sure of every row's label.")]
    if surrogate["fidelity"] < _LEAST_FIDELITY:
        return [
            Text(
                "Nothing that is measured tells how sure the model is of the right label: on rows "
                "that it was not taught, a forest explains next to none of the differences."
            )
        ]
    arrows = {
        name: f"{name} ↑" if rise > 0.1 else f"{name} ↓" if rise < -0.1 else name
        for name, rise in surrogate["direction"].items()
    }
    return [
        Bars(
            {"mean |SHAP|": _largest(surrogate["importance"], arrows)},
            "What makes the model sure of the right label (↑: more of it does, ↓: less of it). The "
            f"forest explains {_percent(surrogate['fidelity'])} of the differences on rows that it "
            "was not taught.",
        )
    ]


def _classes(surrogate: Mapping[str, Any] | None) -> list[Block]:
    if surrogate is None:
        return [Text("The model says one class of every row.")]
    return [
        Bars(
            {"mean |SHAP|": _largest(surrogate["importance"], {})},
            "What goes with the class that the model says. The forest says the same of "
            f"{_percent(surrogate['fidelity'])} of the rows that it was not taught; the class that "
            f"is said most would of {_percent(surrogate['baseline'])}.",
        )
    ]


def _largest(importance: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    largest = sorted(importance.items(), key=lambda item: -item[1])[:_NUM_FEATURES]
    return {names.get(name, name): value for name, value in largest}


def rule_blocks(imitation: Mapping[str, Any]) -> list[Block]:
    if not imitation:
        return [Text(_TOO_LITTLE)]
    return [
        Text(
            "How often they say what the model says, of rows that they were not learnt from, and "
            "how often the one class does that the model says most."
        ),
        Facts(
            {
                "the list": _percent(imitation["list"]["fidelity"]),
                "the tree": _percent(imitation["tree"]["fidelity"]),
                "one class": _percent(imitation["most_said_fraction"]),
            }
        ),
        *_table_of(imitation["list"], "The list: the first rule that holds counts."),
        *_table_of(imitation["tree"], "The tree: one rule holds of each row."),
    ]


def _table_of(rules: Mapping[str, Any], caption: str) -> list[Block]:
    rows = [
        [one["rule"], one["says"], one["num_rows"], one["fidelity"], one["accuracy"]]
        for one in rules["rules"]
    ]
    held = [one for one in rules["rules"] if one["num_rows"]]
    worst = min(held, key=lambda one: one["fidelity"])
    wrong = min(held, key=lambda one: one["accuracy"])
    return [
        Table(["where", "says", "rows", "like the model", "model is right"], rows, caption),
        Text(
            f"It fails most where {worst['rule']}: there the model says {worst['says']} of "
            f"{_percent(worst['fidelity'])}. The model itself is wrong most where {wrong['rule']}: "
            f"right of {_percent(wrong['accuracy'])}."
        ),
    ]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"
