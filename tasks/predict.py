"""Batch prediction with the published model.

    python -m tasks.predict <image, folder, or table with a column `path`> --out predictions.parquet

`--out` ends in .parquet or .csv. An image that cannot be used has no label and says why in
`problem`. Outside the DAG.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from expectations.check import check, refuse_broken
from expectations.suites import predictions_suite
from tasks.artifacts.folders import Arrival, find_images, printable, read_file
from tasks.artifacts.manifests import list_paths
from tasks.artifacts.tables import save_csv, save_table
from tasks.core.errors import ArtifactError, ImageError, ParamsError, SourceError, TilthError
from tasks.core.inference import softmax
from tasks.core.onnx_model import Described, describe_session, make_session, run_session
from tasks.core.pixels import canonical_pixels
from tasks.progress import progress
from tasks.telemetry import TELEMETRY_OFF

CHAMPION = Path("models/champion")
_BATCH_SIZE = 256


class Prepared(NamedTuple):
    """Canonical pixels, or why there are none."""

    path: str
    pixels: np.ndarray | None
    problem: str


def main(argv: list[str]) -> int:
    """Exit status: 0 done, 1 a user's error, 130 interrupted."""
    os.environ.update(TELEMETRY_OFF)
    parser = argparse.ArgumentParser(prog="python -m tasks.predict", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=CHAMPION, help="a published model's folder")
    parser.add_argument("--num-threads", type=int, default=1)
    asked = parser.parse_args(argv)
    try:
        if asked.out.suffix.lower() not in (".parquet", ".csv"):
            raise ParamsError(f"{asked.out}: expected a name that ends in .parquet or .csv")
        if asked.num_threads < 1:
            raise ParamsError(f"--num-threads {asked.num_threads}: expected 1 or more")
        predictions = predict(asked.source, asked.model, asked.num_threads)
        save = save_csv if asked.out.suffix.lower() == ".csv" else save_table
        save(predictions, asked.out)
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    unusable = int((predictions["problem"] != "").sum())
    print(f"{asked.out}: {len(predictions):,} images, {unusable:,} of them unusable")
    return 0


def predict(source: Path, model: Path, num_threads: int) -> pd.DataFrame:
    """path, label, confidence, problem, and `probability_<class>` per class: a row per image.

    Raises:
        ArtifactError: no model is published, or its file is not ours.
        SourceError: the source is missing or holds no image.
    """
    file = model / "classifier.onnx"
    if not file.is_file():
        raise ArtifactError(f"{file}: no published model; train one and `python -m tasks.publish`")
    try:
        session = make_session(file.read_bytes(), num_threads)
        described = describe_session(session)
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    rows = []
    arrived = progress(find_arrivals(source), None, "predict")
    while arrivals := list(islice(arrived, _BATCH_SIZE)):
        prepared = [prepare(arrival, described) for arrival in arrivals]
        usable = [one.pixels for one in prepared if one.pixels is not None]
        probabilities = iter(())
        if usable:
            logits_NK = run_session(session, np.stack(usable), np.arange(len(usable)))
            probabilities = iter(softmax(logits_NK.astype(np.float64)))
        rows += [_row(one, probabilities, described.classes) for one in prepared]
    table = pd.DataFrame(rows).astype({"path": "string", "label": "string", "problem": "string"})
    if (table["problem"] == "").any():
        refuse_broken(check(predictions_suite(described.classes), table[table["problem"] == ""]))
    return table


def find_arrivals(source: Path) -> Iterator[Arrival]:
    """The images of a folder, of a table, or the one image itself.

    Raises SourceError if there is none.
    """
    if source.is_dir():
        for path in find_images(source):
            data, problem = read_file(source / path)
            yield Arrival(printable(path), data, problem=problem)
    elif source.suffix.lower() in (".csv", ".parquet"):
        yield from list_paths(source)
    elif source.exists():
        data, problem = read_file(source)
        yield Arrival(printable(str(source)), data, problem=problem)
    else:
        raise SourceError(f"{source}: no such image, folder or table")


def prepare(arrival: Arrival, described: Described) -> Prepared:
    """The same way to canonical pixels as in training."""
    if arrival.problem:
        return Prepared(arrival.path, None, arrival.problem)
    try:
        pixels = canonical_pixels(arrival.data, arrival.path, described.canonical)
        return Prepared(arrival.path, pixels, "")
    except ImageError as error:
        return Prepared(arrival.path, None, str(error))


def _row(
    prepared: Prepared, probabilities: Iterator[np.ndarray], classes: list[str]
) -> dict[str, object]:
    if prepared.pixels is None:
        values = np.full(len(classes), np.nan)
        label, confidence = None, np.nan
    else:
        values = next(probabilities)
        label, confidence = classes[int(values.argmax())], float(values.max())
    columns = {f"probability_{name}": float(p) for name, p in zip(classes, values, strict=True)}
    return {
        "path": prepared.path,
        "label": label,
        "confidence": confidence,
        "problem": prepared.problem,
        **columns,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
