"""Seconds of one check of generated rows, as a process of its own: `check`, `preset` or
`embeddings`, and the number of rows."""

import json
import os
import sys
import time

# Read by numeric libraries when they are imported.
for _name in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "2")

import warnings  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks.record import ROOT  # noqa: E402
from benchmarks.watched import Seen, as_reference, as_window  # noqa: E402
from monitoring.baseline import Baseline  # noqa: E402
from monitoring.check import check_window  # noqa: E402
from monitoring.params import load_params  # noqa: E402
from monitoring.preconditions import Model  # noqa: E402

NUM_CLASSES, WIDTH, NUM_REFERENCE = 10, 128, 10_000
MODEL = Model("0" * 64, tuple(f"class {number}" for number in range(NUM_CLASSES)))


def generate(num_rows: int, seed: int) -> Seen:
    rng = np.random.default_rng(seed)
    codes_N = rng.integers(NUM_CLASSES, size=num_rows)
    centres_KD = np.random.default_rng(99).normal(size=(NUM_CLASSES, WIDTH))
    embeddings_ND = centres_KD[codes_N] + rng.normal(size=(num_rows, WIDTH))
    logits_NK = embeddings_ND @ centres_KD.T / 20
    shares_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    shares_NK /= shares_NK.sum(axis=1, keepdims=True)
    brightness_N, contrast_N = rng.random((2, num_rows))
    is_right_N = shares_NK.argmax(axis=1) == codes_N
    return Seen(embeddings_ND.astype(np.float32), shares_NK, brightness_N, contrast_N, is_right_N)


def by_ours(reference: Seen, window: Seen) -> float:
    """The window alone: a reference is read once for many."""
    params, _ = load_params(ROOT / "params.yaml")
    baseline = Baseline(as_reference(reference, MODEL), MODEL, params, 0)
    table = as_window(window, MODEL)
    started = time.perf_counter()
    check_window(baseline, table, None)
    return time.perf_counter() - started


def by_evidently(reference: Seen, window: Seen, what: str) -> float:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import EmbeddingsDrift
    from evidently.presets import DataDriftPreset

    names = [f"d{number}" for number in range(WIDTH)]
    sides = (window, reference)
    if what == "preset":
        columns = [f"p{number}" for number in range(NUM_CLASSES)]
        tables = [pd.DataFrame(one.probabilities_NK, columns=columns) for one in sides]
        definition, asked = DataDefinition(numerical_columns=columns), DataDriftPreset()
    else:
        tables = [pd.DataFrame(one.embeddings_ND, columns=names) for one in sides]
        definition = DataDefinition(numerical_columns=names, embeddings={"all": names})
        asked = EmbeddingsDrift(embeddings_name="all")
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        now, before = (Dataset.from_pandas(table, definition) for table in tables)
        Report([asked]).run(now, before).dict()
    return time.perf_counter() - started


def main(what: str, num_rows: int) -> None:
    num_reference = NUM_REFERENCE if what != "embeddings" else num_rows
    reference, window = generate(num_reference, 0), generate(num_rows, 1)
    seconds = by_ours(reference, window) if what == "check" else by_evidently(
        reference, window, what
    )  # fmt: skip
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
