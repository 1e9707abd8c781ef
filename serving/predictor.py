"""From image files to predictions and their records.

N images, K classes, D width of the embedding
"""

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from monitoring.journal import Record
from monitoring.store import encode_vector
from serving.champion import Champion
from serving.decoders import Decoder
from tasks.core.errors import ImageError
from tasks.core.incoming import Incoming
from tasks.core.measures import Measures
from tasks.core.outputs import run_model


class Job(NamedTuple):
    """An image that is to be predicted, and what its request was. `begun`: by the clock of
    `time.monotonic`."""

    data: bytes
    name: str
    metadata: dict[str, Any]
    request: dict[str, Any]
    begun: float


class Prediction(NamedTuple):
    """What is answered of one image. `predicted` is the likeliest class, also where the model
    abstains; None if the image was refused."""

    prediction_id: str
    model_sha256: str
    classes: list[str]
    predicted: str | None
    probabilities_K: np.ndarray | None
    embedding_D: np.ndarray | None
    abstained: bool
    refused: str
    detail: str
    measures: Measures | None


def new_id() -> str:
    """32 hexadecimal digits, 20 of them at random. They begin with the time, so that what is new
    stands at the end of an index, which else would be rewritten all over."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def predict_jobs(jobs: Sequence[Job], champion: Champion, decoder: Decoder) -> list[Prediction]:
    """One prediction per job."""
    files = [(job.data, job.name) for job in jobs]
    taken = decoder.take_in(files, champion.described.canonical)
    usable = [one for one in taken if isinstance(one, Incoming)]
    vectors = iter(_run(usable, champion))
    return [
        _refused(one, champion)
        if isinstance(one, ImageError)
        else _predicted(one, *next(vectors), champion)
        for one in taken
    ]


def _run(
    usable: Sequence[Incoming], champion: Champion
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Calibrated probabilities and embedding of each."""
    if not usable:
        return []
    images_NHWC = np.stack([one.pixels for one in usable])
    outputs = run_model(champion.session, champion.described, images_NHWC)
    embeddings = outputs.embeddings_ND
    rows = [None] * len(usable) if embeddings is None else list(embeddings)
    return list(zip(outputs.probabilities_NK, rows, strict=True))


def _predicted(
    incoming: Incoming,
    probabilities_K: np.ndarray,
    embedding_D: np.ndarray | None,
    champion: Champion,
) -> Prediction:
    best = int(probabilities_K.argmax())
    return Prediction(
        prediction_id=new_id(),
        model_sha256=champion.sha256,
        classes=champion.described.classes,
        predicted=champion.described.classes[best],
        probabilities_K=probabilities_K,
        embedding_D=embedding_D,
        abstained=bool(probabilities_K[best] < champion.described.abstention),
        refused="",
        detail="",
        measures=incoming.measures,
    )


def _refused(error: ImageError, champion: Champion) -> Prediction:
    return Prediction(
        new_id(), champion.sha256, champion.described.classes, None, None, None, False,
        error.reason, error.detail, None,
    )  # fmt: skip


def make_record(job: Job, prediction: Prediction, kept: str, now: datetime) -> Record:
    """What the journal gets of a prediction."""
    measures = prediction.measures
    return {
        "request": job.request,
        "prediction": {
            "prediction_id": prediction.prediction_id,
            "request_id": job.request["request_id"],
            "predicted_at": round(now.timestamp() * 1e6),
            "seconds": round(time.monotonic() - job.begun, 6),
            "model_sha256": prediction.model_sha256,
            "predicted": prediction.predicted,
            "probabilities": encode_vector(prediction.probabilities_K),
            "embedding": encode_vector(prediction.embedding_D),
            "refused": prediction.refused,
            "abstained": prediction.abstained,
            "kept": kept,
            "metadata": json.dumps(job.metadata) if job.metadata else None,
        },
        "measures": None if measures is None else measures._asdict(),
    }
