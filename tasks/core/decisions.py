"""What people decided about rows, and what follows from it."""

from typing import Literal, NamedTuple

import pandas as pd

from tasks.core.errors import DecisionError

COLUMNS = ["image_id", "decision", "name", "time"]


class Decision(NamedTuple):
    verb: Literal["keep", "relabel", "drop"]
    label: str | None


def parse_decisions(table: pd.DataFrame, classes: list[str], where: str) -> dict[str, Decision]:
    """Decision by image_id; of several about one image the last stands.

    Raises:
        DecisionError: columns are missing, or a line is none of `keep`, `relabel:<class>`, `drop`,
            or lacks who decided and when.
    """
    if list(table.columns) != COLUMNS:
        raise DecisionError(f"{where}: expected the columns {COLUMNS}, found {list(table.columns)}")
    decisions = {}
    for number, row in enumerate(table.astype(str).to_numpy().tolist(), start=2):
        image_id, decision, name, time = row
        verb, _, label = decision.partition(":")
        line = f"{where}: line {number} ({image_id})"
        if not (name.strip() and time.strip()):
            raise DecisionError(f"{line}: name and time say who decided and when; one is empty")
        if verb == "relabel" and label not in classes:
            raise DecisionError(f"{line}: class {label!r} is not one of {classes}")
        if verb not in ("keep", "relabel", "drop") or (verb != "relabel" and decision != verb):
            raise DecisionError(
                f"{line}: decision {decision!r} is none of keep, relabel:<class>, drop"
            )
        decisions[image_id] = Decision(verb, label or None)
    return decisions


def apply_decisions(
    image_ids: pd.Series, labels: pd.Series, decisions: dict[str, Decision]
) -> pd.DataFrame:
    """Label and decision per row: image_id, label, decision (empty where nobody decided).

    A dropped row loses its label; only rows that are named change.
    """
    verbs = image_ids.map(
        lambda image_id: decisions[image_id].verb if image_id in decisions else ""
    )
    new = image_ids.map(lambda i: decisions[i].label if i in decisions else None)
    decided = labels.where(verbs != "relabel", new).mask(verbs == "drop")
    return pd.DataFrame(
        {"image_id": image_ids, "label": decided.astype("string"), "decision": verbs},
    ).astype({"decision": "string"})
