"""Batch predictions as monitoring reads them: `python -m tasks.predict --layout monitoring`."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa

from tasks.artifacts.folders import Arrival
from tasks.artifacts.predictions import tabulate
from tasks.core.errors import ImageError
from tasks.core.incoming import Incoming, take_in
from tasks.core.onnx_model import Described
from tasks.core.outputs import run_model

_BATCH_SIZE = 256


def tabulate_monitored(
    arrivals: Iterator[Arrival],
    session: onnxruntime.InferenceSession,
    described: Described,
    model_sha256: str,
    moment: datetime,
) -> pa.Table:
    """A row per image in the layout of `tasks/artifacts/predictions.py`, predicted at `moment`. The
    same image at the same path has the same id, whenever this model predicts it."""
    rows: list[dict[str, Any]] = []
    while batch := list(islice(arrivals, _BATCH_SIZE)):
        for arrival, told in zip(batch, _predict(batch, session, described), strict=True):
            key = f"{model_sha256} {arrival.path} {sha256(arrival.data).hexdigest()}"
            rows.append(
                {
                    "prediction_id": sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32],
                    "predicted_at": moment,
                    "model_sha256": model_sha256,
                    **told,
                }
            )
    return tabulate(rows)


def _predict(
    batch: list[Arrival], session: onnxruntime.InferenceSession, described: Described
) -> list[dict[str, Any]]:
    taken = iter(take_in([(one.data, one.path) for one in batch if not one.problem],
                         described.canonical))  # fmt: skip
    found = [_reason(one.problem) if one.problem else next(taken) for one in batch]
    usable = [one for one in found if isinstance(one, Incoming)]
    if not usable:
        return [{"refused": one.reason} for one in found if isinstance(one, ImageError)]
    outputs = run_model(session, described, np.stack([one.pixels for one in usable]))
    embeddings = outputs.embeddings_ND
    rows = iter(
        {
            "predicted": described.classes[int(probabilities_K.argmax())],
            "probabilities": probabilities_K,
            "embedding": None if embeddings is None else embeddings[number],
            "refused": "",
            **one.measures._asdict(),
        }
        for number, (one, probabilities_K) in enumerate(
            zip(usable, outputs.probabilities_NK, strict=True)
        )
    )
    return [{"refused": one.reason} if isinstance(one, ImageError) else next(rows) for one in found]


def _reason(problem: str) -> ImageError:
    reason, _, detail = problem.partition(": ")
    return ImageError(reason, detail)
