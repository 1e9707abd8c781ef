"""Stage audit: which labels look wrong, what people said of them, how far a row is trusted."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat

from tasks.artifacts.documents import save_json
from tasks.artifacts.embeddings import save_embeddings
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_encoder
from tasks.artifacts.tables import load_csv, load_rows, load_table, save_csv, save_table
from tasks.core.decisions import Decision, apply_decisions, parse_decisions
from tasks.core.duplicates import measure_difference
from tasks.core.errors import ParamsError
from tasks.core.inference import chosen_device, run_net
from tasks.core.label_quality import (
    LabelQuality,
    fit_probe,
    out_of_fold_probabilities,
    predict_probe,
    score_labels,
)
from tasks.core.params import Section
from tasks.core.twins import find_twins


class Params(Section):
    """`inverse_penalty` is the C of the logistic regression on embeddings; `least_weight` the
    weight of a train row whose label is surely wrong. Two images on two sides of a split are
    duplicates that the hash missed if the cosine of their embeddings is `duplicate_similarity` or
    more and their pixels differ by at most `duplicate_difference` on average, of a range of 1."""

    num_folds: Annotated[int, Field(ge=2, le=20)]
    inverse_penalty: PositiveFloat
    least_weight: Annotated[float, Field(ge=0, le=1)]
    duplicate_similarity: Annotated[float, Field(gt=0, le=1)]
    duplicate_difference: Annotated[float, Field(ge=0, le=1)]


def main(
    images: Path,
    manifest: Path,
    train: Path,
    val: Path,
    test: Path,
    encoder: Path,
    decisions: Path,
    out_embeddings: Path,
    out_labels: Path,
    out_queue: Path,
    out_duplicates: Path,
    out_metrics: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    table = load_table(manifest, ["image_id", "path", "label"])
    classes = sorted(table["label"].dropna().unique())
    decided = parse_decisions(load_csv(decisions), classes, str(decisions))
    labels = apply_decisions(table["image_id"], table["label"], decided)
    net, _ = load_encoder(encoder)
    place, pixels = chosen_device(device), Images(images)
    embeddings_ND = run_net(net.to(place), pixels, np.arange(len(pixels)), place, precision)
    codes = pd.Categorical(labels["label"], categories=classes).codes.astype(int)
    rows = {"train": load_rows(train), "val": load_rows(val), "test": load_rows(test)}
    rows = {split: indices[codes[indices] >= 0] for split, indices in rows.items()}
    duplicates = find_missed_duplicates(pixels, embeddings_ND, table, rows, params)
    quality = judge_labels(embeddings_ND, codes, rows, len(classes), params, seed)
    queue = pd.concat(
        [
            find_suspicious(table, split, rows[split], codes, quality[split], classes)
            for split in rows
        ]
    )
    undecided = ~queue["image_id"].isin(list(decided))
    shown = queue[undecided].sort_values(["score", "image_id"], ignore_index=True)
    labels = labels.assign(weight=weigh(labels, rows["train"], quality["train"], codes, params))
    save_embeddings(embeddings_ND, out_embeddings)
    save_table(labels, out_labels)
    save_csv(shown, out_queue)
    save_table(duplicates, out_duplicates)
    save_json(_metrics(queue, shown, decided, rows), out_metrics)


def find_missed_duplicates(
    pixels: Images,
    embeddings_ND: np.ndarray,
    table: pd.DataFrame,
    rows: dict[str, np.ndarray],
    params: Params,
) -> pd.DataFrame:
    """image_id, split, twin_id, twin_split, similarity, difference; `image_id` names the row that
    is worth less to keep held out, as in leaks."""
    pairs = find_twins(embeddings_ND, rows, params.duplicate_similarity)
    difference = measure_difference(pixels, pairs[["row", "twin_row"]].to_numpy())
    pairs = pairs.assign(difference=difference.round(6))
    pairs = pairs[difference <= params.duplicate_difference].reset_index(drop=True)
    ids = table["image_id"].astype("string").to_numpy()
    return pd.DataFrame(
        {
            "image_id": pd.array(ids[pairs["row"]], "string"),
            "split": pairs["split"].astype("string"),
            "twin_id": pd.array(ids[pairs["twin_row"]], "string"),
            "twin_split": pairs["twin_split"].astype("string"),
            **pairs[["similarity", "difference"]],
        }
    )


def judge_labels(
    embeddings_ND: np.ndarray,
    codes_N: np.ndarray,
    rows: dict[str, np.ndarray],
    num_classes: int,
    params: Params,
    seed: int,
) -> dict[str, LabelQuality]:
    """Train rows are judged by models that have not seen them, held-out rows by one that has seen
    all of train; no held-out row has a say about another row.

    Raises ParamsError if there are fewer train rows than folds.
    """
    train = rows["train"]
    if len(train) < params.num_folds or np.bincount(codes_N[train]).max() < params.num_folds:
        raise ParamsError(
            f"params.yaml: audit.num_folds: {params.num_folds}, more than any class has train rows"
        )
    probabilities = {
        "train": out_of_fold_probabilities(
            embeddings_ND[train],
            codes_N[train],
            num_classes,
            params.num_folds,
            params.inverse_penalty,
            seed,
        )
    }
    model = fit_probe(embeddings_ND[train], codes_N[train], params.inverse_penalty)
    for split in ("val", "test"):
        held_out = embeddings_ND[rows[split]]
        probabilities[split] = (
            predict_probe(model, held_out, num_classes)
            if len(held_out)
            else np.empty((0, num_classes))
        )
    return {split: score_labels(codes_N[rows[split]], probabilities[split]) for split in rows}


def find_suspicious(
    table: pd.DataFrame,
    split: str,
    rows: np.ndarray,
    codes_N: np.ndarray,
    quality: LabelQuality,
    classes: list[str],
) -> pd.DataFrame:
    """Rows whose given label is not the most probable one, for people to look at."""
    wrong = quality.suggested_N != codes_N[rows]
    suspicious = rows[wrong]
    return pd.DataFrame(
        {
            "image_id": table["image_id"].iloc[suspicious].to_numpy(),
            "path": table["path"].iloc[suspicious].to_numpy(),
            "split": split,
            "label": np.array(classes, dtype=object)[codes_N[suspicious]],
            "suggested_label": np.array(classes, dtype=object)[quality.suggested_N[wrong]],
            "score": quality.score_N[wrong].round(6),
            "suggested_probability": quality.probability_N[wrong].round(6),
        }
    )


def weigh(
    labels: pd.DataFrame,
    train: np.ndarray,
    quality: LabelQuality,
    codes_N: np.ndarray,
    params: Params,
) -> np.ndarray:
    """A weight in [least_weight, 1] per row of the manifest.

    A suspicious train row weighs what its given label's probability is to the suggested one's; what
    a person decided is trusted, and what a person dropped weighs nothing.
    """
    weights = np.ones(len(labels))
    ratio = quality.score_N / np.maximum(quality.probability_N, 1e-12)
    weights[train] = np.where(
        quality.suggested_N == codes_N[train], 1.0, np.maximum(ratio, params.least_weight)
    )
    weights[labels["decision"].isin(["keep", "relabel"]).to_numpy()] = 1.0
    weights[(labels["decision"] == "drop").to_numpy()] = 0.0
    return weights.round(6)


def _metrics(
    queue: pd.DataFrame,
    shown: pd.DataFrame,
    decided: dict[str, Decision],
    rows: dict[str, np.ndarray],
) -> dict:
    verbs = pd.Series([decision.verb for decision in decided.values()], dtype=object)
    flagged = queue["split"].value_counts()
    return {
        "num_suspicious": {split: int(flagged.get(split, 0)) for split in rows},
        "num_to_review": len(shown),
        "num_decisions": {verb: int((verbs == verb).sum()) for verb in ("keep", "relabel", "drop")},
    }
