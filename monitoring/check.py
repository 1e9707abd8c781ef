"""One check of a window of predictions against the reference: from tables to a document.

The document is a function of the two tables, the model, the params, the seed and `as_of`, and holds
them or their hashes, so that it can be computed again. Its verdict is one of

incident  the window breaks a precondition: a fault of the data, nothing is said about drift
waiting   too few rows; they are judged together with those that come next
drift     a family differs at `alpha`, by more than its floor
unclear   none does, but one does at `quiet_alpha`
quiet     nothing shows
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from monitoring.accuracy import expected_accuracy, features_of, measured_accuracy
from monitoring.baseline import Baseline
from monitoring.diagnosis import Finding, find_causes, in_words
from monitoring.drift import Family, Placed, compare
from monitoring.params import Params
from monitoring.preconditions import Model, check_columns, check_rows, refused
from monitoring.rows import Rows, content_hash, described_columns, in_order, read_rows, sample_rows
from tasks.core.errors import ArtifactError

_DIGITS = 6
_NUM_EXAMPLES = 5
# Families whose alarm says that rows of equal confidence may no longer be right as often.
_ABOUT_IMAGES = ("embeddings", "outliers")


def check_window(
    baseline: Baseline, window: pd.DataFrame, as_of: pd.Timestamp | None
) -> dict[str, Any]:
    """What is known of a window. `as_of`: when it is checked; None leaves its age alone."""
    params, breaches = baseline.params, check_columns(window)
    judged: dict[str, Any] = {}
    num_refused = num_used = 0
    if not breaches:
        window = in_order(window, "prediction_id")
        was_refused_N = refused(window)
        num_refused = int(was_refused_N.sum())
        decoded = window[~was_refused_N]
        rows, is_used_M = read_rows(decoded, baseline.width, len(baseline.model.classes))
        num_used = int(is_used_M.sum())
        breaches = check_rows(window, is_used_M, baseline.table, baseline.model, params, as_of)
    digest = content_hash(window)
    if not breaches:
        judged = _judge(baseline, decoded[is_used_M], rows, digest)
    document = {
        "verdict": "incident",
        "as_of": None if as_of is None else as_of.isoformat(),
        "model": {"sha256": baseline.model.sha256, "classes": list(baseline.model.classes)},
        "reference": {"sha256": baseline.sha256, "num_rows": len(baseline.table)},
        "window": {
            "sha256": digest,
            "num_rows": len(window),
            "num_refused": num_refused,
            "num_used": num_used,
        },
        "seed": baseline.seed,
        "params": params.model_dump(),
        "breaches": [breach._asdict() for breach in breaches],
        "families": None,
        "accuracy": {"expected": None, "measured": None},
        "causes": [],
        "examples": [],
        **judged,
    }
    return rounded(document | {"summary": summarise(document)})


def _judge(baseline: Baseline, table: pd.DataFrame, rows: Rows, digest: str) -> dict[str, Any]:
    """What usable rows of a sound window say."""
    params = baseline.params
    measured = _measured(baseline, table)
    if len(table) < params.min_rows:
        return {"verdict": "waiting", "accuracy": {"expected": None, "measured": measured}}
    # Every window is dealt out by draws of its own, and by the same ones when it is checked again.
    seeds = [baseline.seed, int(digest[:16], 16)]
    placed = Placed(rows, baseline.divided.fitted.distances(rows.embeddings_ND))
    drawn = placed.take(sample_rows(len(table), params.max_rows, [*seeds, 1]))
    found = compare(baseline.divided, drawn, params, seeds)
    verdict = verdict_of(found, params)
    causes = find_causes(
        baseline.table,
        table,
        described_columns(baseline.table, table),
        params.false_discovery_rate,
    )
    return {
        "verdict": verdict,
        "families": {
            name: family._asdict() | {"shows": family.shows(params.alpha)}
            for name, family in found.items()
        },
        "accuracy": {"expected": _expected(baseline, placed, found), "measured": measured},
        "causes": [cause._asdict() for cause in causes],
        "examples": farthest(table, placed.distance_N),
    }


def farthest(table: pd.DataFrame, distance_N: np.ndarray) -> list[str]:
    """Ids of the predictions that lie farthest from the reference."""
    first = np.argsort(-distance_N, kind="stable")[:_NUM_EXAMPLES]
    return [str(name) for name in table["prediction_id"].iloc[first]]


def verdict_of(found: Mapping[str, Family], params: Params) -> str:
    for verdict, level in (("drift", params.alpha), ("unclear", params.quiet_alpha)):
        if any(family.shows(level) for family in found.values()):
            return verdict
    return "quiet"


def _expected(baseline: Baseline, window: Placed, found: Mapping[str, Family]) -> dict[str, Any]:
    features_MF = features_of(window.rows.probabilities_NK, window.distance_N, baseline.scale)
    estimate = expected_accuracy(baseline.features_NF, baseline.is_right_N, features_MF)
    changed = any(found[name].shows(baseline.params.alpha) for name in _ABOUT_IMAGES)
    return estimate._asdict() | {"unreliable": changed}


def _measured(baseline: Baseline, table: pd.DataFrame) -> dict[str, Any] | None:
    """Accuracy on rows with feedback, beside that of the reference; None without any."""
    labelled = table[table["label"].notna()]
    if labelled.empty:
        return None
    is_right_N = (labelled["predicted"] == labelled["label"]).to_numpy(dtype=bool)
    now = measured_accuracy(int(is_right_N.sum()), len(labelled))
    before = measured_accuracy(int(baseline.is_right_N.sum()), len(baseline.is_right_N))
    return now._asdict() | {
        "num_labelled": len(labelled),
        "reference": before._asdict(),
        "is_worse": now.high < before.low,
    }


def summarise(document: Mapping[str, Any]) -> str:
    """A check in one line for people."""
    verdict, accuracy = document["verdict"], document["accuracy"]
    parts = [verdict]
    if verdict == "incident":
        parts += [f"the window {breach['found']}" for breach in document["breaches"]]
    elif verdict == "waiting":
        least = document["params"]["min_rows"]
        parts.append(f"{document['window']['num_used']:,} usable rows, fewer than {least:,}")
    elif verdict != "quiet":
        level = document["params"]["alpha" if verdict == "drift" else "quiet_alpha"]
        parts += [
            f"{name} by {family['effect']:.3g} (p {family['adjusted']:.2g})"
            for name, family in document["families"].items()
            if Family(**{key: family[key] for key in Family._fields}).shows(level)
        ]
        causes = [Finding(**cause) for cause in document["causes"]]
        parts += [in_words(causes)] if causes else []
    for name, one in accuracy.items():
        if one is not None:
            doubt = ", unreliable" if one.get("unreliable") else ""
            parts.append(
                f"accuracy {name} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f}{doubt})"
            )
    return "; ".join(parts)


def rounded(value: Any) -> Any:
    """Floats to six digits, so that the last ones of a sum make no other document."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def check_again(
    document: Mapping[str, Any], reference: pd.DataFrame, window: pd.DataFrame
) -> dict[str, Any]:
    """The same check once more, from what a document says of it.

    Raises ArtifactError if the document is none, or tells of other tables.
    """
    try:
        model = Model(document["model"]["sha256"], tuple(document["model"]["classes"]))
        params = Params.model_validate(document["params"])
        as_of = None if document["as_of"] is None else pd.Timestamp(document["as_of"])
        baseline = Baseline(reference, model, params, document["seed"])
        hashes = {name: document[name]["sha256"] for name in ("reference", "window")}
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the document is of no check: {error!r}") from error
    again = check_window(baseline, window, as_of)
    for name, recorded in hashes.items():
        if (found := again[name]["sha256"]) != recorded:
            raise ArtifactError(f"the {name} is {found[:12]}, the check was of {recorded[:12]}")
    return again
