"""Batch prediction with the published model.

    python -m tasks.predict photos/ --out predictions.parquet

The source is an image, a folder, an archive (.zip, .tar, .tar.gz, .tgz) or a folder in one, or a
table with a column `path`.
`--out` ends in .parquet or .csv. An image that cannot be used has no label and says why in
`problem`; where `unsure` is true, the model had better not have answered. Predictions that break a
critical rule of `export.expectations` are not written; of others it warns. Outside the DAG.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from expectations.asked import PredictionsRule, extend
from expectations.check import check, refuse_broken
from expectations.suites import add_asked_columns, predictions_suite
from tasks.artifacts.archives import find_archive, list_members
from tasks.artifacts.folders import Arrival, find_images, printable, read_file
from tasks.artifacts.manifests import list_paths
from tasks.artifacts.predictions import save_predictions
from tasks.artifacts.registry import published_model
from tasks.artifacts.tables import save_csv, save_table
from tasks.core.errors import ArtifactError, ImageError, ParamsError, SourceError, TilthError
from tasks.core.inference import softmax
from tasks.core.metadata import strip_metadata
from tasks.core.onnx_model import Described, describe_session, make_session, run_session
from tasks.core.params import explain_validation
from tasks.core.pixels import canonical_pixels
from tasks.core.predictions import tabulate_predictions
from tasks.monitored import tabulate_monitored
from tasks.progress import progress
from tasks.telemetry import TELEMETRY_OFF

CHAMPION, ONNX = Path("models/champion"), "classifier.onnx"
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
    parser.add_argument(
        "--layout",
        choices=["people", "monitoring"],
        default="people",
        help="monitoring: what drift is looked for in (tasks/artifacts/predictions.py), whatever "
        "the rules say",
    )
    asked = parser.parse_args(argv)
    try:
        if asked.out.suffix.lower() not in (".parquet", ".csv"):
            raise ParamsError(f"{asked.out}: expected a name that ends in .parquet or .csv")
        if asked.num_threads < 1:
            raise ParamsError(f"--num-threads {asked.num_threads}: expected 1 or more")
        if asked.model == CHAMPION:
            published_model(asked.model)
        is_csv = asked.out.suffix.lower() == ".csv"
        if asked.layout == "monitoring":
            if is_csv:
                raise ParamsError(f"{asked.out}: --layout monitoring writes .parquet")
            watched = predict_monitored(asked.source, asked.model, asked.num_threads)
            save_predictions(watched, asked.out)
            print(f"{asked.out}: {len(watched):,} images")
            return 0
        predictions = predict(asked.source, asked.model, asked.num_threads)
        save = save_csv if is_csv else save_table
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
    """path, label, confidence, problem, `probability_<class>` per class, and `unsure`: a row per
    image. Probabilities are calibrated.

    Raises:
        ArtifactError: no model is published, or its file is not ours.
        SourceError: the source is missing or holds no image.
        VerdictError: the predictions break a critical rule.
    """
    session, described, _ = open_model(model, num_threads)
    rules = read_rules(described, model / ONNX)
    parts = []
    arrived = progress(find_arrivals(source), None, "predict")
    while arrivals := list(islice(arrived, _BATCH_SIZE)):
        prepared = [prepare(arrival, described) for arrival in arrivals]
        parts.append(_predict_batch(prepared, described, session))
    table = pd.concat(parts, ignore_index=True)
    usable = table[table["problem"] == ""].reset_index(drop=True)
    if len(usable):
        suite = extend(predictions_suite(described.classes), rules)
        checked = check(suite, add_asked_columns(usable))
        refuse_broken(checked)
        for line in checked.warnings():
            print(f"warning: {line}", file=sys.stderr)
    return table


def predict_monitored(source: Path, model: Path, num_threads: int) -> pa.Table:
    """A row per image in the layout of `tasks/artifacts/predictions.py`, predicted now.

    Raises ArtifactError and SourceError as `predict` does; a row that breaks a rule is drift to be
    told of, and stays.
    """
    session, described, digest = open_model(model, num_threads)
    arrived = iter(progress(find_arrivals(source), None, "predict"))
    return tabulate_monitored(arrived, session, described, digest, datetime.now(UTC))


def open_model(
    model: Path, num_threads: int
) -> tuple[onnxruntime.InferenceSession, Described, str]:
    """The model in a folder, what it says of itself, and its sha256. Raises ArtifactError."""
    file = model / ONNX
    if not file.is_file():
        raise ArtifactError(f"{file}: no published model; train one and `python -m tasks.publish`")
    data = file.read_bytes()
    try:
        session = make_session(data, num_threads)
        return session, describe_session(session), sha256(data).hexdigest()
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error


def read_rules(described: Described, file: Path) -> list[PredictionsRule]:
    """What was expected of predictions when the model was exported. Raises ArtifactError."""
    try:
        return TypeAdapter(list[PredictionsRule]).validate_python(described.expectations)
    except ValidationError as error:
        lines = explain_validation("expectations", error, described.expectations)
        raise ArtifactError("\n  ".join([f"{file}: cannot be checked:", *lines])) from error


def _predict_batch(
    prepared: list[Prepared], described: Described, session: onnxruntime.InferenceSession
) -> pd.DataFrame:
    usable = [number for number, one in enumerate(prepared) if one.pixels is not None]
    probabilities_NK = np.full((len(prepared), len(described.classes)), np.nan)
    if usable:
        images = np.stack([one.pixels for one in prepared if one.pixels is not None])
        logits_NK = run_session(session, images, np.arange(len(images)))
        probabilities_NK[usable] = softmax(logits_NK.astype(np.float64) / described.temperature)
    paths, problems = [one.path for one in prepared], [one.problem for one in prepared]
    table = tabulate_predictions(paths, problems, probabilities_NK, described.classes)
    # Below 0 is nothing, and what is missing is not below anything.
    return table.assign(unsure=table["confidence"] < described.abstention)


def find_arrivals(source: Path) -> Iterator[Arrival]:
    """The images of a folder, an archive or a table, or the one image itself.

    Raises SourceError if there is none, and as `list_archive` and `list_manifest` do.
    """
    if source.is_dir():
        for path in find_images(source):
            data, problem = read_file(source / path)
            yield Arrival(printable(path), data, problem=problem)
    elif place := find_archive(source):
        yield from list_members(place)
    elif source.suffix.lower() in (".csv", ".parquet"):
        yield from list_paths(source)
    elif source.exists():
        data, problem = read_file(source)
        yield Arrival(printable(str(source)), data, problem=problem)
    else:
        raise SourceError(f"{source}: no such image, folder, archive or table")


def prepare(arrival: Arrival, described: Described) -> Prepared:
    """The same way to canonical pixels as in training, and the same reasons where there is none."""
    if arrival.problem:
        return Prepared(arrival.path, None, arrival.problem)
    try:
        # As ingest hands them on: what is wrong with metadata is no reason to refuse an image.
        data = strip_metadata(arrival.data)
        pixels = canonical_pixels(data, arrival.path, described.canonical)
        return Prepared(arrival.path, pixels, "")
    except ImageError as error:
        return Prepared(arrival.path, None, str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
