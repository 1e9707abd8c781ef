"""Stage promote: may the candidate take the champion's place? It decides, and only decides."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt, model_validator

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.registry import NO_CHAMPION, ONNX
from tasks.artifacts.tables import load_rows, load_table
from tasks.core.errors import ArtifactError
from tasks.core.inference import Place, chosen_device
from tasks.core.intervals import rounded
from tasks.core.params import Section
from tasks.core.promotion import (
    Rule,
    draw_metrics,
    is_down_good,
    judge_change,
    judge_limit,
    judge_robustness,
    judge_slices,
    judge_value,
)
from tasks.core.thresholds import (
    Change,
    Data,
    Growth,
    Metric,
    RobustnessChange,
    Servable,
    SliceChange,
)
from tasks.fingerprint import content_hash
from tasks.scoring import HeldOut, Scored, score

WEIGHTS = "classifier.safetensors"


class Params(Section):
    """`value`: what the candidate must reach. `change`: how much worse than the champion it may
    be. For `*_loss` and `*_error`, reaching means staying below. `unproven`: what becomes of a
    candidate where the rows are too few to tell."""

    value: dict[Metric, float]
    change: Annotated[dict[Metric, Change], Field(min_length=1)]
    slices: SliceChange
    robustness: RobustnessChange
    growth: Growth
    data: Data
    servable: Servable
    unproven: Literal["pass", "refuse"]
    num_bootstrap: Annotated[int, Field(ge=100)]
    num_bins: PositiveInt

    @model_validator(mode="after")
    def _values_can_be_reached(self) -> Self:
        for metric, threshold in self.value.items():
            if not 0 <= threshold <= (np.inf if metric.endswith("_loss") else 1):
                raise ValueError(f"value.{metric}: no model can be judged by {threshold}")
        return self


def main(
    images: Path,
    labels: Path,
    test: Path,
    slices: Path,
    candidate: Path,
    champion: Path,
    exported: Path,
    validated: Path,
    audited: Path,
    quality: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    standing, judged = find_champion(champion), content_hash(candidate)
    if standing is not None and content_hash(standing) == judged:
        save_json(_document("is_champion", judged, [], [], {}), out_metrics)
        return
    table, rows = load_table(labels), load_rows(test)
    rows = rows[table["label"].iloc[rows].notna().to_numpy()]
    where = HeldOut(Images(images), rows, table["label"], Place(chosen_device(device), precision))
    members = find_members(load_table(slices, ["image_id", "slice"]), table["image_id"].iloc[rows])
    scored = score(candidate, where, params.robustness, seed)
    export = load_json(exported)
    rules = [
        *judge_values(scored, params, seed),
        *judge_data(load_json(audited), load_json(quality), params.data),
    ]
    if standing is not None:
        former = score(standing, where, params.robustness, seed)
        rules += judge_changes(scored, former, members, params, seed)
        rules += judge_growth(scored, former, export["num_bytes"], champion, params.growth)
    reasons = find_reasons(rules, params.unproven == "refuse")
    reasons += judge_exported(export)
    reasons += [f"data: {why}" for why in load_json(validated)["reasons"]]
    verdict = "refused" if reasons else "first" if standing is None else "pass"
    small = {name: int(rows_N.sum()) for name, rows_N in members.items()
             if rows_N.sum() < params.slices.least_rows}  # fmt: skip
    save_json(_document(verdict, judged, rules, reasons, small), out_metrics)


def find_champion(folder: Path) -> Path | None:
    """The champion's weights; None where `NONE` says that there is no champion yet.

    Raises ArtifactError if the folder says neither: its bytes are missing, and judging without
    them would promote anything.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if (folder / NO_CHAMPION).is_file():
        return None
    raise ArtifactError(
        f"{folder}: holds neither {WEIGHTS} nor {NO_CHAMPION}; `dvc pull {folder}` fetches the "
        "champion's bytes"
    )


def find_members(slices: pd.DataFrame, image_ids: pd.Series) -> dict[str, np.ndarray]:
    """Which test rows are in each slice, as masks (N,)."""
    return {
        str(name): image_ids.isin(set(rows["image_id"])).to_numpy()
        for name, rows in slices.groupby("slice", sort=True)
    }


def judge_values(scored: Scored, params: Params, seed: int) -> list[Rule]:
    values, drawn = _drawn(scored, params, seed)
    return [
        judge_value(metric, threshold, values[metric], drawn[metric])
        for metric, threshold in sorted(params.value.items())
    ]


def judge_changes(
    scored: Scored, former: Scored, members: dict[str, np.ndarray], params: Params, seed: int
) -> list[Rule]:
    """Against the champion: metrics, slices, corrupted rows."""
    (values, drawn), (their_values, their_drawn) = (
        _drawn(one, params, seed) for one in (scored, former)
    )
    changes = [
        judge_change(
            metric,
            change.threshold,
            (values[metric], their_values[metric]),
            (drawn[metric], their_drawn[metric]),
            len(scored.labels_N),
        )
        for metric, change in sorted(params.change.items())
    ]
    right = (scored.is_right_N, former.is_right_N)
    slices = params.slices
    robust = (scored.robust_M, former.robust_M)
    return [
        *changes,
        judge_robustness(params.robustness.threshold, *robust, params.num_bootstrap, seed),
        *judge_slices(members, right, slices.threshold, slices.least_rows),
    ]


def _drawn(scored: Scored, params: Params, seed: int) -> Any:
    where = (scored.labels_N, scored.probabilities_NK)
    return draw_metrics(*where, params.num_bins, params.num_bootstrap, seed)


def judge_growth(
    scored: Scored, former: Scored, num_bytes: int, champion: Path, growth: Growth
) -> list[Rule]:
    their_bytes = (champion / ONNX).stat().st_size if (champion / ONNX).is_file() else num_bytes
    costs = {
        "num_bytes": (growth.num_bytes, num_bytes, their_bytes),
        "num_flops": (growth.num_flops, scored.num_flops, former.num_flops),
    }
    return [
        judge_limit("cost", name, times * theirs, ours, theirs)
        for name, (times, ours, theirs) in costs.items()
    ]


def judge_data(audit: dict[str, Any], quality: dict[str, Any], limits: Data) -> list[Rule]:
    """What the audit and the page on quality found of the rows that judge."""
    rows = quality["num_rows"]
    suspicious = audit["num_suspicious"]["test"] / max(1, rows["test"])
    leaks = quality["num_missed_leaks"] / max(1, rows["val"] + rows["test"])
    return [
        judge_limit("data", "suspicious_fraction", limits.suspicious_fraction, suspicious, None),
        judge_limit("data", "missed_leak_fraction", limits.missed_leak_fraction, leaks, None),
    ]


def judge_exported(export: dict[str, Any]) -> list[str]:
    """Why the exported model is not the one that was evaluated, if it is not: in float32 it must
    say what the net says; a smaller one must surely lose no more accuracy than `export` allows."""
    name, agreement = export["name"], export["agreement"]
    if name == "float32":
        said = f"the exported model agrees with the net on {agreement:.2%} of rows, expected all"
        return [] if agreement == 1 else [said]
    lost = export["accuracy_loss"]["high"]
    limit = f"export.max_accuracy_loss allows {export['max_accuracy_loss']:.4f}"
    said = f"the exported model, {name}, may lose {lost:.4f} of accuracy; {limit}"
    return [] if export["is_eligible"] else [said]


def find_reasons(rules: list[Rule], refuse_unproven: bool) -> list[str]:
    """Why the candidate is refused, in words; nothing if it is not."""
    refusing = ("broken", "unproven") if refuse_unproven else ("broken",)
    return [_in_words(rule) for rule in rules if rule.outcome in refusing]


def _in_words(rule: Rule) -> str:
    between = "" if rule.low is None else f" (95 % interval {rule.low:.4f} to {rule.high:.4f})"
    what = f"{rule.kind} {rule.name} is {rule.value:.4f}"
    if rule.kind in ("value", "data", "cost"):
        side = "at most" if rule.kind != "value" or is_down_good(rule.name) else "at least"
        return f"{what}{between}, expected {side} {rule.threshold:.4f}"
    return (
        f"{what}, the champion's {rule.champion:.4f}: better by {rule.low:.4f} to {rule.high:.4f} "
        f"(95 % interval); it may be worse by {rule.threshold:.4f}"
    )


def _document(
    verdict: str, judged: str, rules: list[Rule], reasons: list[str], small: dict[str, int]
) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "candidate_sha256": judged,
        "reasons": reasons,
        "rules": rounded([rule._asdict() for rule in rules]),
        "small_slices": small,
    }
