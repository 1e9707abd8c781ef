"""Stage evaluate: what the classifier is worth on test rows, and the reference for drift."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from tasks.artifacts.documents import save_json
from tasks.artifacts.images import Images
from tasks.artifacts.models import load_classifier
from tasks.artifacts.tables import load_rows, load_table, save_csv, save_table
from tasks.core.inference import chosen_device, run_net, softmax
from tasks.core.metrics import bootstrap_metrics, confusion_matrix, scores_per_class
from tasks.core.params import Section


class Params(Section):
    num_bootstrap: Annotated[int, Field(ge=100)]
    num_bins: PositiveInt


def main(
    images: Path,
    labels: Path,
    test: Path,
    classifier: Path,
    out_metrics: Path,
    out_confusion: Path,
    out_reference: Path,
    params: Params,
    seed: int,
    num_threads: int,
    precision: str,
    device: str,
) -> None:
    net, description = load_classifier(classifier)
    place, pixels, table = chosen_device(device), Images(images), load_table(labels)
    net.to(place)
    codes = pd.Categorical(table["label"], categories=description.classes).codes.astype(np.int64)
    rows = load_rows(test)
    rows = rows[codes[rows] >= 0]
    embeddings_ND = run_net(net.encoder, pixels, rows, place, precision)
    probabilities_NK = softmax(run_net(net, pixels, rows, place, precision))
    metrics = bootstrap_metrics(
        codes[rows], probabilities_NK, params.num_bins, params.num_bootstrap, seed
    )
    predicted = probabilities_NK.argmax(axis=1)
    confusion_KK = confusion_matrix(codes[rows], predicted, len(description.classes))
    per_class = dict(zip(description.classes, scores_per_class(confusion_KK), strict=True))
    save_json(
        {
            "num_rows": len(rows),
            "metrics": {name: interval._asdict() for name, interval in metrics.items()},
            "classes": per_class,
            "confusion": {"classes": description.classes, "counts": confusion_KK.tolist()},
        },
        out_metrics,
    )
    names = np.array(description.classes, dtype=object)
    save_csv(
        pd.DataFrame({"actual": names[codes[rows]], "predicted": names[predicted]}), out_confusion
    )
    reference = pd.DataFrame(
        {
            "image_id": table["image_id"].iloc[rows].to_numpy(),
            "label": names[codes[rows]],
            "embedding": list(embeddings_ND),
            "probabilities": list(probabilities_NK),
        }
    )
    save_table(reference, out_reference)
