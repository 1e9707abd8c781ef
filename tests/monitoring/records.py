"""Records of predictions, as the service writes them into its journal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from monitoring.store import encode_vector, to_micros
from tasks.core.measures import Measures

START = datetime(2026, 1, 1, tzinfo=UTC)
_EMPTY = {int: 8, float: 0.5, str: "x"}
MEASURED = {name: _EMPTY[kind] for name, kind in Measures.__annotations__.items()}


def record(number: int, seconds: float | None = None, **changed: Any) -> dict[str, Any]:
    """The prediction of that number, a second after the one before it."""
    moment = START + timedelta(seconds=number if seconds is None else seconds)
    prediction = {
        "prediction_id": f"{number:032x}",
        "request_id": f"{number // 2:032x}",
        "predicted_at": to_micros(moment),
        "seconds": 0.002,
        "model_sha256": "ab" * 32,
        "predicted": "dark",
        "probabilities": encode_vector(np.array([0.75, 0.25])),
        "embedding": encode_vector(np.arange(3) + number),
        "refused": "",
        "abstained": False,
        "kept": "",
        "metadata": None,
    }
    request = {
        "request_id": f"{number // 2:032x}", "received_at": to_micros(moment), "num_images": 2,
    }  # fmt: skip
    measures = None if changed.get("refused") else MEASURED
    return {"request": request, "prediction": {**prediction, **changed}, "measures": measures}


def feedback(number: int, label: str, seconds: float) -> dict[str, Any]:
    given_at = to_micros(START + timedelta(seconds=seconds))
    return {"feedback": {"prediction_id": f"{number:032x}", "label": label, "given_at": given_at}}
