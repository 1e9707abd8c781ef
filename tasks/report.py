"""Stage report: the page on training, and how many planted faults were found."""

from pathlib import Path

import pandas as pd

from pages.render import render_page
from pages.training import Training, training_sections
from pages.verdict import verdict_notice
from tasks.artifacts.documents import load_json, save_json, save_text
from tasks.artifacts.tables import load_csv, load_table
from tasks.core.params import Section


class Params(Section):
    """`title` heads the page."""

    title: str


def main(
    finetune: Path,
    finetune_epochs: Path,
    pretrain: Path,
    pretrain_epochs: Path,
    evaluate: Path,
    export: Path,
    promote: Path,
    faults: Path,
    quarantine: Path,
    dropped: Path,
    queue: Path,
    out_page: Path,
    out_metrics: Path,
    params: Params,
) -> None:
    planted = load_table(faults)
    flagged = {
        "truncated": set(load_table(quarantine)["image_id"]),
        "duplicate": find_copies(load_table(dropped), set(planted["image_id"])),
        "wrong_label": _suspicious(load_csv(queue)),
    }
    found = find_planted(planted, flagged)
    training = Training(
        pretrain=load_json(pretrain),
        pretrain_epochs=load_csv(pretrain_epochs).apply(pd.to_numeric),
        finetune=load_json(finetune),
        finetune_epochs=load_csv(finetune_epochs).apply(pd.to_numeric),
        evaluate=load_json(evaluate),
        export=load_json(export),
        promote=load_json(promote),
        faults=found,
    )
    page = render_page(
        params.title,
        "How the model learnt, what it is worth on rows it has never seen, and whether it may "
        "take the champion's place.",
        training_sections(training),
        verdict_notice(training.promote),
    )
    save_text(page, out_page)
    save_json({"faults": found}, out_metrics)


def find_copies(dropped: pd.DataFrame, planted: set[str]) -> set[str]:
    """One image_id per pair of duplicates: the planted one, as which of the two stays is a matter
    of order."""
    twins = dropped[dropped["reason"].str.startswith("duplicate")]
    pairs = zip(twins["image_id"], twins["twin_id"], strict=True)
    return {twin_id if twin_id in planted else image_id for image_id, twin_id in pairs}


def _suspicious(queue: pd.DataFrame) -> set[str]:
    return set(queue.loc[queue["split"] == "train", "image_id"])


def find_planted(
    faults: pd.DataFrame, flagged: dict[str, set[str]]
) -> dict[str, dict[str, float | int | None]]:
    """Per kind of fault: how many were planted and found, recall, and precision (None where
    nothing was flagged). Empty for sources without planted faults."""
    found = {}
    for kind, images in flagged.items() if len(faults) else ():
        planted = set(faults.loc[faults["fault"] == kind, "image_id"])
        hits = len(planted & images)
        found[kind] = {
            "planted": len(planted),
            "flagged": len(images),
            "found": hits,
            "recall": hits / len(planted) if planted else None,
            "precision": hits / len(images) if images else None,
        }
    return found
