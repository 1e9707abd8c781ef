"""A store with a past: days of traffic with feedback, each day watched as it is in production."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from monitoring.baseline import Baseline
from monitoring.store import Store, encode_vector, to_micros
from monitoring.telling import Span
from monitoring.watch import Readers, watch
from tests.monitoring.planted import MODEL, a_baseline, a_window
from tests.monitoring.records import MEASURED

DAY = timedelta(days=1)
READERS = Readers(["mail"], {"what to do": "https://example.org/drift"})
DRIFTED: dict[str, Any] = {"shift": 1.5, "darker": 0.2}
_ABSTENTION = 0.6


def some_baseline() -> Baseline:
    return a_baseline(num_permutations=199, alpha=0.02)


def a_day(end: datetime, seed: int, count: int = 240, **changed: Any) -> list[dict[str, Any]]:
    """Records of the predictions of the day before `end`, more by day than by night: a few refused,
    some abstained, every tenth kept and told the truth about."""
    rng = np.random.default_rng(seed)
    window = a_window(count, seed, **changed)
    hours = np.sort(np.clip(rng.normal(13, 4.5, count), 0, 23.9))
    records: list[dict[str, Any]] = []
    for number, one in enumerate(window.to_dict("records")):
        at = to_micros(end - DAY + timedelta(hours=float(hours[number])))
        name = f"{seed:016x}{number:016x}"
        is_refused = number % 60 == 59
        is_unsure = not is_refused and bool(max(one["probabilities"]) < _ABSTENTION)
        prediction = {
            "prediction_id": name,
            "request_id": f"{seed:016x}{number // 3:016x}",
            "predicted_at": at,
            "seconds": float(rng.lognormal(-5.2, 0.5)),
            "model_sha256": MODEL.sha256,
            "predicted": None if is_refused else one["predicted"],
            "probabilities": None if is_refused else encode_vector(one["probabilities"]),
            "embedding": None if is_refused else encode_vector(one["embedding"]),
            "refused": ["truncated", "too_small"][number % 2] if is_refused else "",
            "abstained": is_unsure,
            "kept": "abstained" if is_unsure else "sample" if number % 10 == 0 else "",
            "metadata": json.dumps({"group": one["group"]}),
        }
        request = {"request_id": prediction["request_id"], "received_at": at, "num_images": 3}
        described = {key: one[key] for key in ("brightness", "contrast", "width")}
        measures = None if is_refused else {**MEASURED, **described}
        records.append({"request": request, "prediction": prediction, "measures": measures})
        if number % 10 == 0 and not is_refused:
            told = {"prediction_id": name, "label": _truth(one, rng), "given_at": at + 60_000_000}
            records.append({"feedback": told})
    return records


def _truth(one: Mapping[Any, Any], rng: np.random.Generator) -> str:
    """As often the predicted class as the model is sure of it."""
    return one["predicted"] if rng.random() < max(one["probabilities"]) else "something else"


def live(store: Store, end: datetime, days: Sequence[dict[str, Any]]) -> list[str]:
    """So many days up to `end`, each with what was changed in it; the verdicts."""
    baseline = some_baseline()
    verdicts = []
    for number, changed in enumerate(days):
        until = end - DAY * (len(days) - 1 - number)
        store.add(a_day(until, seed=number + 1, **changed))
        verdicts.append(watch(store, baseline, Span(until - DAY, until), until, READERS)["verdict"])
    return verdicts
