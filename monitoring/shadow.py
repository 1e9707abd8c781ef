"""Whether the champion is worse than the model before it, which is asked about the same images.

    python -m monitoring.shadow --previous runs/monitoring/previous --out shadow.json

Looked at are the champion's predictions of the last days that were drawn by chance for their image
to be kept, and have a label: others were kept because the champion was unsure, and would speak
against it alone. Where few of the sample have a label nothing is said, as these may be the ones
that somebody found wrong. If the champion is worse, people are told; `tasks.rollback` goes back.

N rows
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import binomtest
from sqlalchemy import select

from monitoring.alerts import Alert, State
from monitoring.duty import Alerts, load_alerts
from monitoring.images import KeptImages, images_folder, load_cipher
from monitoring.outbox import lay_down
from monitoring.params import Rollback, load_some
from monitoring.store import DEFAULT_STORE, Store, parse_store, to_micros
from monitoring.tables import FEEDBACK, PREDICTIONS
from tasks.artifacts.documents import save_json
from tasks.artifacts.registry import ONNX, Registry, Version, load_registry
from tasks.core.errors import ImageError, TilthError
from tasks.core.gate import find_extension
from tasks.core.incoming import take_in
from tasks.core.onnx_model import describe_session, make_session
from tasks.core.outputs import run_model

Verdict = Literal["worse", "not worse", "too few"]
_AT_ONCE = 64


class Judged(NamedTuple):
    """`num_lost`: rows that the champion has wrong and the previous model right; `num_won`: the
    other way round. `p_value`: that the champion loses so many by chance, if it is no worse."""

    verdict: Verdict
    said: str
    num_sampled: int
    num_rows: int
    num_lost: int
    num_won: int
    p_value: float


def judge(
    champion_right_N: np.ndarray, previous_right_N: np.ndarray, num_sampled: int, params: Rollback
) -> Judged:
    """By an exact paired test (McNemar, Note on the sampling error of the difference between
    correlated proportions, 1947; one-sided, binomial). `num_sampled`: rows of the sample, of which
    N have a label."""
    num_rows = len(champion_right_N)
    num_lost = int((~champion_right_N & previous_right_N).sum())
    num_won = int((champion_right_N & ~previous_right_N).sum())
    differing = num_lost + num_won
    test = binomtest(num_lost, differing, 0.5, alternative="greater") if differing else None
    p_value = float(test.pvalue) if test else 1.0
    asked = max(params.min_rows, int(np.ceil(params.min_labelled_fraction * num_sampled)))
    verdict: Verdict = "worse" if p_value <= params.alpha else "not worse"
    said = (
        f"of {num_rows:,} labelled rows the previous model alone has {num_lost:,} right, the "
        f"champion alone {num_won:,} (p {p_value:.2g})"
    )
    if num_rows < asked:
        verdict = "too few"
        said = f"{num_rows:,} of {num_sampled:,} sampled rows have a label, {asked:,} are asked for"
    return Judged(verdict, said, num_sampled, num_rows, num_lost, num_won, p_value)


def way_back(registry: Registry) -> tuple[Version, Version] | None:
    """The champion and the version that could take its place; None if there is none, or it was
    itself rolled back."""
    champion, previous = registry.champion, registry.find(registry.aliases.previous)
    if champion is None or previous is None or previous.rolled_back:
        return None
    return champion, previous


def load_sample(store: Store, champion: Version, start: datetime, end: datetime) -> list[Any]:
    """Of the champion's predictions those whose image was kept by chance: prediction_id, predicted
    and label, None where nobody told it."""
    at = PREDICTIONS.c.predicted_at
    chosen = (
        select(PREDICTIONS.c.prediction_id, PREDICTIONS.c.predicted, FEEDBACK.c.label)
        .outerjoin(FEEDBACK, FEEDBACK.c.prediction_id == PREDICTIONS.c.prediction_id)
        .where(PREDICTIONS.c.kept == "sample", at >= to_micros(start), at < to_micros(end))
        .where(PREDICTIONS.c.model_sha256 == champion.onnx_sha256)
        .order_by(PREDICTIONS.c.prediction_id)
    )
    return store.select(chosen)


def ask_again(model: bytes, files: Sequence[tuple[bytes, str]]) -> list[str | None]:
    """The class that a model gives each image, as the service would ask it; None of a refused one.

    Raises ArtifactError if the model is none of ours.
    """
    session = make_session(model, 1)
    described = describe_session(session)
    answers: list[str | None] = []
    for start in range(0, len(files), _AT_ONCE):
        taken = take_in(files[start : start + _AT_ONCE], described.canonical)
        usable = [one.pixels for one in taken if not isinstance(one, ImageError)]
        if not usable:
            answers += [None] * len(taken)
            continue
        best = run_model(session, described, np.stack(usable)).probabilities_NK.argmax(axis=1)
        named = (described.classes[code] for code in best)
        answers += [None if isinstance(one, ImageError) else next(named) for one in taken]
    return answers


def compare(
    store: Store,
    images: KeptImages,
    pair: tuple[Version, Version],
    model: bytes,
    params: Rollback,
    now: datetime,
) -> dict[str, Any]:
    """What the previous `model` says of images that the champion was asked about, as a document.

    Raises ArtifactError if the store, the images or the model cannot be read.
    """
    champion, previous = pair
    sample = load_sample(store, champion, now - timedelta(days=params.days), now)
    labelled = [row for row in sample if row["label"] is not None]
    found = [(row, images.load(row["prediction_id"])) for row in labelled]
    rows = [(row, data) for row, data in found if data is not None]
    files = [(data, f"{row['prediction_id']}{find_extension(data)}") for row, data in rows]
    answers = ask_again(model, files)
    labels = [row["label"] for row, _ in rows]
    judged = judge(
        np.array([row["predicted"] for row, _ in rows], object) == np.array(labels, object),
        np.array(answers, object) == np.array(labels, object),
        len(sample),
        params,
    )
    return {
        **judged._asdict(),
        "champion": {"version": champion.version, "sha256": champion.onnx_sha256},
        "previous": {"version": previous.version, "sha256": previous.onnx_sha256},
        "params": params.model_dump(),
        "as_of": now.isoformat(),
    }


def tell(
    store: Store, alerts: Alerts, document: Mapping[str, Any], state: State, now: datetime
) -> None:
    """`firing`: that the champion is worse and is rolled back; `resolved`: that this is done. Each
    is told once. Raises ArtifactError."""
    new, old = (document[name]["version"] for name in ("champion", "previous"))
    titles = {
        "firing": f"Version {new} is worse than version {old}, which is brought back",
        "resolved": f"Version {old} is the champion again, in place of {new}",
    }
    names = [document[name]["sha256"][:12] for name in ("champion", "previous")]
    facts = {"compared": document["said"], "models": " and ".join(names)}
    fingerprint = f"rollback-{'-'.join(names)}"
    alert = Alert(fingerprint, state, titles[state], facts, (), alerts.links)
    lay_down(store, alert, state, sorted(alerts.channels), now)


def main(argv: Sequence[str]) -> int:
    """Exit status: 0 compared, whatever was found; 2 a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.shadow",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--previous", type=Path, required=True, help="folder of that model")
    parser.add_argument("--registry", type=Path, default=Path("models/registry.json"))
    parser.add_argument("--alerts", type=Path, default=Path("alerts.yaml"))
    parser.add_argument("--store", default=os.environ.get("TILTH_SERVE_STORE", DEFAULT_STORE))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    try:
        document = _compare(asked, datetime.now(UTC))
    except TilthError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"{asked.out}: {document['verdict']}: {document['said']}")
    return 0


def _compare(asked: argparse.Namespace, now: datetime) -> dict[str, Any]:
    (params,) = load_some(Path("params.yaml"), {"rollback": Rollback})
    pair = way_back(load_registry(asked.registry))
    if pair is None:
        document = {"verdict": "too few", "said": "there is no previous version to go back to"}
        save_json(document, asked.out)
        return document
    cipher = load_cipher(os.environ.get("TILTH_SERVE_IMAGE_KEY", ""))
    store, images = Store(parse_store(asked.store)), KeptImages(images_folder(), cipher)
    try:
        model = (asked.previous / ONNX).read_bytes()
        document = compare(store, images, pair, model, params, now)
        if document["verdict"] == "worse":
            tell(store, load_alerts(asked.alerts), document, "firing", now)
    finally:
        store.close()
    save_json(document, asked.out)
    return document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
