"""Whether drift is reason enough to train a model again: only with labels that it has not seen.

A label is new if it was told after the snapshot that the champion was trained on was taken, of an
image that was kept: only these can be taken in, as the source `production` of ingest.
"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import select

from monitoring.images import KeptImages, images_folder
from monitoring.kept import moment
from monitoring.params import Retrain, load_some
from monitoring.store import Store, to_micros
from monitoring.tables import FEEDBACK, PREDICTIONS, RETRAININGS
from tasks.artifacts.documents import load_yaml
from tasks.artifacts.registry import load_registry

SOURCE = "production"
Action = Literal["retrain", "ask for labels", "cooling down", "no source"]


class Situation(NamedTuple):
    """`folder`: where kept images are taken in from, None if they are not; `num_waiting`: of them
    nobody has labelled; `begun_at`: of the last retraining."""

    folder: Path | None
    num_new: int
    num_waiting: int
    begun_at: datetime | None


class Decision(NamedTuple):
    """What is done about drift, and that in words for people."""

    action: Action
    said: str


def decide(situation: Situation, params: Retrain, now: datetime) -> Decision:
    asked, num_new = params.min_new_labels, situation.num_new
    if situation.folder is None:
        return Decision(
            "no source",
            f"takes in no labels of production: ingest.sources of params.yaml names no {SOURCE!r}, "
            "such as {type: manifest, file: data/production/manifest.csv}",
        )
    if num_new < asked:
        return Decision(
            "ask for labels",
            f"needs {asked - num_new:,} more labels ({num_new:,} of {asked:,} are there); "
            f"{situation.num_waiting:,} kept images wait for one: `python -m monitoring.images "
            f"--out {situation.folder}` shows them, POST /feedback takes their labels",
        )
    ready_at = _ready_at(situation, params)
    if ready_at is not None and now < ready_at:
        return Decision(
            "cooling down",
            f"{num_new:,} new labels are there; the last retraining began "
            f"{situation.begun_at:%Y-%m-%d %H:%M} UTC, none begins before "
            f"{ready_at:%Y-%m-%d %H:%M} UTC",
        )
    return Decision("retrain", f"begins, with {num_new:,} new labels")


def _ready_at(situation: Situation, params: Retrain) -> datetime | None:
    if situation.begun_at is None:
        return None
    return situation.begun_at + timedelta(hours=params.cooldown_hours)


def look(store: Store, images: Path, folder: Path | None, taken_at: str | None) -> Situation:
    """What the store and the folder of kept images tell. `taken_at`: until when the champion's data
    has labels; None: it has none.

    Raises ArtifactError if the store cannot be read.
    """
    seen = -1 if taken_at is None else to_micros(datetime.fromisoformat(taken_at))
    there = set(KeptImages(images, None).ids())
    told = {name: at for name, at in _load_kept(store).items() if name in there}
    begun = max((row["begun_at"] for row in store.load(RETRAININGS)), default=None)
    return Situation(
        folder=folder,
        num_new=sum(at is not None and at > seen for at in told.values()),
        num_waiting=sum(at is None for at in told.values()),
        begun_at=None if begun is None else moment(begun),
    )


def _load_kept(store: Store) -> dict[str, int | None]:
    """When the label of each prediction whose image was kept was told last, None where none was."""
    chosen = (
        select(PREDICTIONS.c.prediction_id, FEEDBACK.c.given_at)
        .outerjoin(FEEDBACK, FEEDBACK.c.prediction_id == PREDICTIONS.c.prediction_id)
        .where(PREDICTIONS.c.kept != "")
    )
    return {row["prediction_id"]: row["given_at"] for row in store.select(chosen)}


def consider(store: Store, registry: Path, params: Path, now: datetime) -> Decision:
    """What would be done now.

    Raises ParamsError for a mistake in the section `retrain`, ArtifactError if the store, the
    registry or the params cannot be read.
    """
    (asked,) = load_some(params, {"retrain": Retrain})
    champion = load_registry(registry).champion
    taken_at = None if champion is None else champion.taken_at
    return decide(look(store, images_folder(), find_source(params), taken_at), asked, now)


def find_source(params: Path) -> Path | None:
    """The folder from which ingest takes in kept images and their labels: that of the manifest of
    the source `production`; None if there is no such source. Raises ArtifactError."""
    found: Any = load_yaml(params)
    for name in ("ingest", "sources", SOURCE):
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict) or found.get("type") != "manifest" or "file" not in found:
        return None
    return Path(found["file"]).parent


def note_begin(store: Store, decision: Decision, now: datetime) -> None:
    """From then on it cools down. Raises ArtifactError."""
    document = json.dumps({"said": decision.said}, sort_keys=True)
    store.save(RETRAININGS, [{"begun_at": to_micros(now), "document": document}])
