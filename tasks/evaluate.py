"""Stage evaluate: what the classifier is worth on test rows, where it is weak, and the reference
for drift."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from tasks.artifacts.documents import load_json, save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_classifier
from tasks.artifacts.tables import load_rows, load_table, save_csv, save_table
from tasks.core.assessment import (
    Drawing,
    FairnessParams,
    Judged,
    SliceParams,
    assess_calibration,
    assess_fairness,
    assess_scores,
    assess_slices,
    assess_weak_slices,
    check_names,
    compare_scores,
    name_slices,
)
from tasks.core.behaviours import Behaviour
from tasks.core.errors import SplitError
from tasks.core.inference import Place, chosen_device, run_net
from tasks.core.intervals import rounded
from tasks.core.params import Section
from tasks.core.policy import load_policy
from tasks.core.slices import Slices, list_members
from tasks.judging import (
    Ground,
    Model,
    average_views,
    check_behaviours,
    judge_behaviours,
    measure_robustness,
)

# What tells rows apart, or says what they show, and nothing of how they were taken.
_KEYS = ("label", "given_label", "split", "path", "shard", "row", "pixel_hash", "perceptual_hash")


class Params(Section):
    """Intervals come from `num_bootstrap` samples. Test-time augmentation averages over
    `num_views` draws of the augmentation policy beside the image itself (0: not measured).
    Robustness and behaviours are measured on `num_robustness_rows` test rows at most."""

    num_bootstrap: Annotated[int, Field(ge=100)]
    num_bins: PositiveInt
    num_views: NonNegativeInt
    num_robustness_rows: PositiveInt
    slices: SliceParams
    fairness: FairnessParams
    behaviours: list[Behaviour]


def main(
    images: Path,
    labels: Path,
    manifest: Path,
    measures: Path,
    train: Path,
    test: Path,
    policy: Path,
    classifier: Path,
    out_metrics: Path,
    out_confusion: Path,
    out_slices: Path,
    out_reference: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    net, description = load_classifier(classifier)
    place, pixels = Place(chosen_device(device), precision), Images(images)
    model = Model(net.to(place.device), description.temperature, place)
    table, traits = load_table(labels), load_traits(manifest, measures)
    check_names(traits, description.classes, params.slices, params.fairness)
    codes = pd.Categorical(table["label"], categories=description.classes).codes.astype(np.int64)
    rows = load_rows(test)
    rows = rows[codes[rows] >= 0]
    if not len(rows):
        raise SplitError("evaluate: no test row bears a class that the model knows")
    judged = Judged(
        labels_N=codes[rows],
        logits_NK=run_net(net, pixels, rows, *place).astype(np.float64),
        temperature=description.temperature,
        classes=description.classes,
        traits=traits.iloc[rows].reset_index(drop=True),
        taught=traits.iloc[load_rows(train)],
    )
    slices = name_slices(judged, params.slices)
    ground = _ground(judged, slices, pixels, rows, params.num_robustness_rows, seed)
    check_behaviours(params.behaviours, ground)
    drawing = Drawing(params.num_bootstrap, seed)
    document = {
        **assess_scores(judged, params.num_bins, drawing),
        **assess_calibration(judged, description.abstention, params.num_bins, drawing),
        "slices": assess_slices(judged, slices),
        "weak_slices": assess_weak_slices(judged, params.slices, seed),
        "fairness": assess_fairness(judged, params.fairness, params.slices, drawing),
        "robustness": measure_robustness(model, ground.images_NHWC, ground.labels_N, seed),
        "behaviours": judge_behaviours(model, params.behaviours, ground, seed),
    }
    if params.num_views:
        views = load_policy(load_json(policy)["transforms"])
        averaged_NK = average_views(model, pixels, rows, views, params.num_views, seed)
        differences = compare_scores(judged, averaged_NK, params.num_bins, drawing)
        document["test_time_augmentation"] = differences
    save_json(rounded(document), out_metrics)
    predicted = np.array(judged.classes, dtype=object)[judged.logits_NK.argmax(axis=1)]
    confusion = pd.DataFrame({"actual": judged.given_labels, "predicted": predicted})
    save_csv(confusion, out_confusion)
    image_ids = table["image_id"].iloc[rows].to_numpy()
    save_table(list_members(slices, image_ids), out_slices)
    embeddings_ND = run_net(net.encoder, pixels, rows, *place)
    save_table(_reference(judged, image_ids, embeddings_ND), out_reference)


def load_traits(manifest: Path, measures: Path) -> pd.DataFrame:
    """What is known of each row of the manifest but its label: its measures and metadata."""
    known, measured = load_table(manifest), load_table(measures)
    kept = [name for name in known if name == "image_id" or name not in measured]
    joined = known[kept].merge(measured, on="image_id", how="left", validate="one_to_one")
    return joined.drop(columns=[*_KEYS, "image_id"], errors="ignore")


def _ground(
    judged: Judged, slices: Slices, pixels: Images, rows: np.ndarray, num_rows: int, seed: int
) -> Ground:
    some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:num_rows])
    images_NHWC, labels_N = pixels[rows[some]], judged.labels_N[some]
    return Ground(images_NHWC, labels_N, judged.classes, slices, judged.is_right_N)


def _reference(judged: Judged, image_ids: np.ndarray, embeddings_ND: np.ndarray) -> pd.DataFrame:
    said = pd.DataFrame(
        {
            "image_id": image_ids,
            "label": judged.given_labels,
            "embedding": list(embeddings_ND),
            "probabilities": list(judged.probabilities_NK),
        }
    )
    return pd.concat([said, judged.traits], axis=1)
